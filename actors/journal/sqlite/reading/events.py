"""The events of a session by their ids: what its agents emitted, and turnkeeper's own."""

import sqlite3
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.durable import Durable
from turnkeeper.actors.journal.entries import decode
from turnkeeper.actors.journal.replay import replay
from turnkeeper.actors.journal.sqlite.rows import SessionRow
from turnkeeper.actors.journal.sqlite.statements import rows
from turnkeeper.actors.model.records import Epoch, SessionId

from .queries import entries_of_turns, session

Id: TypeAlias = tuple[Epoch, int]
#: How many rows are read at first, and at most, at a time.
_FIRST: Final = 16
_MOST: Final = 256


class _Row(msgspec.Struct, array_like=True):
    epoch: Epoch
    n: int
    turn: int | None
    body: str | None


_rows: Final = msgspec.json.Decoder(list[_Row])
_COLUMNS: Final = "epoch, n, turn, body"
_SELECT: Final = f"SELECT {_COLUMNS} FROM event WHERE session = ?"


def newest_first(connection: sqlite3.Connection, of: SessionRow, sizes: Sizes) -> Iterator[Event]:
    """All its events, the newest first; they are read as they are asked for."""
    limit = _FIRST
    found = _page(connection, f"{_SELECT} ORDER BY epoch DESC, n DESC LIMIT ?", (of.number, limit))
    while found:
        for events in _events(connection, of.id, found, sizes):
            yield from reversed(events)
        limit = min(4 * limit, _MOST)
        select = f"{_SELECT} AND (epoch, n) < (?, ?) ORDER BY epoch DESC, n DESC LIMIT ?"
        found = _page(connection, select, (of.number, found[-1].epoch, found[-1].n, limit))


def after(
    connection: sqlite3.Connection, session_id: SessionId, seen: Id | None, sizes: Sizes
) -> list[Event]:
    """The next events after that id, or the first ones; none if there are none yet."""
    of = session(connection, session_id)
    if of is None:
        return []
    select = f"{_SELECT} AND (epoch, n) >= (?, ?) ORDER BY epoch, n LIMIT ?"
    start = (0, 0) if seen is None else _row_of(connection, of, seen)
    found: list[Event] = []
    while not found:
        page = _page(connection, select, (of.number, *start, _FIRST))
        for events in _events(connection, session_id, page, sizes):
            found += [event for event in events if seen is None or (event.epoch, event.n) > seen]
        if len(page) < _FIRST:
            break
        start = page[-1].epoch, page[-1].n
    return found


def _row_of(connection: sqlite3.Connection, of: SessionRow, seen: Id) -> Id:
    """The id of the row that has the event of that id, or comes before it."""
    select = (
        "SELECT epoch, n FROM event WHERE session = ? AND (epoch, n) <= (?, ?) "
        "ORDER BY epoch DESC, n DESC LIMIT 1"
    )
    row: Id | None = connection.execute(select, (of.number, *seen)).fetchone()
    return seen if row is None else row


def _page(connection: sqlite3.Connection, select: str, values: tuple[int, ...]) -> list[_Row]:
    return rows(connection, _COLUMNS, select, values, _rows)


def _events(
    connection: sqlite3.Connection, session_id: SessionId, page: list[_Row], sizes: Sizes
) -> Iterator[list[Event]]:
    """The events of each row."""
    turns = {row.turn for row in page if row.turn is not None}
    own: dict[Id, Event] = {}
    for entries in entries_of_turns(connection, turns).values() if turns else ():
        for event in replay(Durable(session_id), entries, sizes):
            if event.epoch is not None:
                own[event.epoch, event.n] = event
    for row in page:
        if row.body is None:
            yield [own[row.epoch, row.n]]
        else:
            yield list(replay(Durable(session_id), [decode(row.body)], sizes))
