"""What all that read have in common: sessions, turns and entries by their numbers."""

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from turnkeeper.actors.journal.durable import Durable
from turnkeeper.actors.journal.entries import Entry, decode
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.sqlite.rows import SESSION, SessionRow
from turnkeeper.actors.journal.sqlite.statements import AMONG, among, rows
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.session.states import Limits

_of_turns: Final = msgspec.json.Decoder(list[tuple[int, str]])


def session(connection: sqlite3.Connection, session_id: SessionId) -> SessionRow | None:
    """The row of a session, without its turns."""
    select = f"SELECT {', '.join(SESSION)} FROM session WHERE id = ?"
    row = connection.execute(select, (session_id,)).fetchone()
    return None if row is None else SessionRow(*row)


def entry(connection: sqlite3.Connection, number: int) -> Entry:
    """The entry of that number."""
    (body,) = connection.execute("SELECT body FROM entry WHERE id = ?", (number,)).fetchone()
    return decode(body)


def entries_of_turns(connection: sqlite3.Connection, turns: Iterable[int]) -> dict[int, list[Entry]]:
    """All entries of each of these turns, in order."""
    select = (
        "SELECT turn.number AS number, entry.body AS body FROM turn JOIN entry "
        "ON entry.session = turn.session AND entry.turn = turn.number "
        "AND entry.position BETWEEN turn.first AND turn.last "
        f"WHERE turn.number {AMONG} ORDER BY turn.number, entry.position"
    )
    found: dict[int, list[Entry]] = {}
    for number, body in rows(connection, "number, body", select, (among(turns),), _of_turns):
        found.setdefault(number, []).append(decode(body))
    return found


def entries_of_open_turns(connection: sqlite3.Connection, row: SessionRow) -> list[Entry]:
    """All entries of a session's turns that have not ended, in the order in which they were written."""
    select = (
        "SELECT entry.body FROM turn JOIN entry ON entry.session = turn.session AND entry.turn = turn.number "
        "WHERE turn.session = ? AND turn.open IS NOT NULL AND entry.position IS NOT NULL "
        "ORDER BY entry.position"
    )
    return [decode(body) for (body,) in connection.execute(select, (row.number,))]


def folded(durable: Durable, turns: Iterable[list[Entry]], limits: Limits) -> Durable:
    """What is durable after these turns, as if each had been sent when the one before it had ended.

    That is what is durable in truth: no turn's entries say anything of another one.
    """
    for entries in turns:
        durable = fold(durable, entries, limits)
    return durable
