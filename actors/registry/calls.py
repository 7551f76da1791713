"""What one can ask of a registry, from code on its event loop."""

import asyncio
import types
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, suppress
from typing import Any, TypeVar, overload

from turnkeeper.actors.events.event import CLOSE, Event
from turnkeeper.actors.events.reaction import close_on_named
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.events.turn_reader import TurnReader
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import (
    ActiveTurn,
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    Conversation,
    Counts,
    FollowTurn,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Query,
    Send,
    SessionView,
    Subscribe,
    TurnEnd,
)
from turnkeeper.actors.model.records import HOST, Asker, SessionId, TurnOptions, TurnRecord
from turnkeeper.actors.model.words import CancelCode, CloseOn
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef, ask
from turnkeeper.actors.turn.turn import current

from .receipt import Receipt

R = TypeVar("R")


class SessionCalls(ABC):
    """The calls to sessions. Each asks the registry's actor and awaits its answer.

    ``user`` is the user on whose behalf a call is made; ``None`` is the host's own code, which may see every
    session. A session that the user may not see gets the answer of an unknown one.
    """

    @property
    @abstractmethod
    def ref(self) -> AsyncioRef[Any]:
        """The registry actor's ref."""

    @abstractmethod
    def refuse_inside(self, session_id: str, turn_id: str | None = None, instead: str | None = None) -> None:
        """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""

    def ask(self, query: Query[R]) -> AsyncioFuture[R]:
        """Ask any query; ``await`` the answer. Giving up the wait changes nothing."""
        return ask(self.ref, query)

    async def send(
        self,
        session_id: str,
        message: Any,
        *,
        user: str | None = None,
        agent: str | None = None,
        strategy: str | None = None,
        turn_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  it is the turn's, not this call's
        wait: bool = True,
        options: TurnOptions | None = None,
    ) -> Receipt:
        """Send a message: run one turn. Returns once it has started (``wait=False``: at once).

        It is a text, or a list of parts: dicts, or objects with a ``type`` or a ``text``, which become dicts.
        A turn in flight is cancelled first and settles before the new one starts (``strategy="reject"``
        raises `SessionBusy` instead). ``turn_id`` may be chosen by the caller: a repeated send with the
        same one starts nothing. ``timeout`` is in seconds. Raises `SessionError`. Cancelling it does not
        take the send back.
        """
        inside = current.get() is not None
        if inside and wait:
            self.refuse_inside(session_id, instead="use wait=False")
        ended: AsyncioFuture[TurnEnd] = AsyncioFuture()
        asker = HOST if user is None else Asker(user)
        send = Send(session_id, message, asker, agent, strategy, turn_id, timeout, wait, ended, options)
        asked = _ask_now(self.ref, send, inside)
        ended.source = asked.source
        if asked.done():
            await _a_pass()  # in which the turn's coroutine makes its first step
        return Receipt(self, await asked, ended)

    async def cancel(
        self,
        session_id: str,
        turn_id: str | None = None,
        *,
        user: str | None = None,
        wait: bool = True,
        text: str | None = None,
        code: CancelCode | None = None,
    ) -> CancelAnswer:
        """Stop a turn, or whatever the session does, and return what it came to.

        Answered when the turn has settled, at most ``cancel_grace`` seconds later (``wait=False``: at
        once, ``requested``). Cancelling it does not take the cancel back. Raises `WaitsForItself` inside
        the turn it would stop, unless ``wait=False``.
        """
        inside = current.get() is not None
        if inside and wait:
            self.refuse_inside(session_id, turn_id, "use wait=False")
        cancel = Cancel(session_id, turn_id, _asker(user), wait, text, code)
        return await _ask_now(self.ref, cancel, inside)

    async def close(self, session_id: str, *, user: str | None = None, free: bool = False) -> SessionView:
        """Close the session: cancel its turn, end its streams, forget its conversation.

        ``free=True``, for the host's own code only, also forgets the session and whose it was: the id is free
        again. Raises `UnknownSession`, `ScopeMissing`, and `WaitsForItself` inside the turn it would stop.
        Cancelling it does not take the close back.
        """
        self.refuse_inside(session_id, instead="`registry.ref.tell(Close(session_id))` does not wait")
        return await self.ask(Close(session_id, _asker(user), free=free))

    async def session(self, session_id: str, *, user: str | None = None) -> SessionView:
        """The session: its state, current turn, queue and recent turns. Raises `UnknownSession`."""
        return await self.ask(GetSession(session_id, _asker(user)))

    async def turn(self, session_id: str, turn_id: str, *, user: str | None = None) -> TurnRecord:
        """One turn. Raises `UnknownSession` and `UnknownTurn`."""
        return await self.ask(GetTurn(session_id, turn_id, _asker(user)))

    async def messages(self, session_id: str, *, user: str | None = None) -> Conversation:
        """What was said in the session: ``context.messages`` as the turns that have ended left it.

        The messages are the ones that are kept, not copies, and read-only: change a `copy.deepcopy` of one.
        Empty where a ``load_context`` of the host's brings the conversation. What followed is read by
        ``events(after=...)`` the answer's ``cursor``. Raises `UnknownSession`.
        """
        return await self.ask(GetMessages(session_id, _asker(user)))

    async def active(self, *, user: str | None = None) -> tuple[ActiveTurn, ...]:
        """All turns in flight, of one user or of all."""
        return await self.ask(ListActive(_asker(user)))

    async def cleanup(self, *, user: str | None = None) -> tuple[SessionId, ...]:
        """Put idle sessions to sleep now instead of after ``idle_ttl``, and return which."""
        return await self.ask(Cleanup(_asker(user)))

    async def counts(self) -> Counts:
        """How many there are of what."""
        return await self.ask(GetCounts())

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
        return await self.follow(Subscribe(session_id, after, _asker(user), chosen))

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

        Ends when the session's streams end, which ``close_on`` says (``cancelled``; see `subscribe`), or when
        the reader lags more than ``subscriber_buffer`` events behind. Leaving the loop unsubscribes (at once
        with `contextlib.aclosing`).
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
            reader = await self.follow(FollowTurn(session_id, turn_id, after, _asker(user)))
            try:
                async with aclosing(reader.events()) as events:
                    async for event in events:
                        if event.name != CLOSE:
                            after = event.id
                            yield event
            finally:
                reader.close()
            complete = reader.complete


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


def _ask_now(ref: AsyncioRef[Any], query: Query[R], inside: bool) -> AsyncioFuture[R]:
    """Ask, and have it handled at once; ``inside`` a turn later, for its stack may be deep.

    What a handler met at the end of that stack would be the end of a session.
    """
    return ask(ref, query) if inside else ref.ask_now(query)


@types.coroutine
def _a_pass() -> Generator[None, None, None]:
    """Let the loop make a pass: `asyncio.sleep` at a third of the price."""
    yield


def _close_on(name: str | None, superseded: bool) -> CloseOn:
    if name is None:
        return CloseOn.SUPERSEDED if superseded else CloseOn.CANCELLED
    chosen = close_on_named(name)
    if superseded and chosen is not CloseOn.SUPERSEDED:
        text = f"close_on_superseded=True is close_on='superseded', not {chosen.value!r}"
        raise InvalidRequest(text, field="close_on")
    return chosen


def _asker(user: str | None) -> Asker:
    return HOST if user is None else Asker(user)
