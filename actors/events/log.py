"""What a session published: numbered, bounded, replayable from a cursor.

Every event has a position, which counts everything that was ever appended; a reader keeps only its
position. Replay and live are therefore one and the same reading, and nothing can fall between them.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from turnkeeper.actors.model.records import Epoch, TurnId
from turnkeeper.actors.model.value import value

from .event import INTERRUPTED, STARTED, Event

#: What an event costs beside its text, in bytes. An estimate is enough to bound the log.
_OVERHEAD = 200
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})", re.ASCII)
#: Cursors that ask for everything that is kept.
BEGINNING = "0"
FROM_START = frozenset({BEGINNING, "-"})


def id_of(cursor: str) -> tuple[Epoch, int] | None:
    """The two halves of an event's id; ``None`` for what is no id."""
    match = _CURSOR.fullmatch(cursor)
    return (int(match[1]), int(match[2])) if match else None


@value
class Gap:
    """A cursor that cannot be continued from. ``resume_at`` is the position from which reading goes on.

    ``since`` is the cursor, whatever it was that a client sent.
    """

    since: str | None
    min_available: str | None
    resume_at: int


@value
class Past:
    """What a reader is given before anything of the log: events that this does not keep, oldest first.

    ``position`` is where it goes on behind them, ``None`` if the log does not keep what comes next either:
    then it ends there, and comes back. A reader of one turn has seen some of that in this ``epoch``, and with
    ``complete`` all.
    """

    events: tuple[Event, ...]
    position: int | None
    epoch: Epoch | None = None
    complete: bool = False

    def goes_on_at(self, first: int) -> int:
        """The position behind it where ``first`` is the log's: before that if the reader is to come back."""
        return first - 1 if self.position is None else self.position


class Reached(NamedTuple):
    """The newest event of a log that has an id, which need not be kept."""

    epoch: Epoch
    n: int
    #: Empty where a journal says how far it got, and the event is not kept.
    name: str

    @property
    def id(self) -> str:
        """The id of the event."""
        return f"{self.epoch}-{self.n}"


class Sum(Protocol):
    """How many bytes are kept, of something that logs are a part of."""

    kept: int


class Keeper(Sum, Protocol):
    """How many bytes are kept of one user's, and in all."""

    @property
    def in_all(self) -> Sum:
        """The bytes of all users."""
        ...


class _Uncounted:
    """What a log by itself counts for."""

    def __init__(self) -> None:
        self.kept = 0
        self.in_all: Sum = self


class EventLog:
    """The last events of one session: at most ``max_events`` and about ``max_bytes``."""

    __slots__ = ("_bytes", "_events", "_keeper", "dropped", "dropped_name", "first", "head")

    def __init__(self, keeper: Keeper | None = None) -> None:
        self._keeper = _Uncounted() if keeper is None else keeper
        self._events: list[Event] = []  # the last ones; those at the front that are dropped are cut off late
        #: The position of the oldest event that is kept.
        self.first = 0
        #: The position that the next event will have.
        self.head = 0
        self._bytes = 0
        #: The id of the last numbered event that was dropped, and its name, which no journal keeps.
        self.dropped: tuple[Epoch, int] | None = None
        self.dropped_name = ""

    @property
    def _base(self) -> int:
        """The position of ``events[0]``."""
        return self.head - len(self._events)

    @property
    def _start(self) -> int:
        """``events[:start]`` are dropped."""
        return self.first - self._base

    @property
    def size(self) -> int:
        """About how many bytes the kept events take."""
        return self._bytes

    def restore(
        self, events: Iterable[Event], dropped: tuple[Epoch, int] | None, max_events: int, max_bytes: int
    ) -> None:
        """Keep these, the last of what was published; ``dropped`` is the id of the one before them."""
        self.dropped = dropped
        for event in events:
            self.append(event, max_events, max_bytes)

    def append(self, event: Event, max_events: int, max_bytes: int) -> None:
        """Append, and drop the oldest events beyond the bounds. The newest is always kept."""
        size = event.size + _OVERHEAD
        self._events.append(event)
        self.head += 1
        self._bytes += size
        # Without a call: every event passes here.
        keeper = self._keeper
        keeper.kept += size
        keeper.in_all.kept += size
        if self.head - self.first > max_events or self._bytes > max_bytes:
            self._trim(max_events, max_bytes)

    def _trim(self, max_events: int, max_bytes: int) -> None:
        events, start, before = self._events, self._start, self._bytes
        last = len(events) - 1
        while start < last and (len(events) - start > max_events or self._bytes > max_bytes):
            event = events[start]
            if event.epoch is not None:
                self.dropped = (event.epoch, event.n)
                self.dropped_name = event.name
            self._bytes -= event.size + _OVERHEAD
            start += 1
        self.first = self._base + start
        self._keep(self._bytes - before)
        if start > 64 and start * 2 > len(events):
            del events[:start]

    def forget_all_but_last(self) -> None:
        """Keep the newest event with an id, the last turn's terminal one in a session at rest.

        What was published after it, of turns that never started, stays as well.
        """
        kept = 1
        for event in reversed(self._events[self._start :]):
            if event.epoch is not None:
                break
            kept += 1
        self._trim(kept, self._bytes)
        del self._events[: self._start]

    def _keep(self, size: int) -> None:
        self._keeper.kept += size
        self._keeper.in_all.kept += size

    def forget(self) -> None:
        """It counts no longer; nothing is appended any more."""
        self._keep(-self._bytes)
        self._keeper = _Uncounted()

    def read(self, position: int, limit: int) -> list[Event]:
        """Up to ``limit`` events from ``position`` on; what was dropped meanwhile is not among them."""
        events = self._events
        if position < self.first:  # noqa: PLR1730  a call of max() costs more than all the rest
            position = self.first
        begin = position - self.head + len(events)
        return events[begin : begin + limit]

    def has_id_from(self, position: int) -> bool:
        """Whether an event with an id is kept at ``position`` or after it."""
        kept = self._events[max(position - self._base, self._start) :]
        return any(event.epoch is not None for event in kept)

    def cursor_at(self, position: int) -> str:
        """The cursor of a reader that has seen everything before ``position``."""
        events = self._events
        for index in range(position - self._base - 1, self._start - 1, -1):
            if (seen := events[index].id) is not None:
                return seen
        return BEGINNING if self.dropped is None else "{}-{}".format(*self.dropped)

    def find(self, epoch: Epoch, n: int) -> int | None:
        """The position of the event with this id; ``None`` if it is not kept, or not published yet."""
        events = self._events
        for index in range(len(events) - 1, self._start - 1, -1):
            event = events[index]
            if event.epoch is None:
                continue
            if event.epoch == epoch and event.n == n:
                return self._base + index
            if (event.epoch, event.n) < (epoch, n):
                break
        return None

    def locate(self, cursor: str | None, current: Epoch | None) -> int | Gap:
        """The position at which a reader starts that has seen everything up to ``cursor``, or the gap.

        ``current`` is the epoch of the turn in flight. Without a cursor reading starts at that turn's
        event 0, or at the head when nothing is in flight.
        """
        if cursor is None:
            return self._start_of(current)
        if cursor in FROM_START:
            return self.first
        seen = id_of(cursor)
        if seen is not None:
            position = self.behind(seen)
            if position is not None:
                return position
            if self.dropped is not None and seen < self.dropped:
                return Gap(cursor, self.oldest_id, self.first)
        resume = self._start_of(current)
        return Gap(cursor, self.oldest_id, resume.resume_at if isinstance(resume, Gap) else resume)

    def behind(self, seen: tuple[Epoch, int]) -> int | None:
        """The position behind the event of this id; ``None`` if what comes there is not kept.

        An event that readers saw may have been lost with its process. What the log has next then says that
        its epoch was cut off, and nothing else was lost.
        """
        if seen == self.dropped:
            return self.first
        events = self._events
        following: int | None = None
        before = self.dropped
        for index in range(len(events) - 1, self._start - 1, -1):
            event = events[index]
            if event.epoch is None:
                continue
            here = event.epoch, event.n
            if here == seen:
                return self._base + index + 1
            if here < seen:
                before = here
                break
            following = index
        if following is None or before is None or before[0] != seen[0] or before > seen:
            return None
        return self._base + following if events[following].name == INTERRUPTED else None

    def started_at(self, turn_id: TurnId) -> int | None:
        """The position of the first event of a turn; ``None`` if it is not kept."""
        for index in range(self._start, len(self._events)):
            event = self._events[index]
            if event.name == STARTED and event.turn_id == turn_id:
                return self._base + index if event.attempt == 1 else None
        return None

    def _start_of(self, current: Epoch | None) -> int | Gap:
        if current is None:
            return self.head
        for index in range(self._start, len(self._events)):
            event = self._events[index]
            if event.epoch == current:
                position = self._base + index
                if event.n == 0:
                    return position
                return Gap(None, event.id, position)
        # What waits behind it, without ids, has pushed out all that was published of it.
        return Gap(None, self.oldest_id, self.head)

    @property
    def oldest_id(self) -> str | None:
        """The id of the oldest event that is kept and has one."""
        kept = (event.id for event in self._events[self._start :] if event.epoch is not None)
        return next(kept, None)


def reached(log: EventLog) -> Reached | None:
    """How far a log has got: events without an id may have taken the room of the newest that has one."""
    for event in reversed(log.read(log.first, log.head)):
        if event.epoch is not None:
            return Reached(event.epoch, event.n, event.name)
    return None if log.dropped is None else Reached(*log.dropped, log.dropped_name)
