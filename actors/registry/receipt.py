"""Receipt: an accepted send, and the way to its turn's end."""

from collections.abc import AsyncGenerator, Awaitable
from typing import Any, Protocol

import msgspec

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.messages import Accepted, AwaitTurn, Superseded, TurnEnd
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import TurnStatus, WaitsFor
from turnkeeper.actors.turn.family.results import result_of
from turnkeeper.actors.turn.turn import current, is_stopping


class Keeper(Protocol):
    """What a receipt needs of the registry that gave it."""

    def refuse_inside(self, session_id: str, turn_id: str | None = None, instead: str | None = None) -> None:
        """Raise `WaitsForItself` in a turn that would wait for its own end; ``instead`` is what helps."""
        ...

    def ask(self, query: AwaitTurn, /) -> Awaitable[TurnEnd]:
        """Ask for the end of a turn."""
        ...

    def turn_events(
        self, session_id: str, turn_id: str, *, after: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """All events of one turn."""
        ...

    def epoch_of(self, session_id: str, turn_id: str) -> Epoch | None:
        """The epoch of a turn that has started and is known."""
        ...


class Receipt(msgspec.Struct, eq=False):
    """An accepted send: which turn it is, and the way to its end."""

    # A struct is made in C, and every send makes one.
    _registry: Keeper
    _accepted: Accepted
    _ended: Awaitable[TurnEnd]
    _epoch: Epoch | None = None

    @property
    def session_id(self) -> SessionId:
        """The session."""
        return self._accepted.session_id

    @property
    def turn_id(self) -> TurnId:
        """The turn (``task_id`` over HTTP)."""
        return self._accepted.turn_id

    @property
    def epoch(self) -> Epoch | None:
        """The turn's epoch, the first half of its events' ids; ``None`` until it starts.

        It is looked up where the send was answered before that, as long as the session knows the turn.
        """
        epoch = self._accepted.epoch or self._epoch
        if epoch is None:
            epoch = self._epoch = self._registry.epoch_of(self.session_id, self.turn_id)
        return epoch

    @property
    def status(self) -> TurnStatus:
        """What the turn's status was when the send was answered."""
        return self._accepted.status

    @property
    def began(self) -> bool | None:
        """Whether the turn's agent was entered, as far as that was known when the send was answered."""
        return self._accepted.began

    @property
    def superseded(self) -> Superseded | None:
        """What became of the turn that was in the way."""
        return self._accepted.superseded

    @property
    def repeated(self) -> bool:
        """Whether this send was a retry of one that had been accepted: it started nothing."""
        return self._accepted.repeated

    @property
    def position(self) -> int | None:
        """Its place if it waited for its session then: 0 if it was called up, from 1 behind that."""
        return self._accepted.position

    @property
    def waits_for(self) -> WaitsFor | None:
        """What it waited for then, if it did."""
        return self._accepted.waits_for

    @property
    def not_before(self) -> float | None:
        """The moment that it waited for then, if it did, in Unix seconds."""
        return self._accepted.not_before

    @property
    def standing(self) -> Standing | None:
        """Where it stood then if it waited for a slot."""
        return self._accepted.standing

    @property
    def merged_into(self) -> TurnId | None:
        """The turn that has this message, if it joined that one when it was sent."""
        return self._accepted.merged_into

    async def ended(self) -> TurnRecord:
        """Wait for the turn's end and return its record, however it ended.

        Raises `WaitsForItself` inside that very turn. Cancelling the wait leaves the turn alone.
        """
        return (await self._end()).turn

    async def result(self) -> Any:
        """Wait for the turn's end and return what the agent returned, untouched.

        Raises `TurnFailed` (its ``__cause__`` is what the agent raised), `TurnCancelled` (also for
        ``timed_out`` and ``unresponsive``; but CancelledError in a turn that was asked to stop as well),
        `TurnMerged` where its message joined another turn's, which it names,
        `WaitsForItself` inside that very turn, and `ResultNotKept` for a retried send whose turn had
        completed with a result larger than ``kept_result``. Cancelling the wait leaves the turn alone.
        """
        return result_of(await self._end(), is_stopping)

    async def end(self) -> TurnEnd:
        """Wait for the turn's end and return its record together with what it returned or raised.

        Raises `WaitsForItself` inside that very turn. Cancelling the wait leaves the turn alone.
        """
        return await self._end()

    def events(self, *, after: str | None = None) -> AsyncGenerator[Event, None]:
        """All events of the turn, from its event 0, or the one after the id ``after``, to its terminal event.

        See `SessionRegistry.turn_events`. Leaving the loop leaves the turn alone.
        """
        return self._registry.turn_events(self.session_id, self.turn_id, after=after)

    def _end(self) -> Awaitable[TurnEnd]:
        accepted = self._accepted
        if current.get() is not None:
            self._registry.refuse_inside(accepted.session_id, accepted.turn_id)
        if accepted.repeated:
            return self._registry.ask(AwaitTurn(accepted.session_id, accepted.turn_id))
        return self._ended

    def __repr__(self) -> str:
        return f"<Receipt of turn {self.turn_id} in {self.session_id}>"
