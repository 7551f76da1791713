"""The streams of a registry, for code on its event loop: of sessions, and of single turns."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, overload

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import FollowTurn, Subscribe
from turnkeeper.actors.model.records import HOST, Asker, SessionId
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef

from .event import CLOSE, Event
from .reaction import close_on_named
from .subscription import Subscription
from .together import Together
from .turn_reader import TurnReader


def asker_of(user: str | None) -> Asker:
    """On whose behalf a call is made: a user's, or the host's own."""
    return HOST if user is None else Asker(user)


class SessionStreams(ABC):
    """The ways to follow what sessions publish."""

    @property
    @abstractmethod
    def ref(self) -> AsyncioRef[Any]:
        """The registry actor's ref."""

    @abstractmethod
    def refuse_inside(self, session_id: str, turn_id: str | None = None, instead: str | None = None) -> None:
        """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""

    async def subscribe(
        self,
        session_id: str,
        *,
        after: str | None = None,
        user: str | None = None,
        close_on: str | None = None,
        close_on_superseded: bool = False,
    ) -> Subscription:
        """Follow a session until ``close_on`` (``cancelled``), one of the words of `CloseOn`.

        If the session is not known, this waits until a send opens it. Call the subscription's `close` at the
        end. ``close_on_superseded=True`` is ``close_on="superseded"``. Cancelling it gives back what it would
        have got. Raises `InvalidRequest` and `TooManyStreams`.
        """
        chosen = _close_on(close_on, close_on_superseded)
        return await self.follow(Subscribe(session_id, after, asker_of(user), chosen))

    @overload
    async def follow(self, message: Subscribe) -> Subscription: ...

    @overload
    async def follow(self, message: FollowTurn) -> TurnReader: ...

    async def follow(self, message: Subscribe | FollowTurn) -> Subscription:
        """Follow a session, or one of its turns, for the message's asker.

        Cancelling it gives back what it would have got.
        """
        asked = _Following()
        self.ref.forward(message, asked)
        try:
            return await asked
        except asyncio.CancelledError:
            asked.give_up()
            raise

    async def events(
        self,
        session_id: str,
        *,
        after: str | None = None,
        user: str | None = None,
        close_on: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Follow a session's events: after the id ``after``, or the turn in flight and then live.

        Ends when the session's streams end, which ``close_on`` says (``cancelled``; see `subscribe`), when
        the reader lags more than ``subscriber_buffer`` events behind, and behind what a journal gives at once
        of what is not in memory: come back with the last id. Leaving the loop unsubscribes (at once with
        `contextlib.aclosing`).
        """
        subscription = await self.subscribe(session_id, after=after, user=user, close_on=close_on)
        try:
            async with aclosing(subscription.events()) as events:
                async for event in events:
                    yield event
        finally:
            subscription.close()

    async def turn_events(
        self, session_id: str, turn_id: str, *, after: str | None = None, user: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """All events of one turn, from its event 0, or the one after the id ``after``, to its terminal event.

        However slowly they are taken, none is left out: where the session no longer keeps what comes next,
        this raises `EventsLost`. It begins when the turn starts; of one that never started there is the
        terminal event. Leaving the loop leaves the turn alone. Raises `UnknownSession`, `UnknownTurn`,
        `InvalidRequest`, `TooManyStreams`, `ShuttingDown`, and `WaitsForItself` inside that very turn.
        """
        self.refuse_inside(session_id, turn_id)
        complete = False
        while not complete:
            reader = await self.follow(FollowTurn(session_id, turn_id, after, asker_of(user)))
            try:
                async with aclosing(reader.events()) as events:
                    async for event in events:
                        if event.name != CLOSE:
                            after = event.id
                            yield event
            finally:
                reader.close()
            complete = reader.complete

    def together(self, *, user: str | None = None) -> Together:
        """A reader of several sessions at once, which has none yet: see `Together`. Close it at the end."""
        return Together(self.follow, asker_of(user))

    async def events_of(
        self, cursors: Mapping[str, str | None], *, user: str | None = None
    ) -> AsyncGenerator[tuple[SessionId, Event], None]:
        """Follow several sessions, each after its id, or as `events` without one: events with their sessions.

        Streams stay open over a cancel. Ends at a shutdown, or when one session's events come more than
        ``subscriber_buffer`` too fast. Leaving the loop unsubscribes (at once with `contextlib.aclosing`).
        Raises what `subscribe` raises. To add and drop sessions meanwhile, use `together`.
        """
        together = self.together(user=user)
        try:
            for session_id, after in cursors.items():
                await together.add(session_id, after)
            async with aclosing(together.events()) as events:
                async for each in events:
                    yield each
        finally:
            together.close()


class _Following(AsyncioFuture[Subscription]):
    """A subscription that is awaited. If the wait is given up, nothing else could end it."""

    _given_up = False

    def give_up(self) -> None:
        """Close it, now or when it comes: a waiter that is being cancelled must not be kept until then."""
        self._given_up = True
        if self.done():
            with suppress(Exception):
                self.get(timeout=0).close()

    def set(self, value: Subscription | None = None) -> None:
        super().set(value)
        if self._given_up and value is not None:
            value.close()


def _close_on(name: str | None, superseded: bool) -> CloseOn:
    if name is None:
        return CloseOn.SUPERSEDED if superseded else CloseOn.CANCELLED
    chosen = close_on_named(name)
    if superseded and chosen is not CloseOn.SUPERSEDED:
        text = f"close_on_superseded=True is close_on='superseded', not {chosen.value!r}"
        raise InvalidRequest(text, field="close_on")
    return chosen
