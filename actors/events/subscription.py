"""One reader of one session: where it stands in the log, and how it is woken.

What is published reaches a reader in one of two ways. Its own task takes it with `read` and may then wait as
long as the peer makes it wait. Or, while that task waits in `read`, `Readers` writes it to the reader's
outlet, without waking anything. Only one of the two can be at work: the outlet is used exactly while the task
waits and has not been woken, and both go on from the one position that the reader has. Nothing else is due
then: before it waits, `take` has given it its prelude and each `close`, and one that becomes due later wakes
it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from turnkeeper.actors.model.words import CloseOn, Return, StreamEnd, returning

from .closes import Closes
from .event import Event
from .log import EventLog
from .mark import Mark
from .outlet import Encoded, Outlet, push

#: How many events are handed out at once.
BATCH = 256


class Subscription:
    """A reader of a session's events. It holds no events itself, only its position in the log.

    Not thread-safe: it belongs to the loop of its session.
    """

    __slots__ = (
        "__weakref__",
        "_closes",
        "_count_overflow",
        "_live_from",
        "_log",
        "_on_end",
        "_poked",
        "_position",
        "_prelude",
        "max_lag",
        "on_overflow",
        "outlet",
        "overflowed",
        "waiter",
    )

    def __init__(
        self,
        log: EventLog,
        position: int,
        prelude: list[Event],
        max_lag: int,
        on_end: Callable[["Subscription"], None],
        count_overflow: Callable[[], None],
        *,
        close_on: CloseOn = CloseOn.CANCELLED,
    ) -> None:
        self._log = log
        self._position = position
        #: Only what is published from here on counts as lag: a replay may be longer than the buffer.
        self._live_from = log.head
        self._prelude = prelude
        #: What is set when there is something to do, while that is waited for: by `read`, or by another.
        self.waiter: asyncio.Future[None] | None = None
        self._on_end = on_end
        self._count_overflow = count_overflow
        self._closes = Closes(close_on)
        self._poked = False
        self.max_lag = max_lag
        #: Whether it was ended because it lagged behind.
        self.overflowed = False
        #: Called when it lags behind too far, so that a writer stuck in the network can be freed.
        self.on_overflow: Callable[[], None] | None = None
        #: Where events go at once while the reader waits for them.
        self.outlet: Outlet | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be published to this reader."""
        return self._closes.heed().ended

    @property
    def ending(self) -> StreamEnd | None:
        """Why it ended, as its last event says; ``None`` if it has not, or ended without a `close`."""
        return self._closes.heed().ending

    @property
    def lag(self) -> int:
        """How many live events wait for this reader."""
        stop_at = self._closes.stop_at
        head = self._log.head if stop_at is None else stop_at
        return head - max(self._position, self._live_from)

    @property
    def parked(self) -> bool:
        """Whether the reader waits for something to happen."""
        return self.waiter is not None

    async def read(self) -> list[Event]:
        """All that waits for this reader, at most `BATCH` events; an empty list is the end, or a `poke`.

        Waits until there is something. Cancelling it loses nothing.
        """
        while True:
            batch = self.take()  # which heeds what is due to all
            if batch or self._closes.ended or self._poked:
                self._poked = False
                return batch
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None

    def take(self) -> list[Event]:
        """What waits for this reader, without waiting for more."""
        closes, log, position = self._closes.heed(), self._log, self._position
        if self._prelude:
            batch, self._prelude = self._prelude, []
            return batch
        if closes.due and (close := closes.take(position)) is not None:
            return [close]
        waiting = log.head - position
        if self.overflowed or not waiting or position == closes.stop_at:
            return []
        # Only what waits can lag, and mostly that is little: the lag itself is two calls.
        if position < log.first or (waiting > self.max_lag and self.lag > self.max_lag):
            self.overflow()
            return []
        until = closes.until()
        limit = BATCH if until is None else min(BATCH, until - position)
        batch = log.read(position, limit)
        self._position = position + len(batch)
        return batch

    def published(self, head: int, encoded: Encoded) -> None:
        """The log's head is now ``head``: what lies before it goes to the outlet, or the reader looks.

        A reader that does not wait looks anyway, but is ended here if it lags too far behind meanwhile.
        """
        outlet, waiter, position, closes = self.outlet, self.waiter, self._position, self._closes
        if closes.mark.next is not None:
            closes.heed()
        if waiter is None:
            if not closes.ended and self.lag > self.max_lag:
                self.overflow()
            return
        if waiter.done() or (position == head and not closes.due):
            return
        # More than these it takes in parts, or it lags too far behind.
        few = head - position <= BATCH and head - position <= self.max_lag and not closes.due
        if outlet is not None and few and push(outlet, self._log, position, head, encoded):
            self._position = head
        else:
            waiter.set_result(None)

    @property
    def cursor(self) -> str:
        """The cursor of a reader that has been given all before its position: where it goes on."""
        return self._log.cursor_at(self._position)

    def wake(self) -> None:
        """Let the reader look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def poke(self) -> None:
        """Let `read` return now, with an empty list if nothing waits."""
        self._poked = True
        self.wake()

    def end(self, end: StreamEnd, *, superseded: bool = False) -> None:
        """A `close` is due after what is in the log now: see `reaction`, also for ``superseded``."""
        self._closes.heed().end(Mark(self._log.head, end, superseded=superseded))
        self.wake()

    def heed_from(self, mark: Mark) -> None:
        """Each mark that is made after this one is for this reader, too."""
        self._closes.mark = mark

    def overflow(self) -> None:
        """End it at once: the reader lags too far behind, and resumes with its cursor."""
        if not self.overflowed:
            self.overflowed, self._prelude = True, []
            self._closes.drop()
            self._count_overflow()
            self.wake()
            if self.on_overflow is not None:
                self.on_overflow()

    def end_here(self) -> None:
        """End it after what is in the log now, without a `close`."""
        self._closes.heed().end_here(self._log.head)
        self.wake()

    @property
    def invites_back(self) -> bool:
        """Whether it ends with a `close` after which the session goes on, on a new stream."""
        return self.ending is not None and returning(self.ending) is Return.NOW

    @property
    def spent(self) -> bool:
        """Whether its session is over, and no event with an id is left for this reader."""
        over = self.ending is not None and returning(self.ending) is Return.NEVER
        left = any(event.epoch is not None for event in self._prelude)
        return over and not left and not self._log.has_id_from(self._position)

    def move(self, log: EventLog, on_end: Callable[["Subscription"], None]) -> None:
        """Read this log from here on, from its beginning. ``on_end`` is called when the reader leaves."""
        self._log, self._on_end = log, on_end
        self._position, self._live_from = log.first, log.head

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        self._closes.ended, self.outlet, self.on_overflow = True, None, None
        self._on_end(self)
        self.wake()

    async def events(self) -> AsyncGenerator[Event, None]:
        """All that comes, one by one, to the end."""
        while (batch := await self.read()) or not self.ended:
            for event in batch:
                yield event
