"""What a session publishes and its readers: the log and the streams that are fed from it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from turnkeeper.actors.metrics.meter import GAPS, SUBSCRIBER_OVERFLOW, Meter
from turnkeeper.actors.model.exceptions import EventsLost
from turnkeeper.actors.model.records import Epoch, Extras, TurnId, TurnRecord
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Closed, Ending, Running, State
from turnkeeper.actors.session.views import queue_of, view

from .event import Event, gap_event, snapshot_event
from .log import EventLog, Gap, Past
from .readers import Readers
from .subscription import Subscription
from .turn_reader import TurnReader, id_after


class FeedHost(Protocol):
    """What the feeds of all sessions of a registry have in common."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    @property
    def settings(self) -> Settings:
        """The bounds of logs and readers."""
        ...

    @property
    def meter(self) -> Meter:
        """Where gaps and overflows are counted."""
        ...


class Outbox(Protocol):
    """Where events wait to be written into a journal."""

    def add(self, event: Event, /) -> None:
        """An event was emitted."""
        ...


def _uncounted() -> None:
    """Count nothing."""


class Feed:
    """One session's events. A session without readers keeps no more than its log."""

    __slots__ = ("_host", "log", "outbox", "readers", "recalls")

    def __init__(self, host: FeedHost, log: EventLog | None = None) -> None:
        self._host = host
        #: ``None`` while nothing reads.
        self.readers: Readers | None = None
        #: How many more wait for what a journal has.
        self.recalls = 0
        self.log = EventLog() if log is None else log
        #: Where emitted events wait for a journal; ``None`` without one.
        self.outbox: Outbox | None = None

    def append(self, event: Event) -> None:
        """Publish an event: keep it in the log, and wake the readers."""
        settings = self._host.settings
        self.log.append(event, settings.log_events, settings.log_bytes)
        if self.readers is not None:
            self.readers.published(self.log.head)

    # -- Readers ----------------------------------------------------------------------------------------

    @property
    def is_read(self) -> bool:
        """Whether it has readers, or is about to have one."""
        return self.readers is not None or self.recalls > 0

    def has_reader_of(self, turn_id: TurnId) -> bool:
        """Whether that turn has a reader, or is about to have one."""
        if self.recalls > 0:
            return True
        readers = self.readers or ()
        return any(type(reader) is not TurnReader or reader.reads(turn_id) for reader in readers)

    @property
    def reader_count(self) -> int:
        """How many readers it has."""
        return 0 if self.readers is None else len(self.readers)

    def reader(
        self,
        state: State,
        cursor: str | None,
        on_end: Callable[[Subscription], None],
        close_on: CloseOn,
        past: Past | None = None,
        standing: Standing | None = None,
        extras: Extras | None = None,
    ) -> Subscription:
        """A reader that begins behind ``cursor``; it is woken and ended once it has been added.

        It is first given ``past``, if the log does not keep what comes behind the cursor; else how the
        session stands where the cursor cannot be continued from, where there is none, and where nothing was
        ever published. ``standing`` is where the turn stands that is called up, if it waits for a slot, and
        ``extras`` are those of the one in flight.
        """
        if past is not None:
            return self._subscription(
                past.goes_on_at(self.log.first), list(past.events), on_end, close_on, self._counts(past)
            )
        found = self.log.locate(cursor, self._current_epoch(state))
        position = found.resume_at if isinstance(found, Gap) else found
        prelude = [gap_event(found.since, found.min_available)] if isinstance(found, Gap) else []
        if prelude:
            self._host.meter.count(GAPS)
        if prelude and isinstance(state, Closed):
            # Nothing will follow: what is kept brings its reader to a cursor that can be continued from.
            position = self.log.first
        if prelude or cursor is None or self.log.head == 0:
            prelude.append(
                snapshot_event(
                    view(state, extras=extras), queue_of(state, standing), self.log.cursor_at(position)
                )
            )
        return self._subscription(position, prelude, on_end, close_on, self._count_overflow)

    def _subscription(
        self,
        position: int,
        prelude: list[Event],
        on_end: Callable[[Subscription], None],
        close_on: CloseOn,
        count_overflow: Callable[[], None],
    ) -> Subscription:
        most = self._host.settings.subscriber_buffer
        return Subscription(self.log, position, prelude, most, on_end, count_overflow, close_on=close_on)

    def _current_epoch(self, state: State) -> Epoch | None:
        """The first epoch that is kept of the turn in flight, if there is one."""
        if not isinstance(state, Running | Ending):
            return None
        first = self.log.started_at(state.turn.spec.turn_id) if state.turn.attempt > 1 else None
        return state.turn.epoch if first is None else self.log.read(first, 1)[0].epoch

    def turn_reader(
        self,
        record: TurnRecord,
        after: str | None,
        on_end: Callable[[Subscription], None],
        past: Past | None = None,
    ) -> TurnReader:
        """A reader of one turn, from behind the id ``after``. Raises `EventsLost` and `InvalidRequest`.

        It is first given ``past``, if the log does not keep what comes behind that id.
        """
        try:
            return TurnReader(self.log, record, id_after(after), on_end, self._counts(past), past)
        except EventsLost:
            self._host.meter.count(GAPS)
            raise

    def _counts(self, past: Past | None) -> Callable[[], None]:
        """What counts that a reader lags behind: not one that is given a part only."""
        return _uncounted if past is not None and past.position is None else self._count_overflow

    def _count_overflow(self) -> None:
        self._host.meter.count(SUBSCRIBER_OVERFLOW)

    def add(self, reader: Subscription) -> None:
        """Wake this reader from now on."""
        if self.readers is None:
            self.readers = Readers(self._host.loop)
        self.readers.add(reader)

    def has(self, reader: Subscription) -> bool:
        """Whether this reader was added and not removed since."""
        return self.readers is not None and reader in self.readers

    def remove(self, reader: Subscription) -> bool:
        """Let go of this reader. False if it was not there."""
        readers = self.readers
        if readers is None or reader not in readers:
            return False
        readers.remove(reader)
        if not readers:
            self.readers = None
        return True

    def end(self, end: StreamEnd, *, superseded: bool = False) -> None:
        """A `close` is due to all readers. Some may read on: see `Subscription.end`."""
        if self.readers is not None:
            self.readers.end(self.log.head, end, superseded=superseded)
