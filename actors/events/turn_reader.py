"""One reader of one turn: what it is given of the session's log, and where that begins and ends.

A turn is all that its session publishes in its epoch, from event 0 to the terminal event. Its reader looks at
everything else too, but passes that over; while the turn waits to be started, nothing of it is in the log.
How far it lags behind does not matter, only whether the log still keeps what comes next.
"""

import sys
from collections.abc import Callable

from turnkeeper.actors.model.exceptions import EventsLost, InvalidRequest
from turnkeeper.actors.model.records import Epoch, TurnRecord
from turnkeeper.actors.model.words import TERMINAL, CloseOn, StreamEnd, is_final
from turnkeeper.actors.session.consequences import ENDS

from .closes import Closes
from .event import CLOSE, CLOSES, END_NAMES, STARTED, Event
from .log import FROM_START, EventLog, id_of
from .mark import Mark
from .outlet import Encoded
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


def _start(log: EventLog, record: TurnRecord, seen: tuple[Epoch, int] | None) -> tuple[int, bool]:
    """The position at which a reader begins, and whether it has seen all of the turn. Raises `EventsLost`."""
    epoch, over = record.epoch, record.status in TERMINAL
    if epoch is None:
        return log.head, False  # nothing with an id was published of it, and nothing is lost
    if seen is None or seen[0] < epoch:
        seen = epoch, -1
    if seen[0] == epoch:
        due = log.find(epoch, seen[1] + 1)
        if due is not None:
            return due, False
        last = log.find(*seen)  # the newest one
        if last is not None:
            return last + 1, over
    elif over:
        return log.head, True
    which = "the events after {}-{}".format(*seen) if seen[1] >= 0 else "the first events"
    raise EventsLost(f"{which} of turn {record.turn_id!r} are not kept")


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

    __slots__ = ("_epoch", "_turn_id", "complete")

    def __init__(
        self,
        log: EventLog,
        record: TurnRecord,
        seen: tuple[Epoch, int] | None,
        on_end: Callable[[Subscription], None],
        count_overflow: Callable[[], None],
    ) -> None:
        """``record`` is the turn as it stands, ``seen`` the id after which to begin. Raises `EventsLost`."""
        position, complete = _start(log, record, seen)
        super().__init__(log, position, [], sys.maxsize, on_end, count_overflow)
        self._closes: _Closes = _Closes(CloseOn.NEVER)
        self._turn_id = record.turn_id
        self._epoch = record.epoch
        #: Whether the reader has been given the terminal event, or came with an id that is not before it.
        self.complete = complete
        if complete:
            self._closes.end_here(position)
        elif record.epoch is None and record.status in TERMINAL:
            # It never started. The log may have dropped its end, but the record says the same.
            self._prelude = [Event(END_NAMES[record.status], source=record)]
            self._end_turn(self._prelude[0], position)

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
                if event.name in STREAM_ENDS:
                    self._end_turn(event, position + 1)
                    break
        return found

    def _is_mine(self, event: Event) -> bool:
        if self._epoch is not None:
            return event.epoch == self._epoch
        name = event.name
        started = name == STARTED
        unstarted = event.epoch is None and name in STREAM_ENDS
        mine = (started or unstarted) and event.turn_id == self._turn_id
        if mine and started:
            self._epoch = event.epoch
        return mine

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

    @property
    def spent(self) -> bool:
        """Whether nothing of the turn is left for this reader."""
        return self.complete and not self._closes.due
