"""What the log of a session says is in the tables, made by what has written them."""

from typing import Any, Final, NamedTuple

from turnkeeper.actors.journal.contract import Append
from turnkeeper.actors.journal.entries import Entry
from turnkeeper.actors.journal.sqlite.rows import TurnRow
from turnkeeper.actors.journal.sqlite.writing.group import Group, Next, Row, Written
from turnkeeper.actors.model.records import SessionId


class Nowhere:
    """Stands for an asker that wants no answer."""

    def tell_if_alive(self, _message: Any, /) -> bool:
        """Drop the message."""
        return False


NOWHERE: Final = Nowhere()


class EntryRow(NamedTuple):
    """An entry as its table has it."""

    id: int
    session: int
    position: int | None
    turn: int | None
    body: str


class Rebuild:
    """The rows of one session, made of its log. ``row`` is its own."""

    def __init__(self, session_id: SessionId, number: int) -> None:
        self._numbers = Next(session=number, entry=0, turn=0)
        self._group = Group(self._numbers)
        self._number = number
        self.row = self._group.opens(session_id)

    def add(self, stored: EntryRow, entry: Entry) -> EntryRow:
        """The next entry of the log, as it is to be stored. Raises `KeyError` for one of an unknown turn."""
        self._numbers.entry, self._numbers.turn = stored.id, stored.turn or 0
        append = Append(self.row.id, None, (entry,), "", NOWHERE)
        self._group.add(self.row, Written(append, (stored.body.encode(),)))
        return EntryRow(*self._group.entries.pop())

    @property
    def turns(self) -> dict[int, TurnRow]:
        """Its turns, by their numbers."""
        return self._group.turns

    @property
    def said(self) -> list[Row]:
        """What was said in it."""
        return self._group.said.get(self._number, [])

    @property
    def own_events(self) -> list[Row]:
        """The events of turnkeeper's own."""
        return self._group.events
