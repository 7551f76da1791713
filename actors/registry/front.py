"""SessionRegistry: the friendly front, on the loop, to the registry actor."""

import asyncio
import copy
import os
import secrets
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Self, TypeVar

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.exceptions import (
    AlreadyStarted,
    ContextNotCopyable,
    InvalidRequest,
    LoopClosed,
    NoRegistry,
)
from turnkeeper.actors.model.messages import (
    ActiveTurn,
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    Conversation,
    Counts,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Query,
    Send,
    SessionView,
    Shutdown,
    Subscribe,
    TurnEnd,
)
from turnkeeper.actors.model.records import (
    HOST,
    Asker,
    CancelCode,
    SessionId,
    TurnOptions,
    TurnRecord,
)
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef, ask
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.agent import AgentFunction, LoadContext, SaveContext
from turnkeeper.actors.turn.context import ContextStore
from turnkeeper.actors.turn.pipeline import Pipeline, S
from turnkeeper.actors.turn.turn import current, refuse_to_wait_for_itself

from .directory import Directory
from .receipt import Receipt
from .registry_actor import RegistryActor
from .shared import Shared, debug_from

R = TypeVar("R")
#: Looked up once: on Python 3.11 a look-up on an enum costs as much as two calls.

#: The registries that are open on each loop, for the service functions.
_open: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[SessionRegistry]]"
_open = weakref.WeakKeyDictionary()


class SessionRegistry:
    """Keeps the turns of chat sessions.

    ``async with SessionRegistry(agent) as registry`` opens it on the running loop; leaving the block
    shuts it down. ``agents`` is one agent, or several by name of which the one called ``default``, or
    else the first, is the default.

    Everything here belongs to the loop's thread. Other threads use `ref`: ``registry.ref.ask(Cancel("s1"),
    timeout=5)`` or ``registry.ref.tell(...)``.
    """

    def __init__(
        self,
        agents: "AgentFunction | Mapping[str, AgentFunction]",
        *,
        settings: Settings | None = None,
        load_context: LoadContext | None = None,
        save_context: SaveContext | None = None,
    ) -> None:
        by_name: dict[Any, Any] = dict(agents) if isinstance(agents, Mapping) else {"default": agents}
        if not by_name or not all(isinstance(name, str) and callable(by_name[name]) for name in by_name):
            text = "agents must be a callable, or a mapping of names to callables"
            raise InvalidRequest(text, field="agents")
        self._agents: dict[str, AgentFunction] = by_name
        self._default_agent = "default" if "default" in by_name else next(iter(by_name))
        self.settings = settings if settings is not None else Settings()
        #: Names this run of the process: turn ids begin with it, and ``/healthz`` tells it.
        self.incarnation = secrets.token_hex(6)
        #: Which sessions there are. The actors write it; on the loop one may look.
        self.directory = Directory()
        self._load_context = load_context
        self._save_context = save_context
        self._stages = Pipeline()
        self._shared: Shared | None = None
        self._ref: AsyncioRef[RegistryActor] | None = None
        self._stopped: AsyncioFuture[bool] | None = None
        self._draining = False

    def stage(self, name: str, priority: float = 0) -> Callable[[S], S]:
        """Register a stage, before the start: ``@registry.stage("pre_process_msg", priority=5)``.

        A stage is ``(data: dict, context) -> dict``, sync or async. Those named ``pre_process_msg`` run
        before the agent, those named ``process_results`` after it, others when an agent says so
        (`Turn.run_stages`). The higher priority runs first, of equal ones the one registered first.
        Raises `InvalidRequest`, `AlreadyStarted` and `WrongThread`.
        """
        return self._stages.stage(name, priority)

    # -- Life -----------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Open the registry on the running loop. Raises `AlreadyStarted` the second time."""
        if self._ref is not None:
            raise AlreadyStarted("this registry was started before: make another one")
        loop = asyncio.get_running_loop()
        offset = time.time() - loop.time()
        self._shared = Shared(
            loop=loop,
            thread=threading.get_ident(),
            clock=lambda: offset + loop.time(),
            settings=self.settings,
            agents=self._stages.around(self._agents),
            stages=self._stages,
            contexts=ContextStore(self.settings.contexts),
            directory=self.directory,
            load_context=self._load_context,
            save_context=self._save_context,
        )
        debug_from(os.environ)
        self._ref = RegistryActor.start(self._shared, self._default_agent, self.incarnation)
        _open.setdefault(loop, []).append(self)
        return self

    async def stop(self) -> None:
        """Shut down: cancel every turn, end every stream, answer everyone. Stopping twice is harmless.

        Takes at most ``shutdown_deadline`` seconds. Cancelling it leaves the shutdown going on.
        """
        if self._ref is None:
            return
        self._draining = True
        if self._stopped is None:
            self._stopped = self._ref.stop(block=False)
        await self._stopped
        opened = _open.get(self._shared.loop, []) if self._shared is not None else []
        if self in opened:
            opened.remove(self)

    async def drain(self, deadline: float | None = None) -> None:
        """Cancel every turn and end every stream, but go on answering questions until `stop`.

        Takes at most ``deadline`` seconds (``shutdown_deadline``). Cancelling it leaves it going on.
        """
        self._draining = True
        await self.ask(Shutdown(deadline))

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.stop()

    @property
    def ref(self) -> AsyncioRef[RegistryActor]:
        """The registry actor's ref, for messages from anywhere. Raises `LoopClosed` before the start."""
        if self._ref is None:
            raise LoopClosed("this registry has not been started")
        return self._ref

    @property
    def accepting(self) -> bool:
        """Whether sends are taken."""
        return self._ref is not None and not self._draining and self._ref.is_alive()

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, the default one first."""
        return (self._default_agent, *(name for name in self._agents if name != self._default_agent))

    # -- Talking to it ----------------------------------------------------------------------------------

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

        A turn in flight is cancelled first and settles before the new one starts (``strategy="reject"``
        raises `SessionBusy` instead). ``turn_id`` may be chosen by the caller: a repeated send with the
        same one starts nothing. ``timeout`` is in seconds. Raises `SessionError`. Cancelling it does not
        take the send back.
        """
        if wait and current.get() is not None:
            self.refuse_inside(session_id)
        ended: AsyncioFuture[TurnEnd] = AsyncioFuture()
        send = Send(
            session_id,
            message,
            HOST if user is None else Asker(user),
            agent,
            strategy,
            turn_id,
            timeout,
            wait,
            ended,
            options,
        )
        return Receipt(self, await self.ref.ask(send, block=False), ended)

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
        """Stop a turn, or whatever the session does, and tell what it came to.

        Answered when the turn has settled, at most ``cancel_grace`` seconds later (``wait=False``: at
        once, ``requested``). Cancelling it does not take the cancel back. Raises `WaitsForItself` inside
        the turn it would stop, unless ``wait=False``.
        """
        if wait:
            self.refuse_inside(session_id, turn_id)
        return await self.ask(Cancel(session_id, turn_id, _asker(user), wait, text, code))

    async def close(self, session_id: str, *, user: str | None = None) -> SessionView:
        """Close the session: cancel its turn, end its streams, forget its conversation."""
        self.refuse_inside(session_id)
        return await self.ask(Close(session_id, _asker(user)))

    async def session(self, session_id: str, *, user: str | None = None) -> SessionView:
        """The session: its state, current turn, queue and recent turns. Raises `UnknownSession`."""
        return await self.ask(GetSession(session_id, _asker(user)))

    async def turn(self, session_id: str, turn_id: str, *, user: str | None = None) -> TurnRecord:
        """One turn. Raises `UnknownSession` and `UnknownTurn`."""
        return await self.ask(GetTurn(session_id, turn_id, _asker(user)))

    async def messages(self, session_id: str, *, user: str | None = None) -> Conversation:
        """What was said in the session: a copy of ``context.messages`` as the turns that have ended left it.

        Empty where a ``load_context`` of the host's brings the conversation. ``events(after=...)`` its
        ``cursor`` tells what followed. Raises `UnknownSession`, and `ContextNotCopyable`.
        """
        kept = await self.ask(GetMessages(session_id, _asker(user)))
        try:
            return Conversation(kept.session_id, copy.deepcopy(kept.messages), kept.cursor)
        except Exception as error:
            raise ContextNotCopyable("the session's messages cannot be copied") from error

    async def active(self, *, user: str | None = None) -> tuple[ActiveTurn, ...]:
        """All turns in flight, of one user or of all."""
        return await self.ask(ListActive(_asker(user)))

    async def cleanup(self, *, user: str | None = None) -> tuple[SessionId, ...]:
        """Put idle sessions to sleep now instead of after ``idle_ttl``, and tell which."""
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
        close_on_superseded: bool = False,
    ) -> Subscription:
        """Follow a session; opens it if nobody knows it. Call the subscription's `close` at the end.

        Cancelling it gives back what it would have got.
        """
        return await self.follow(Subscribe(session_id, after, _asker(user), close_on_superseded))

    async def follow(self, message: Subscribe) -> Subscription:
        """The same for whom the message speaks for. Cancelling it gives back what it would have got."""
        asked = _Following()
        self.ref.forward(message, asked)
        try:
            return await asked
        except asyncio.CancelledError:
            asked.give_up()
            raise

    async def events(
        self, session_id: str, *, after: str | None = None, user: str | None = None
    ) -> AsyncIterator[Event]:
        """Follow a session's events: after the id ``after``, or the turn in flight and then live.

        Ends when the session's streams end, or when the reader lags more than ``subscriber_buffer``
        events behind. Leaving the loop unsubscribes (at once with `contextlib.aclosing`).
        """
        subscription = await self.subscribe(session_id, after=after, user=user)
        try:
            async with aclosing(subscription.events()) as events:
                async for event in events:
                    yield event
        finally:
            subscription.close()

    def refuse_inside(self, session_id: str, turn_id: str | None = None) -> None:
        """Raise `WaitsForItself` in a turn that would wait for its own end."""
        refuse_to_wait_for_itself(self._shared, session_id, turn_id)


class _Following(AsyncioFuture[Subscription]):
    """A subscription that somebody waits for. If he leaves, nobody else could end it."""

    _given_up = False

    def give_up(self) -> None:
        """Close it, now or when it comes: whoever is being cancelled must not be kept until then."""
        self._given_up = True
        if self.done():
            with suppress(Exception):
                self.get(timeout=0).close()

    def set(self, value: Subscription | None = None) -> None:
        super().set(value)
        if self._given_up and value is not None:
            value.close()


def _asker(user: str | None) -> Asker:
    return HOST if user is None else Asker(user)


def open_registry() -> SessionRegistry:
    """The registry that is open on the running loop; of several, the one opened last. Raises `NoRegistry`."""
    try:
        opened = _open.get(asyncio.get_running_loop(), [])
    except RuntimeError:
        text = "no event loop runs in this thread: the service functions belong on the loop"
        raise NoRegistry(text) from None
    for registry in reversed(opened):
        if registry.ref.is_alive():
            return registry
    raise NoRegistry("no registry is open on this loop: use SessionRegistry(agent) or setup(app, agent)")
