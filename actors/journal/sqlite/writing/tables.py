"""Reads and writes the tables, for the writer: each in as few statements as can be."""

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from turnkeeper.actors.journal.contract import Head
from turnkeeper.actors.journal.entries import Entry, decode
from turnkeeper.actors.journal.sqlite.rows import IN_FLIGHT, SESSION, TURN, SessionRow, TurnRow
from turnkeeper.actors.journal.sqlite.statements import AMONG, among, put, put_over, rows
from turnkeeper.actors.model.records import SessionId

from .group import Group, Next

_KEPT: Final = ("number", "id", "owner", "active_at")
_SESSIONS: Final = (
    f"INSERT INTO session ({', '.join(SESSION)}) VALUES {{}} ON CONFLICT (number) DO UPDATE "
    "SET active_at = max(active_at, excluded.active_at), "
) + ", ".join(f"{name} = excluded.{name}" for name in SESSION if name not in _KEPT)
_TURNS: Final = (
    f"INSERT INTO turn ({', '.join(TURN)}) VALUES {{}} ON CONFLICT (number) DO UPDATE "
    "SET last = excluded.last, epoch = excluded.epoch, open = excluded.open, asked = excluded.asked"
)
_ENTRIES: Final = "INSERT INTO entry (id, session, position, turn, body) VALUES {}"
_EVENTS: Final = "INSERT INTO event (session, epoch, n, turn, body) VALUES {}"
_SAID: Final = "INSERT INTO said (session, first, count, entry) VALUES {}"
_LONGER: Final = (
    "WITH longer (number, key, size) AS (VALUES {}) UPDATE session "
    "SET key = longer.key, size = longer.size FROM longer WHERE session.number = longer.number"
)
#: No time is read, see `rows`, and none is needed.
_SESSION_COLUMNS: Final = ", ".join(SESSION).replace("active_at", "0.0")
_TURN_COLUMNS: Final = ", ".join(TURN).replace("sent_at", "0.0")
_session_rows: Final = msgspec.json.Decoder(list[SessionRow])
_turn_rows: Final = msgspec.json.Decoder(list[TurnRow])


def write(connection: sqlite3.Connection, group: Group) -> None:
    """Write the rows of a group. Raises `sqlite3.Error`."""
    for session, keep in group.cut:
        connection.execute("DELETE FROM said WHERE session = ? AND first >= ?", (session, keep))
        cut = "UPDATE said SET count = min(count, ? - first) WHERE session = ? AND first + count > ?"
        connection.execute(cut, (keep, session, keep))
    put(connection, _ENTRIES, group.entries)
    put(connection, _EVENTS, group.events)
    put(connection, _SAID, [part for parts in group.said.values() for part in parts])
    put_over(connection, _TURNS, [msgspec.structs.astuple(turn) for turn in group.turns.values()])
    put_over(connection, _SESSIONS, [msgspec.structs.astuple(row)[:-1] for row in group.sessions.values()])
    longer = [(row.number, row.key, row.size) for row in group.longer.values()]
    put_over(connection, _LONGER, longer)


def sessions(connection: sqlite3.Connection, ids: Iterable[SessionId]) -> dict[SessionId, SessionRow]:
    """Those of the sessions that have a log, with their open turns. Raises `sqlite3.Error`."""
    select = f"SELECT * FROM session WHERE id {AMONG}"
    known = rows(connection, _SESSION_COLUMNS, select, (among(ids),), _session_rows)
    found = {row.number: row for row in known}
    if found:
        select = f"SELECT * FROM turn WHERE open IS NOT NULL AND session {AMONG}"
        for turn in rows(connection, _TURN_COLUMNS, select, (among(found),), _turn_rows):
            found[turn.session].turns[turn.id] = turn
    return {row.id: row for row in found.values()}


def next_numbers(connection: sqlite3.Connection) -> Next:
    """The numbers of the next rows. Raises `sqlite3.Error`."""
    columns = (("session", "number"), ("entry", "id"), ("turn", "number"))
    selects = ", ".join(f"(SELECT coalesce(max({column}), 0) + 1 FROM {table})" for table, column in columns)
    return Next(*connection.execute(f"SELECT {selects}").fetchone())


def decisions_after(connection: sqlite3.Connection, session: int, after: Head) -> tuple[Entry, ...]:
    """The entries of a session behind that head on which decisions depend. Raises `sqlite3.Error`."""
    select = "SELECT body FROM entry WHERE session = ? AND position > ? ORDER BY position"
    return tuple(decode(body) for (body,) in connection.execute(select, (session, after)))


def in_flight(connection: sqlite3.Connection) -> tuple[SessionId, ...]:
    """The sessions with a turn that has not ended, in the order of their sends. Raises `sqlite3.Error`."""
    select = (
        "SELECT session.id FROM turn JOIN session ON session.number = turn.session "
        "WHERE turn.open IS NOT NULL AND turn.open = ? GROUP BY session.number ORDER BY min(turn.sent_at)"
    )
    return tuple(SessionId(session_id) for (session_id,) in connection.execute(select, (IN_FLIGHT,)))


def touch(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing. Raises `sqlite3.Error`."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")
