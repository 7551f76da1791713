"""What was said in a session: its messages by their numbers, counted from the very first one."""

import sqlite3
from typing import Any, Final

import msgspec

from turnkeeper.actors.journal.entries import Ended, decode
from turnkeeper.actors.journal.sqlite.rows import SessionRow
from turnkeeper.actors.journal.sqlite.statements import rows
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.frozen import frozen

#: How many turns' messages are read at a time.
_AT_A_TIME: Final = 32


class _Part(msgspec.Struct, array_like=True):
    """So many messages that a turn has added, the first of which has that number."""

    first: int
    count: int
    body: str

    def messages(self) -> list[Any]:
        """The messages themselves."""
        ended = decode(self.body)
        assert isinstance(ended, Ended), "which has added messages"
        return ended.add[: self.count]  # type: ignore[no-any-return]


_parts: Final = msgspec.json.Decoder(list[_Part])


def between(connection: sqlite3.Connection, row: SessionRow, start: int, end: int) -> tuple[Any, ...]:
    """The messages from that number on, and before the other one."""
    messages: list[Any] = []
    while start < end:
        those = "said.first + said.count > ? AND said.first < ?"
        select = f"{_SELECT} AND {those} ORDER BY said.first LIMIT {_AT_A_TIME}"
        parts = rows(connection, _COLUMNS, select, (row.number, start, end), _parts)
        if not parts:
            break
        for part in parts:
            messages += part.messages()[max(0, start - part.first) : end - part.first]
            start = part.first + part.count
    return tuple(map(frozen, messages))


def last(
    connection: sqlite3.Connection, row: SessionRow, most: int, size: int
) -> tuple[tuple[Any, ...], int]:
    """The last messages and the number of the first of them.

    There may be more than ``most``, or than take about ``size`` bytes of memory; all that are not more.
    """
    messages: list[Any] = []
    first, taken = row.messages, 0
    while first and len(messages) < most and taken <= size:
        select = f"{_SELECT} AND said.first < ? ORDER BY said.first DESC LIMIT {_AT_A_TIME}"
        parts = rows(connection, _COLUMNS, select, (row.number, first), _parts)
        if not parts:
            break
        for part in parts:
            said = part.messages()
            messages[:0] = said
            taken += sum(map(footprint, said))
            first = part.first
            if len(messages) >= most or taken > size:
                break
    return tuple(map(frozen, messages)), first


_COLUMNS: Final = "first, count, body"
_SELECT: Final = (
    "SELECT said.first AS first, said.count AS count, entry.body AS body FROM said "
    "JOIN entry ON entry.id = said.entry WHERE said.session = ?"
)
