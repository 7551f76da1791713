"""One reader of one session: where it stands in the log, and how it is woken."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from turnkeeper.actors.model.words import StreamEnd

from .event import CLOSE, Event
from .log import EventLog

#: How many events are handed out at once.
BATCH = 256


class Subscription:
    """A reader of a session's events. It holds no events itself, only its position in the log.

    Not thread-safe: it belongs to the loop of its session.
    """

    __slots__ = (
        "__weakref__",
        "_close",
        "_count_overflow",
        "_live_from",
        "_log",
        "_on_end",
        "_poked",
        "_position",
        "_prelude",
        "_stop_at",
        "_waiter",
        "close_on_superseded",
        "ended",
        "max_lag",
        "on_overflow",
        "overflowed",
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
        close_on_superseded: bool = False,
    ) -> None:
        self._log = log
        self._position = position
        #: Only what is published from here on counts as lag: a replay may be longer than the buffer.
        self._live_from = log.head
        self._prelude = prelude
        self._waiter: asyncio.Future[None] | None = None
        self._on_end = on_end
        self._count_overflow = count_overflow
        self._close: Event | None = None
        #: Where it ends: nothing that is published from there on is for this reader.
        self._stop_at: int | None = None
        self._poked = False
        self.max_lag = max_lag
        self.close_on_superseded = close_on_superseded
        #: Whether nothing more will be published to this reader.
        self.ended = False
        #: Whether it was ended because it lagged behind.
        self.overflowed = False
        #: Called when it lags behind too far, so that a writer stuck in the network can be freed.
        self.on_overflow: Callable[[], None] | None = None

    @property
    def lag(self) -> int:
        """How many live events wait for this reader."""
        head = self._log.head if self._stop_at is None else self._stop_at
        return head - max(self._position, self._live_from)

    @property
    def parked(self) -> bool:
        """Whether the reader waits for something to happen."""
        return self._waiter is not None

    async def read(self) -> list[Event]:
        """All that waits for this reader, at most `BATCH` events; an empty list is the end, or a `poke`.

        Waits until there is something. Cancelling it loses nothing.
        """
        while True:
            batch = self.take()
            if batch or self.ended or self._poked:
                self._poked = False
                return batch
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def take(self) -> list[Event]:
        """What waits for this reader, without waiting for more."""
        if self._prelude:
            batch, self._prelude = self._prelude, []
            return batch
        if self.overflowed:
            return []
        if self._position < self._log.first or self.lag > self.max_lag:
            self.overflow()
            return []
        limit = BATCH if self._stop_at is None else min(BATCH, self._stop_at - self._position)
        batch = self._log.read(self._position, limit)
        self._position += len(batch)
        if not batch and self._close is not None:
            batch, self._close = [self._close], None
        return batch

    def wake(self) -> None:
        """Let the reader look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def poke(self) -> None:
        """Let `read` return now, with an empty list if nothing waits."""
        self._poked = True
        self.wake()

    def end(self, end: StreamEnd) -> None:
        """Nothing more comes after what is in the log now but ``close``, which says why."""
        if not self.ended:
            self.ended = True
            self._stop_at = self._log.head
            self._close = Event(CLOSE, text=end)
            self.wake()

    def overflow(self) -> None:
        """End it at once: the reader lags too far behind, and resumes with its cursor."""
        if not self.overflowed:
            self.overflowed = self.ended = True
            self._prelude = []
            self._close = None
            self._count_overflow()
            self.wake()
            if self.on_overflow is not None:
                self.on_overflow()

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        self.ended = True
        self._on_end(self)
        self.wake()

    async def events(self) -> AsyncGenerator[Event, None]:
        """All that comes, one by one, to the end."""
        while (batch := await self.read()) or not self.ended:
            for event in batch:
                yield event
