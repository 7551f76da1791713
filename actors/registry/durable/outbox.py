"""The events of one session that an agent has emitted and that are not durable yet.

Readers have been given them. They go into the journal a while later, or with the session's next decision: a
write for each would cost more than the event. Events that could not be written come back, before the others.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, Protocol

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.records import Epoch

#: About what an event takes beside its data, in bytes.
OVERHEAD: Final = 100
#: At how many bytes what waits is written before its time.
FULL: Final = 262_144


class Unwritten(Protocol):
    """How many bytes of events are not durable yet, of all sessions, and how many there may be."""

    unwritten: int

    @property
    def most_unwritten(self) -> int:
        """At how many the turn that emits more is stopped."""
        ...


class OutboxOwner(Protocol):
    """What writes the events of a session."""

    def events_due(self) -> None:
        """Events wait to be written, after a while."""
        ...

    def events_full(self) -> None:
        """So many wait that they are to be written soon."""
        ...

    def events_overflow(self) -> None:
        """More wait, in all sessions, than may."""
        ...


class Outbox:
    """Events in the order in which they were emitted."""

    __slots__ = ("_all", "_events", "_full_at", "_is_due", "_owner", "_size")

    def __init__(self, unwritten: Unwritten, owner: OutboxOwner) -> None:
        self._all = unwritten
        self._owner = owner
        self._events: list[Event] = []
        self._size = 0
        self._full_at = FULL
        self._is_due = False

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> None:
        """An event was emitted."""
        size = event.size + OVERHEAD
        self._events.append(event)
        self._size += size
        unwritten = self._all
        unwritten.unwritten += size
        if not self._is_due:
            self._is_due = True
            self._owner.events_due()
        if self._size > self._full_at:
            self._full_at *= 2
            self._owner.events_full()
        if unwritten.unwritten > unwritten.most_unwritten:
            self._owner.events_overflow()

    def take(self) -> list[Event]:
        """What waits, to be written now."""
        events, self._events = self._events, []
        self._size, self._full_at, self._is_due = 0, FULL, False
        return events

    def put_back(self, events: list[Event]) -> None:
        """These could not be written."""
        if events:
            self._events[:0] = events
            self._size += size_of(events)

    def written(self, events: list[Event]) -> None:
        """These are durable."""
        self._all.unwritten -= size_of(events)

    def forget(self) -> None:
        """What waits will not be written: the session is gone."""
        self.written(self.take())


def size_of(events: list[Event]) -> int:
    """About how many bytes these events take."""
    return sum([event.size for event in events]) + OVERHEAD * len(events)


def by_epoch(events: list[Event]) -> Iterator[tuple[Epoch, list[Event]]]:
    """These events by the epoch that they belong to. All have one."""
    for epoch, some in groupby(events, lambda event: event.epoch):
        if epoch is not None:
            yield epoch, list(some)
