"""Readers of several sessions, read as one: each event with the session that it is of.

Each session has a `Subscription` of its own, with its own position, gap and lag. Only the waiting is common:
all of them are lent the same future, which the first that has something sets.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from turnkeeper.actors.model.messages import Subscribe
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.model.words import CloseOn, StreamEnd

from .event import Event
from .outlet import Outlet
from .subscription import Subscription


class Follow(Protocol):
    """Opens a stream of one session."""

    async def __call__(self, message: Subscribe, /) -> Subscription:
        """The stream. Raises what `Subscribe` is refused with."""
        ...


class Together:
    """A reader of several sessions. Add them, and drop them, while it is being read.

    A session that is closed, or lost, is dropped after its `close`; in a shutdown the last of them ends it.
    It also ends if it lags more than ``subscriber_buffer`` events behind in one session: it is one reader.
    Not thread-safe: it belongs to the loop of its registry.
    """

    def __init__(self, follow: Follow, asker: Asker) -> None:
        self._follow = follow
        self._asker = asker
        self._readers: dict[SessionId, Subscription] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._poked = False
        #: Whether nothing more comes.
        self.ended = False
        #: Why; ``None`` if it has not ended, or was closed or lagged behind.
        self.ending: StreamEnd | None = None
        #: Whether it ended because a reader lagged behind.
        self.overflowed = False
        #: Called when one lags behind too far, so that a writer stuck in the network can be freed.
        self.on_overflow: Callable[[], None] | None = None
        #: Where a session's events go at once while all of them wait.
        self._outlet_of: Callable[[SessionId], Outlet] | None = None

    # -- Which sessions ---------------------------------------------------------------------------------

    @property
    def sessions(self) -> tuple[SessionId, ...]:
        """Those that are followed."""
        return tuple(sorted(self._readers))

    async def add(self, session_id: str, after: str | None = None) -> None:
        """Follow this session too, as ``events(session_id, after=after, close_on="never")`` does.

        One that is followed already is not followed twice. Raises `InvalidRequest`, `TooManyStreams` and
        `ShuttingDown`. Cancelling it gives back what it would have got.
        """
        if session_id in self._readers:
            return
        reader = await self._follow(Subscribe(session_id, after, self._asker, CloseOn.NEVER))
        session = SessionId(session_id)
        if self.ended or session in self._readers:
            reader.close()
            return
        self._readers[session] = reader
        reader.on_overflow = self._overflow
        self._connect(session, reader)
        self.wake()

    def drop(self, session_id: str) -> None:
        """Follow this session no longer. Nothing of it comes from now on."""
        reader = self._readers.pop(SessionId(session_id), None)
        if reader is not None:
            reader.close()

    def cursor(self, session_id: str) -> str | None:
        """The id after which that session goes on; ``None`` if it is not followed."""
        reader = self._readers.get(SessionId(session_id))
        return None if reader is None else reader.cursor

    # -- Reading ----------------------------------------------------------------------------------------

    async def read(self) -> list[tuple[SessionId, Event]]:
        """What waits of one of the sessions, in turns; an empty list is the end, or a `poke`.

        Waits until there is something. Cancelling it loses nothing.
        """
        while True:
            batch = self.take()
            if batch or self.ended or self._poked:
                self._poked = False
                return batch
            self._park(asyncio.get_running_loop().create_future())
            try:
                await self._waiter  # type: ignore[misc]
            finally:
                self._park(None)

    def take(self) -> list[tuple[SessionId, Event]]:
        """What waits of one of the sessions, without waiting for more."""
        for session, reader in list(self._readers.items()):
            if self.ended:
                break
            batch = reader.take()
            if batch:
                # To the end: the others come first next time.
                self._readers[session] = self._readers.pop(session)
                return [(session, event) for event in batch]
            if reader.ended:
                self.drop(session)
                if reader.ending is StreamEnd.SHUTDOWN and not self._readers:
                    self.end(StreamEnd.SHUTDOWN)
        return []

    def _park(self, waiter: "asyncio.Future[None] | None") -> None:
        self._waiter = waiter
        for reader in self._readers.values():
            reader.waiter = waiter

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def poke(self) -> None:
        """Let `read` return now, with an empty list if nothing waits."""
        self._poked = True
        self.wake()

    def connect(self, outlet_of: Callable[[SessionId], Outlet]) -> None:
        """From here on a session's events may go to its outlet at once, while this waits in `read`."""
        self._outlet_of = outlet_of
        for session, reader in self._readers.items():
            self._connect(session, reader)

    def _connect(self, session: SessionId, reader: Subscription) -> None:
        if self._outlet_of is not None:
            reader.outlet = self._outlet_of(session)

    async def events(self) -> AsyncGenerator[tuple[SessionId, Event], None]:
        """All that comes, one by one, to the end."""
        while (batch := await self.read()) or not self.ended:
            for each in batch:
                yield each

    # -- The end ----------------------------------------------------------------------------------------

    def _overflow(self) -> None:
        self.overflowed = True
        self.close()
        if self.on_overflow is not None:
            self.on_overflow()

    def end(self, end: StreamEnd) -> None:
        """End it: nothing more comes of any session."""
        if not self.ended:
            self.ending = end
            self.close()

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        self.ended = True
        for session in list(self._readers):
            self.drop(session)
        self.wake()
