"""Loads a session: of its log only what it still remembers, however long that is."""

import sqlite3
from array import array
from typing import Any, Final

import msgspec

from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.contract import Loaded, Tail
from turnkeeper.actors.journal.durable import Durable
from turnkeeper.actors.journal.entries import Ended
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.sqlite.rows import EARLY, SessionRow
from turnkeeper.actors.journal.sqlite.statements import rows
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound, Transcript

from . import events, said
from .queries import entries_of_open_turns, entries_of_turns, entry, folded, session


class _Turn(msgspec.Struct, array_like=True):
    number: int
    last: int


_turns: Final = msgspec.json.Decoder(list[_Turn])


def load(connection: sqlite3.Connection, session_id: SessionId, tail: Tail, sizes: Sizes) -> Loaded | None:
    """The session; ``None`` if it has no log."""
    row = session(connection, session_id)
    if row is None:
        return None
    found, dropped = tail.of(events.newest_first(connection, row, sizes))
    return Loaded(
        session_id,
        row.head,
        _durable(connection, row, tail.limits),
        _kept(connection, row, tail),
        tuple(reversed(found)),
        None if dropped is None or dropped.epoch is None else (dropped.epoch, dropped.n),
        row.title,
        row.active_at,
    )


def _durable(connection: sqlite3.Connection, row: SessionRow, limits: Limits) -> Durable:
    ended = _remembered(connection, row, limits.kept_turns)
    entries = entries_of_turns(connection, [turn.number for turn in ended])
    # Those that have ended in the order of their ends. Of the others entry by entry: they stand in a line.
    durable = folded(Durable(row.id, row.owner), (entries[turn.number] for turn in ended), limits)
    durable = fold(durable, entries_of_open_turns(connection, row), limits)
    early = EARLY.decode(row.early)
    durable = fold(durable, (entry for entry, _ in early), limits)
    spent = {entry.turn_id for entry, is_spent in early if is_spent}
    durable = replace(durable, early=tuple(each for each in durable.early if each.turn_id not in spent))
    if row.closed is not None:
        durable = fold(durable, [entry(connection, row.closed)], limits)
    return replace(durable, last_epoch=row.epoch)


def _remembered(connection: sqlite3.Connection, row: SessionRow, most: int) -> list[_Turn]:
    """The last turns that have ended, so many if there are, in the order of their ends."""
    last = (
        "SELECT DISTINCT turn FROM (SELECT turn FROM entry WHERE session = ? AND turn IS NOT NULL "
        "ORDER BY position DESC LIMIT ?)"
    )
    columns = "number, last"
    looked_at = 4 * most
    while True:
        select = f"SELECT {columns} FROM turn WHERE number IN ({last}) AND open IS NULL"
        ended = rows(connection, columns, select, (row.number, looked_at), _turns)
        if len(ended) >= most or looked_at >= row.head:
            break
        looked_at *= 4
    ended.sort(key=lambda turn: turn.last)
    return ended[-most:]


def _kept(connection: sqlite3.Connection, row: SessionRow, tail: Tail) -> Kept:
    messages, first = said.last(connection, row, tail.messages, tail.message_bytes)
    nothing = Transcript([], first, array("q"), 0)
    transcript = nothing.after(first, messages, Bound(tail.messages, tail.message_bytes))
    data: dict[str, Any] = {}
    if row.data is not None:
        ended = entry(connection, row.data)
        assert isinstance(ended, Ended), "which says that the data was changed"
        data = ended.data
    return Kept(row.owner, transcript, row.cursor, data, footprint(data) if data else 0)
