"""One turn that another one has sent for, as that one holds it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.streams import SessionStreams
from turnkeeper.actors.model.exceptions import ChildNotStarted
from turnkeeper.actors.model.messages import Accepted, AwaitTurn, Cancel, CancelAnswer, Send, TurnEnd
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRecord, TurnRef
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.runtime import AsyncioFuture, AsyncioRef, ask

from .branch import Branch
from .results import result_of
from .tree import Tree


class Child:
    """A turn that another one has sent for: `Turn.begin` gives it."""

    __slots__ = ("_accepted", "_asked", "_branch", "_end", "_parent", "_registry", "_started", "_tree")

    def __init__(self, registry: AsyncioRef[Any], tree: Tree, parent: Branch, branch: Branch) -> None:
        self._registry = registry
        self._tree = tree
        self._parent = parent
        self._branch = branch
        self._asked: AsyncioFuture[Accepted] = _Asked(self)
        self._end: AsyncioFuture[TurnEnd] = AsyncioFuture()
        self._started: AsyncioFuture[None] = AsyncioFuture()

    @property
    def ref(self) -> TurnRef:
        """Its session and its own id."""
        return self._branch.ref

    @property
    def session_id(self) -> SessionId:
        """Its session."""
        return self._branch.ref.session_id

    @property
    def turn_id(self) -> TurnId:
        """Its own id (``task_id`` over HTTP)."""
        return self._branch.ref.turn_id

    async def result(self) -> Any:
        """Wait for its end and return what its agent returned, untouched.

        Raises `TurnFailed` (its ``__cause__`` is what the agent raised), `TurnCancelled` if it was stopped
        alone, timed out or did not stop, `TurnMerged`, and `ResultNotKept`. In a turn that is being stopped
        itself, CancelledError. Cancelling the wait leaves the child alone.
        """
        return result_of(await self._end, lambda: self._parent.stops)

    async def ended(self) -> TurnRecord:
        """Wait for its end and return its record, however it ended. Cancelling the wait leaves it alone."""
        return (await self._end).turn

    async def end(self) -> TurnEnd:
        """Wait for its end and return its record together with what it returned or raised. The same."""
        return await self._end

    def events(self, *, after: str | None = None) -> AsyncGenerator[Event, None]:
        """All its events, from its event 0, or the one after the id ``after``, to its terminal event.

        See `SessionRegistry.turn_events`. Leaving the loop leaves the child alone.
        """
        return _Streams(self._registry).turn_events(self.session_id, self.turn_id, after=after)

    async def cancel(self, *, wait: bool = True, text: str | None = None) -> CancelAnswer:
        """Stop it, and return what that came to (``wait=False``: at once, ``requested``).

        Answered when it has settled, at most its ``cancel_grace`` later. Cancelling it does not take the
        cancel back.
        """
        session_id, turn_id = self.session_id, self.turn_id
        code = CancelCode.PARENT_CANCELLED
        return await ask(self._registry, Cancel(session_id, turn_id, wait=wait, text=text, code=code))

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def ended_to(self) -> "_Ended":
        """Where its end is reported."""
        return _Ended(self)

    def send(self, message: Send) -> None:
        """Send the message that it is to be the turn for."""
        self._branch.on_start = self._starts
        self._registry.forward(message, self._asked)

    async def start(self, within: float) -> None:
        """Wait until it has started, or is over. Raises its refusal, and `ChildNotStarted` if it is too late.

        Cancelling it cancels the child.
        """
        try:
            async with asyncio.timeout(within):
                accepted = await self._asked
                if accepted.status is TurnStatus.QUEUED:
                    await self._started
        except TimeoutError:
            text = f"turn {self.turn_id} has waited {within:g} s for its session"
            self.give_up(text)
            raise ChildNotStarted(text, turn_id=self.turn_id) from None
        except asyncio.CancelledError:
            self.give_up()
            raise

    def give_up(self, text: str | None = None) -> None:
        """Stop it and wait for nothing."""
        if not self._end.done():
            code = CancelCode.PARENT_CANCELLED
            cancel = Cancel(self.session_id, self.turn_id, wait=False, text=text, code=code)
            self._registry.tell_if_alive(cancel)

    def _starts(self) -> None:
        if not self._started.done():
            self._started.set()

    def _accept(self, accepted: Accepted) -> None:
        if accepted.repeated:
            # A retry has started nothing, and its own address will hear nothing.
            self._registry.forward(AwaitTurn(self.session_id, self.turn_id), _Answered(self.ended_to))

    def _refuse(self) -> None:
        self._tree.drop(self._branch, refused=True)

    def _is_over(self, end: TurnEnd | None) -> None:
        self._starts()
        self._tree.drop(self._branch, None if end is None else end.turn)

    def __repr__(self) -> str:
        return f"<Child {self.turn_id} in {self.session_id}>"


class _Asked(AsyncioFuture[Accepted]):
    """Where the answer to the send comes in."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def set(self, value: Accepted | None = None) -> None:
        super().set(value)
        if value is not None:
            self._child._accept(value)

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self._child._refuse()


class _Ended:
    """Where its end is reported. As long as that has not come, the child has one who waits for it."""

    __slots__ = ("_child",)

    def __init__(self, child: Child) -> None:
        self._child = child

    def done(self) -> bool:
        """Whether it was reported."""
        return self._child._end.done()

    def set(self, value: TurnEnd | None = None, /) -> None:
        """It has ended."""
        self._child._end.set(value)
        self._child._is_over(value)

    def set_exception(self, exc_info: Any = None) -> None:
        """Its end will not be known."""
        self._child._end.set_exception(exc_info)
        self._child._is_over(None)


class _Answered(AsyncioFuture[TurnEnd]):
    """Where the answer to a question about its end comes in."""

    def __init__(self, to: _Ended) -> None:
        self._to = to

    def set(self, value: TurnEnd | None = None) -> None:
        super().set(value)
        self._to.set(value)

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self._to.set_exception(exc_info)


class _Streams(SessionStreams):
    """The streams of the registry, for those who are not in the turn that they are about."""

    def __init__(self, registry: AsyncioRef[Any]) -> None:
        self._registry = registry

    @property
    def ref(self) -> AsyncioRef[Any]:
        return self._registry

    def refuse_inside(self, session_id: str, turn_id: str | None = None, instead: str | None = None) -> None:
        """It is another turn than the one that holds it."""
