"""What of a session's mail does not wait for the journal: cancels, and critical sections.

A person has pressed Stop, a time limit has passed, or the process is about to end, and the disk may take its
time. So the session is looked at as it will be once these are decided: a cancel that this delivers is
delivered now, and one that waits for critical sections waits from now on. What they came to is said when
that is durable.

A critical section adds nothing to the log, and the turn's own task waits for it. So it is granted, and given
back, at once, in each state that the session may turn out to be in: the durable one, the one that is on its
way, and the one to which its cancels lead. If only what is on its way refuses it, and that may come to
nothing, the section waits for that: a cancel that it brings is delivered first.
"""

from typing import Any

from turnkeeper.actors.journal.contract import Head, Journal, Landed, Moved, NotLanded
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Hold, Shut, Stop, Tick, TurnRead, Unhold
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, refuse
from turnkeeper.actors.session.effects import CancelTurn, Effect, HoldCancel, Refuse, Reply, SetTimer
from turnkeeper.actors.session.machine import Message, step
from turnkeeper.actors.session.refusals import too_late_to_hold
from turnkeeper.actors.session.states import State

from .journaled import JournaledDecisions, may_be_refused
from .mail import Mail


class PromptDecisions(JournaledDecisions):
    """The same, with what does not wait."""

    __slots__ = ("_ahead", "_parked")

    def __init__(
        self,
        state: State,
        shared: Shared,
        actor: AsyncioRef[Any],
        performer: Performer,
        journal: Journal,
        head: Head | None,
    ) -> None:
        """The same."""
        super().__init__(state, shared, actor, performer, journal, head)
        #: The state to which the cancels lead that are not durable; ``None`` if there are none.
        self._ahead: State | None = None
        #: The critical sections that wait for what is on its way.
        self._parked: list[tuple[Hold, ReplyTo]] | None = None

    def decide(self, message: Message, to: ReplyTo) -> None:
        """Decide a message, and deliver a cancel at once."""
        if type(message) is Hold:
            self._hold(message, to)
        elif type(message) is Unhold:
            self._unhold(message, to)
        else:
            self._look(message)
            super().decide(message, to)
            self._look_again()

    def answered(self, message: Landed | Moved | NotLanded | TurnRead) -> None:
        """The journal says what became of an append, or what it has of a turn."""
        super().answered(message)
        self._look_again()
        parked, self._parked = self._parked, None
        for hold, to in parked or ():
            self._hold(hold, to)

    def flush(self) -> None:
        """Write what waits to be written, when nothing is on its way."""
        super().flush()
        self._look_again()

    def abandon(self, error: SessionError) -> None:
        """The actor is gone: answer each asker whose message was not decided, or has not landed."""
        super().abandon(error)
        parked, self._parked = self._parked, None
        for _, to in parked or ():
            refuse(to, error)

    def _do(self, mail: tuple[Mail, ...], after: State, effects: tuple[Effect, ...], now: float) -> None:
        if after is not self.state:
            self._ahead = None  # they are looked at again
        super()._do(mail, after, effects, now)

    # -- Cancels ----------------------------------------------------------------------------------------

    def _look(self, message: Message) -> None:
        """Let a cancel reach the coroutine that it is about: it is decided, and answered, in its turn."""
        if type(message) is Stop or type(message) is Tick or type(message) is Shut:
            if type(message) is Shut and may_be_refused(message):
                return
            before = self.state if self._ahead is None else self._ahead
            after, effects = step(before, message, self._shared.clock())
            self._go_ahead(before, after, effects)

    def _go_ahead(self, before: State, after: State, effects: tuple[Effect, ...]) -> None:
        if after is not before:
            self._ahead = after
        turn, waits = self._performer.turns.turn, False
        for effect in effects:
            if type(effect) is HoldCancel or (type(effect) is CancelTurn and not effect.again):
                if turn is not None and turn.epoch == effect.epoch:
                    waits = type(effect) is HoldCancel
                    self._performer.perform((effect,), after)
            elif type(effect) is SetTimer and waits:
                self._performer.perform((effect,), after)

    def _look_again(self) -> None:
        """Look at the cancels that are not durable, from the state that has become so."""
        flight = self._flight
        if flight is None and not self._waiting:
            self._ahead = None
        elif self._ahead is None:
            for message, _ in (*(() if flight is None else flight.mail), *self._waiting):
                self._look(message)

    # -- Critical sections ------------------------------------------------------------------------------

    def _hold(self, message: Hold, to: ReplyTo) -> None:
        now, flight = self._shared.clock(), self._flight
        before = self.state if self._ahead is None else self._ahead
        ahead, effects = step(before, message, now, to)
        if self._performer.turns.task is None:
            effects = (Refuse(to, too_late_to_hold()),)  # its end waits to be decided
        if type(effects[0]) is Refuse:
            self._performer.perform(effects, self.state)
        elif flight is not None and type(step(flight.after, message, now)[1][0]) is Refuse:
            self._parked = [*(self._parked or ()), (message, to)]
        else:
            self._decide_in_all(message, to, ahead, effects, now)

    def _unhold(self, message: Unhold, to: ReplyTo) -> None:
        parked = self._parked or []
        self._parked = [each for each in parked if each[0].number != message.number] or None
        now, before = self._shared.clock(), self.state if self._ahead is None else self._ahead
        self._decide_in_all(message, to, *step(before, message, now, to), now)

    def _decide_in_all(
        self, message: Hold | Unhold, to: ReplyTo, ahead: State, effects: tuple[Effect, ...], now: float
    ) -> None:
        """Decide it in the durable state, and in those that may follow it."""
        flight = self._flight
        if flight is not None:
            after, more = step(flight.after, message, now)
            self._flight = replace(flight, after=after, effects=(*flight.effects, *more))
        if self._ahead is None:
            self._do(((message, to),), ahead, effects, now)
            return
        before, (durable, more) = self._ahead, step(self.state, message, now)
        super()._do((), durable, more, now)
        self._go_ahead(before, ahead, effects)
        self._performer.perform(tuple(each for each in effects if type(each) is Reply), ahead)
