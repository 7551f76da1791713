"""The slots of one registry: sessions ask for them and give them back, and are sent word when one is theirs.

Who is next is decided by the `Scheduler`. Sessions whose policy has nothing wait are never seen here.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Accepted, Granted, QueuedTurn, WaitingTurn
from turnkeeper.actors.model.slots import Claim, Standing, Ticket
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.runtime import AsyncioRef
from turnkeeper.actors.session.line import CALLED_UP
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import Queued, State
from turnkeeper.actors.session.views import queue_of

from .places import Places

#: What is answered about a turn that is called up, or about all that wait.
Placed: TypeAlias = Accepted | tuple[QueuedTurn, ...]


def caps_of(settings: Settings, layers: Layers) -> Caps:
    """The caps that the settings and the policies say, as these are whenever it is looked at."""
    return dataclasses.replace(
        Caps.of(settings),
        of_user=lambda user, agent: layers.base(agent, user).policy.max_in_flight,
        of_agent=lambda agent: layers.base(agent).policy.max_of_agent,
    )


@value
class SlotWait:
    """A session that waits for a slot: what its turn claims, and since when."""

    actor: AsyncioRef[Any]
    claim: Claim
    at: float


class Slots:
    """Who has a slot, and who has asked for one."""

    __slots__ = ("_clock", "_closed", "_going_on", "_loop", "_meter", "asking", "places", "scheduler")

    def __init__(
        self,
        scheduler: Scheduler,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._loop = loop
        self._meter = meter
        self._clock = clock
        self._going_on = False
        self._closed = False
        self.scheduler = scheduler
        #: The sessions that have asked and not been granted anything yet.
        self.asking: dict[Ticket, SlotWait] = {}
        #: What readers are shown of them.
        self.places = Places(self.scheduler, loop)

    def take(self, ticket: Ticket, claim: Claim) -> bool:
        """Take a slot for a turn that is to start at once; whether there is one."""
        return not self._closed and self.scheduler.take(ticket, claim)

    def ask(self, ticket: Ticket, claim: Claim, actor: AsyncioRef[Any]) -> None:
        """Have this session sent `Granted` when there is a slot for its turn."""
        now = self._clock()
        self.asking[ticket] = SlotWait(actor, claim, now)
        self.scheduler.ask(ticket, claim, now)
        self.grant()

    def leave(self, ticket: Ticket) -> None:
        """Give a slot back, or ask for it no more: as often as you like."""
        claim = self.scheduler.leave(ticket)
        if self.asking and claim is not None:
            if self.asking.pop(ticket, None) is not None:
                self.places.unwatch(ticket, claim.user)
            self.places.moved(claim.user)
            self.grant()

    def grant(self) -> None:
        """Let in all for which there are slots, so many in one pass of the loop."""
        if self._going_on or self._closed:
            return
        scheduler, finished, now = self.scheduler, True, self._clock()
        for ticket in scheduler.grant(now):
            asked = self.asking.pop(ticket)
            claim = asked.claim
            self._meter.waits[claim.lane].observe(now - asked.at)
            self.places.unwatch(ticket, claim.user)
            self.places.moved(claim.user)
            if not asked.actor.tell_if_alive(Granted(ticket)):
                scheduler.leave(ticket)
                finished = False
        if not (finished and scheduler.settled):
            self._going_on = True
            self._loop.call_soon(self._go_on)

    def changed(self) -> None:
        """The caps have changed: let in all for which there are slots now."""
        self.scheduler.changed()
        self.grant()

    def _go_on(self) -> None:
        self._going_on = False
        self.grant()

    def close(self) -> None:
        """Grant nothing more: those that wait are shut down as they are, and may go on in another process."""
        self._closed = True
        self.places.close()

    def no_place(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why a turn of this user's may not even wait."""
        return self.scheduler.no_place(user, bounded=bounded)

    # -- What askers are sent ---------------------------------------------------------------------------

    def standing(self, state: State) -> Standing | None:
        """Where the turn stands that a session has called up, if it waits for a slot."""
        slot = slot_of(state)
        return None if slot is None or slot.granted else self.scheduler.standing(slot.ticket)

    def queue_of(self, state: State) -> tuple[QueuedTurn, ...]:
        """The turns that wait for a session, in order, each with its place and what it waits for."""
        return queue_of(state, self.standing(state))

    def shown(self, state: State) -> tuple[QueuedTurn, ...]:
        """The same, of which the session's readers are sent word."""
        slot, standing = slot_of(state), self.standing(state)
        if slot is not None and standing is not None:
            self.places.shown(slot.ticket, state.memory.home.owner, standing)
        return queue_of(state, standing)

    def read_by(self, readers: int, state: State, actor: AsyncioRef[Any]) -> None:
        """The session has so many readers now, who are shown where its turn stands if it waits for a slot."""
        slot = slot_of(state) if type(state) is Queued else None
        if slot is None:
            return
        if readers:
            self.places.watch(slot.ticket, state.memory.home.owner, actor)
        else:
            self.places.unwatch(slot.ticket, state.memory.home.owner)

    def waiting(self, ticket: Ticket, state: State) -> WaitingTurn | None:
        """The turn for which the session in this state has asked with the ticket, if it still waits."""
        asked, slot, standing = self.asking.get(ticket), slot_of(state), self.scheduler.standing(ticket)
        if asked is None or slot is None or slot.ticket != ticket or standing is None:
            return None
        claim = asked.claim
        return WaitingTurn(
            ticket.session_id, claim.user, slot.spec.turn_id, claim.agent, claim.lane, asked.at, standing
        )

    def placed(self, answer: Placed, ticket: Ticket) -> Placed:
        """The answer to a send, or those that wait, with where the turn stands that is called up.

        If it has its slot already, the answer stays as it is: the turn is about to start.
        """
        standing = self.scheduler.standing(ticket)
        if standing is None:
            return answer
        if isinstance(answer, Accepted):
            return replace(answer, waits_for=standing.waits_for, standing=standing)
        return tuple([_placed(each, standing) for each in answer])


def _placed(turn: QueuedTurn, standing: Standing) -> QueuedTurn:
    if turn.position != CALLED_UP:
        return turn
    return replace(turn, waits_for=standing.waits_for, standing=standing)
