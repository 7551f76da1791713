"""One reader of one turn: what it is given of the session's log, and where that begins and ends.

A turn is all that its session publishes in its epochs, from event 0 to the terminal event. It has more than
one only if it was cut off by a restart. Its reader looks at everything else too, but passes that over; while
the turn waits to be started, nothing of it is in the log. How far it lags behind does not matter, only that
the log still keeps what comes next.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from turnkeeper.actors.model.exceptions import EventsLost, InvalidRequest
from turnkeeper.actors.model.records import Epoch, TurnId, TurnRecord
from turnkeeper.actors.model.words import TERMINAL, CloseOn, StreamEnd, is_final
from turnkeeper.actors.session.consequences import ENDS

from .closes import Closes
from .event import CLOSE, CLOSES, END_NAMES, STARTED, Event
from .log import FROM_START, EventLog, Past, id_of
from .mark import Mark
from .outlet import Encoded, Outlet
from .subscription import Subscription

#: The end of the stream that follows a turn, by the name of the turn's terminal event.
STREAM_ENDS: dict[str, StreamEnd] = {name: ENDS[status].stream for status, name in END_NAMES.items()}


def id_after(cursor: object) -> tuple[Epoch, int] | None:
    """The id that a reader of a turn has seen last; ``None`` for nothing. Raises `InvalidRequest`."""
    if cursor is None or (isinstance(cursor, str) and cursor in FROM_START):
        return None
    seen = id_of(cursor) if isinstance(cursor, str) else None
    if seen is None:
        raise InvalidRequest("after must be the id of an event, or 0", field="after")
    return seen


class _Place(NamedTuple):
    """Where a reader begins, what epoch it has seen of the turn, and whether that is all of the turn."""

    position: int
    epoch: Epoch | None = None
    complete: bool = False


def _start(log: EventLog, record: TurnRecord, seen: tuple[Epoch, int] | None) -> _Place:
    """Where a reader begins that has ``seen`` that much of the session. Raises `EventsLost`."""
    last, over = record.epoch, record.status in TERMINAL
    if last is None:
        return _Place(log.head)  # nothing with an id was published of it, and nothing is lost
    if over and seen is not None and seen[0] > last:
        return _Place(log.head, last, complete=True)
    first = _first(log, record)
    if first is not None and (seen is None or seen[0] < first[1]):
        return _Place(*first)
    position = None if seen is None else log.behind(seen)
    if seen is not None and position is not None:
        return _Place(position, seen[0], over and not _has_more(log, position, last))
    which = "the events after {}-{}".format(*seen) if seen is not None else "the first events"
    raise EventsLost(f"{which} of turn {record.turn_id!r} are not kept")


def lacks(log: EventLog, record: TurnRecord, seen: tuple[Epoch, int] | None) -> bool:
    """Whether the log does not keep what a reader of this turn is due next."""
    try:
        _start(log, record, seen)
    except EventsLost:
        return True
    return False


def _first(log: EventLog, record: TurnRecord) -> tuple[int, Epoch] | None:
    """The position of the turn's first event, and its epoch; ``None`` if it is not kept."""
    if record.epoch is not None and record.attempt == 1:
        position = log.find(record.epoch, 0)
        if position is not None and log.read(position, 1)[0].name == STARTED:
            return position, record.epoch
    position = log.started_at(record.turn_id)
    if position is None:
        return None
    epoch = log.read(position, 1)[0].epoch
    return None if epoch is None else (position, epoch)


def _has_more(log: EventLog, position: int, last: Epoch) -> bool:
    """Whether an event of that epoch, or of one before it, comes at that position or later."""
    following = (event.epoch for event in log.read(position, sys.maxsize))
    return any(epoch is not None and epoch <= last for epoch in following)


class _Closes(Closes):
    """Those of a reader that does not outlive its turn: the end of that, and what is final before it."""

    __slots__ = ()

    def end(self, mark: Mark) -> None:
        if is_final(mark.end):
            super().end(mark)

    def end_turn(self, position: int, end: StreamEnd) -> None:
        """The turn is over: what comes from ``position`` on is another's."""
        self.ended, self.ending, self.stop_at = True, end, position
        self.due = ((position, CLOSES[end]),)


class TurnReader(Subscription):
    """A reader of one turn. After the turn's terminal event comes a `close`, and nothing more."""

    __slots__ = ("_epoch", "complete", "head")

    def __init__(
        self,
        log: EventLog,
        record: TurnRecord,
        seen: tuple[Epoch, int] | None,
        on_end: Callable[[Subscription], None],
        count_overflow: Callable[[], None],
        past: Past | None = None,
    ) -> None:
        """``record`` is the turn as it stands, ``seen`` the id after which to begin.

        ``past`` is what comes next of what the log does not keep; without it, that raises `EventsLost`.
        """
        if past is None:
            position, epoch, complete = _start(log, record, seen)
            prelude = []
        else:
            position, epoch, complete = past.goes_on_at(log.first), past.epoch, past.complete
            prelude = list(past.events)
        super().__init__(log, position, prelude, sys.maxsize, on_end, count_overflow)
        self._closes: _Closes = _Closes(CloseOn.NEVER)
        #: What is known of the turn from its send on.
        self.head = record.head
        #: The epoch in which the turn is.
        self._epoch = epoch
        #: Whether the reader has been given the terminal event, or came with an id that is not before it.
        self.complete = complete
        if complete:
            self._closes.end_here(position)
        elif record.epoch is None and record.status in TERMINAL:
            # It never started. The log may have dropped its end, but the record says the same.
            self._prelude = [Event(END_NAMES[record.status], source=record)]
            self._end_turn(self._prelude[0], position)

    @property
    def turn_id(self) -> TurnId:
        """Which turn it reads."""
        return self.head.turn_id

    def take(self) -> list[Event]:
        """What waits of the turn, without waiting for more."""
        while True:
            begin = self._position
            whole = self.complete
            batch = super().take()
            if whole or not batch or batch[0].name == CLOSE:
                return batch
            found = self._of_turn(batch, begin)
            if found:
                return found

    def _of_turn(self, batch: list[Event], begin: int) -> list[Event]:
        """Those events of the turn. After its terminal event there are none."""
        found: list[Event] = []
        for position, event in enumerate(batch, begin):
            if self._is_mine(event):
                found.append(event)
                if event.ends_turn:
                    self._end_turn(event, position + 1)
                    break
        return found

    def _is_mine(self, event: Event) -> bool:
        epoch = event.epoch
        if epoch is not None and epoch == self._epoch:
            return True
        # In another epoch, or before the first one, it says which turn it is about.
        if not (event.name == STARTED or event.name in STREAM_ENDS):
            return False
        if (epoch is None and self._epoch is not None) or event.turn_id != self.head.turn_id:
            return False
        self._epoch = epoch
        return True

    def _end_turn(self, event: Event, position: int) -> None:
        """That is the terminal event: after it comes the `close`."""
        self.complete, self._position = True, position
        self._closes.end_turn(position, STREAM_ENDS[event.name])

    def published(self, head: int, encoded: Encoded) -> None:
        """All of it goes to the outlet if it is the turn's and not its end; else the reader looks."""
        if self.parked and not self._is_plain(head):
            self.wake()
        else:
            super().published(head, encoded)

    def _is_plain(self, head: int) -> bool:
        position = self._position
        events = self._log.read(position, head - position)
        # Before it has started all may be another's: what it waits for, and what else has no epoch.
        return self._epoch is not None and all(
            event.epoch == self._epoch and event.name not in STREAM_ENDS for event in events
        )

    @property
    def invites_back(self) -> bool:
        """Never: nothing follows a turn."""
        return False

    def reads(self, turn_id: TurnId) -> bool:
        """Whether it reads that turn, and has not had all of it."""
        return turn_id == self.turn_id and not self.complete

    @property
    def spent(self) -> bool:
        """Whether nothing of the turn is left for this reader."""
        return self.complete and not self._closes.due


class WholeTurn:
    """Reads one turn to the end of its stream, with one reader after another.

    A reader is given at most about as much at once as memory keeps of a session, and ends behind that without
    a `close`, as one does that reads too slowly. The next one goes on there, in memory or in the journal.
    """

    def __init__(
        self, reader: TurnReader, again: Callable[[str | None], Awaitable[TurnReader | None]]
    ) -> None:
        """``again`` is given the last id that was read, and gives the next reader: ``None`` for none."""
        self._reader = reader
        self._again = again
        self._last: str | None = None
        self._closed = False
        #: Never used: it does not matter how far it lags behind, and it looks for itself what has come.
        self.on_overflow: Callable[[], None] | None = None
        self.outlet: Outlet | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._closed or (self._reader.ended and not self._goes_on)

    @property
    def _goes_on(self) -> bool:
        reader = self._reader
        return reader.overflowed and not reader.complete and not self._closed

    @property
    def complete(self) -> bool:
        """Whether the turn's terminal event was read."""
        return self._reader.complete

    @property
    def invites_back(self) -> bool:
        """Never: nothing follows a turn."""
        return False

    async def read(self) -> list[Event]:
        """All that waits; an empty list is the end, or a `poke`. Raises what ``again`` raises.

        Cancelling it loses nothing.
        """
        while True:
            batch = await self._reader.read()
            if batch:
                self._last = next((event.id for event in reversed(batch) if event.id), self._last)
                return batch
            if not self._reader.ended or not self._goes_on:
                return []
            self._reader.close()
            following = await self._again(self._last)
            if following is None:
                self._closed = True
            elif self._closed:
                following.close()
            else:
                self._reader = following

    def poke(self) -> None:
        """Let `read` return now."""
        self._reader.poke()

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        self._closed = True
        self._reader.close()
