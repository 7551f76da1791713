"""What one can ask of a registry, from code on its event loop."""

import types
from abc import abstractmethod
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from turnkeeper.actors.events.streams import asker_of
from turnkeeper.actors.model.messages import (
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
    GetTurns,
    ListSessions,
    Query,
    Send,
    SessionPage,
    SessionSummary,
    SessionView,
    SetTitle,
    TurnEnd,
    TurnPage,
)
from turnkeeper.actors.model.records import HOST, Asker, Epoch, SessionId, TurnOptions, TurnRecord
from turnkeeper.actors.model.words import CancelCode, QueueMode, SessionState
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef, ask
from turnkeeper.actors.session.views import hold_left
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import current

from .bulk.calls import BulkCalls
from .directory import Directory
from .receipt import Receipt
from .shared import Shared

R = TypeVar("R")


class SessionCalls(BulkCalls):
    """The calls to sessions. Each asks the registry's actor and awaits its answer.

    ``user`` is the user on whose behalf a call is made; ``None`` is the host's own code, which may see every
    session. A session that the user may not see gets the answer of an unknown one.
    """

    directory: Directory
    layers: Layers
    _agents: dict[str, Agent]
    _shared: Shared | None

    def hold_left(self, session_id: str) -> float:
        """For how many seconds a cancel of its turn waits, or would wait, for critical sections."""
        entry, shared = self.directory.entries.get(SessionId(session_id)), self._shared
        return 0.0 if entry is None or shared is None else hold_left(entry.state, shared.clock())

    def takes(self, agent: str | None = None) -> tuple[str, ...] | None:
        """The types of the parts that an agent takes, ``None`` for any. Raises `UnknownAgent`."""
        return self._agents[self.layers.base(agent).agent].takes

    @abstractmethod
    def epoch_of(self, session_id: str, turn_id: str) -> Epoch | None:
        """The epoch of a turn, the first half of its events' ids; ``None`` if it has not started."""

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
        if_match: str | None = None,
        key: str | None = None,
        policy: Mapping[str, Any] | None = None,
        after: float | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Send a message: run one turn. Returns once it has started (``wait=False``: at once).

        It is a text, or a list of parts: dicts, or objects with a ``type`` or a ``text``, which become dicts.
        A turn in flight is cancelled first and settles before the new one starts (``strategy="reject"``
        raises `SessionBusy` instead). ``turn_id`` may be chosen by the caller: a repeated send with the
        same one starts nothing. ``key`` is an idempotency key, in place of a ``turn_id``: it stands for one
        turn of the user's in the session. ``timeout`` is in seconds. ``if_match`` is the id of the turn that
        must be the session's current or last one, or else it raises `PreconditionFailed`. ``policy`` is what
        else is said of how the turn is run, such as ``{"stall_timeout": 20}``: fields that a send may set.
        Bounds, ``timeout`` among them, can only be narrowed. ``after``: as if it were sent so many seconds
        later; it returns at once. ``params`` is what is for the agent beside the message (`Turn.params`),
        such as ``{"temperature": 0.2}``: what JSON can say, up to ``max_params`` bytes. Raises
        `SessionError`. Cancelling it does not take the send back.
        """
        inside = current.get() is not None
        if inside and wait:
            self.refuse_inside(session_id, instead="use wait=False")
        ended: AsyncioFuture[TurnEnd] = AsyncioFuture()
        asker = HOST if user is None else Asker(user)
        send = Send(
            session_id,
            message,
            asker,
            agent,
            strategy,
            turn_id,
            timeout,
            wait,
            ended,
            options,
            if_match,
            key,
            policy,
            after,
            None,
            None,
            params,
        )
        asked = _ask_now(self.ref, send, inside)
        ended.source = asked.source
        if not asked.done():
            return Receipt(self, await asked, ended)
        await _a_pass()  # in which the turn's coroutine makes its first step
        return Receipt(self, asked.get(), ended)

    async def cancel(
        self,
        session_id: str,
        turn_id: str | None = None,
        *,
        user: str | None = None,
        wait: bool = True,
        text: str | None = None,
        code: CancelCode | None = None,
        queue: QueueMode | str | None = None,
        force: bool = False,
    ) -> CancelAnswer:
        """Stop a turn, or whatever the session does, and return what it came to.

        ``queue`` is what becomes of the turns that wait: by default a cancel that names its turn keeps them,
        and one that does not clears them. It waits for the end of the turn's critical sections, at most
        ``max_hold`` seconds; with ``force``, for the host's own code and admins, it does not. Answered when
        the turn has settled, at most ``cancel_grace`` and ``wind_grace`` seconds after that (``wait=False``:
        at once, ``requested``). Cancelling it does not take the cancel back. Raises `ScopeMissing`, and
        `WaitsForItself` inside the turn it would stop, unless ``wait=False``.
        """
        inside = current.get() is not None
        if inside and wait:
            self.refuse_inside(session_id, turn_id, "use wait=False")
        cancel = Cancel(session_id, turn_id, asker_of(user), wait, text, code, None, queue, force)
        return await _ask_now(self.ref, cancel, inside)

    async def close(self, session_id: str, *, user: str | None = None, free: bool = False) -> SessionView:
        """Close the session: cancel its turn, end its streams, forget its conversation.

        ``free=True``, for the host's own code only, also forgets the session and whose it was: the id is free
        again. Raises `UnknownSession`, `ScopeMissing`, and `WaitsForItself` inside the turn it would stop.
        Cancelling it does not take the close back.
        """
        self.refuse_inside(session_id, instead="`registry.ref.tell(Close(session_id))` does not wait")
        return await self.ask(Close(session_id, asker_of(user), free=free))

    async def session(self, session_id: str, *, user: str | None = None) -> SessionView:
        """The session: its state, current turn, queue and recent turns. Raises `UnknownSession`."""
        return await self.ask(GetSession(session_id, asker_of(user)))

    async def turn(self, session_id: str, turn_id: str, *, user: str | None = None) -> TurnRecord:
        """One turn. Raises `UnknownSession` and `UnknownTurn`."""
        return await self.ask(GetTurn(session_id, turn_id, asker_of(user)))

    async def turns(
        self, session_id: str, *, user: str | None = None, before: str | None = None, limit: int | None = None
    ) -> TurnPage:
        """A page of the turns that are known, the one sent last first; ``before`` is that of the page before.

        Raises `UnknownSession` and `InvalidRequest`.
        """
        return await self.ask(GetTurns(session_id, asker_of(user), before, limit))

    async def messages(
        self, session_id: str, *, user: str | None = None, before: int | None = None, limit: int | None = None
    ) -> Conversation:
        """What was said in the session: ``context.messages`` as the turns that have ended left it.

        The messages are the ones that are kept, not copies, and read-only: change a `copy.deepcopy` of one.
        Where a ``load_context`` of the host's brings the conversation, it is called for this, and the
        ``messages`` of the context are the answer (or `HostKeepsMessages`). What followed is read by
        ``events(after=...)`` the answer's ``cursor``. ``limit``: only the last ones, so many. ``before``:
        only those before so many, such as an answer's ``omitted``. Raises `UnknownSession`, `InvalidRequest`.
        """
        return await self.ask(GetMessages(session_id, asker_of(user), before, limit))

    async def sessions(
        self,
        *,
        user: str | None = None,
        state: SessionState | None = None,
        q: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> SessionPage:
        """A page of the sessions of one user or of all, the last active first, also of those asleep.

        ``q``: only those whose title has this text in it, in whatever case. ``state``: only those in that
        state; without it all but the closed ones. ``before`` is that of the page before. Raises
        `InvalidRequest`.
        """
        return await self.ask(ListSessions(asker_of(user), None, state, q, before, limit))

    async def set_title(self, session_id: str, title: str, *, user: str | None = None) -> SessionSummary:
        """Give a session a title. Raises `UnknownSession`, `InvalidRequest` and `TitleTooLong`."""
        return await self.ask(SetTitle(session_id, title, asker_of(user)))

    async def cleanup(self, *, user: str | None = None) -> tuple[SessionId, ...]:
        """Put idle sessions to sleep now instead of after ``idle_ttl``, and return which."""
        return await self.ask(Cleanup(asker_of(user)))

    async def counts(self) -> Counts:
        """How many there are of what."""
        return await self.ask(GetCounts())


def _ask_now(ref: AsyncioRef[Any], query: Query[R], inside: bool) -> AsyncioFuture[R]:
    """Ask, and have it handled at once; ``inside`` a turn later, for its stack may be deep.

    What a handler met at the end of that stack would be the end of a session.
    """
    return ask(ref, query) if inside else ref.ask_now(query)


@types.coroutine
def _a_pass() -> Generator[None, None, None]:
    """Let the loop make a pass: `asyncio.sleep` at a third of the price."""
    yield
