"""Who goes first: which turns that ask for a slot may start, and which of those that wait starts next. Pure.

A session asks for a slot with a ticket, and leaves every ticket once it has no more use for it, whether that
waits or has been granted. The next to start is a turn of a user who has less than a fair share of the
slots; of several such, one in the highest lane, to which it may have risen while it waited; of these, one of
the user who was served the longest ago; and of that user's, the one that asked first. A turn that waits for a
cap of its user or of its agent keeps no other turn waiting, and none waits while there is a slot for it.

All is counted in the ledger, beside the turns that never ask. When one of those ends, the ledger notes it in
`Totals.moved`; what is noted there is looked at with every `grant`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, Final

from turnkeeper.actors.model.exceptions import SessionError, TooManyWaiting
from turnkeeper.actors.model.slots import Claim, Standing, Ticket
from turnkeeper.actors.model.words import Priority, WaitsFor

from .bounds import Bound
from .caps import Caps
from .holdings import Holdings
from .ledger import Ledger
from .scheduling.aging import RANKS, Aging
from .scheduling.candidates import Candidates
from .scheduling.queue import Queue, Waiting

#: How many turns one `grant` lets start, and how many it lets rise, before something else gets the loop.
PASS: Final = 250
RISES: Final = 4 * PASS


class Scheduler:
    """The turns that have a slot, and those that wait for one."""

    def __init__(self, ledger: Ledger[Any], caps: Caps) -> None:
        self._ledger = ledger
        self._caps = caps
        self._granted: dict[Ticket, Claim] = {}
        self._waiting: dict[Ticket, Waiting] = {}
        #: What waits of each user, by agent and lane.
        self._queues: dict[Holdings[Any], dict[tuple[str, Priority], Queue]] = {}
        self._candidates = Candidates()
        self._aging = Aging()
        #: How many have waited; and how often a user has been served, or came to wait for the first time.
        self._asked = self._served = 0
        #: Whether the last `grant` came to its end.
        self.settled = True

    # -- Verbs ------------------------------------------------------------------------------------------

    def take(self, ticket: Ticket, claim: Claim) -> bool:
        """Give the ticket a slot at once, if there is one for it that no turn that waits could have."""
        holdings = self._ledger.of(claim.user)
        if self._blocked_by(claim, holdings) is not None or (self._waiting and self._may_grant()):
            self._ledger.tidy(holdings)
            return False
        self._give(ticket, claim, holdings)
        return True

    def ask(self, ticket: Ticket, claim: Claim, now: float) -> None:
        """Let the ticket wait until a `grant` returns it. It is never refused: `no_place` is asked before."""
        holdings = self._ledger.of(claim.user)
        if not holdings.served:
            # A newcomer stands behind those who wait: otherwise, many newcomers could starve them.
            self._served += 1
            holdings.served = self._served
        queues = self._queues.setdefault(holdings, {})
        queue = queues.get((claim.agent, claim.lane))
        if queue is None:
            queue = queues[claim.agent, claim.lane] = Queue(claim, holdings)
        self._asked += 1
        waiting = self._waiting[ticket] = Waiting(ticket, queue, self._asked, now, RANKS[claim.lane])
        queue.append(waiting)
        self._aging.add(waiting)
        holdings.count_waiting(1)
        if len(queue) == 1 and holdings.in_flight < self._caps.of_user(claim.user, claim.agent):
            self._candidates.put(queue)

    def leave(self, ticket: Ticket) -> Claim | None:
        """Take the ticket back, granted or waiting: what it claimed. Again, or an unknown one, it is nothing.

        What may start now, `grant` returns.
        """
        claim = self._granted.pop(ticket, None)
        if claim is not None:
            holdings = self._ledger.of(claim.user)
            holdings.count_slots(-1)
            self._ledger.of_agent[claim.agent] -= 1
        elif (waiting := self._waiting.get(ticket)) is not None:
            claim, holdings = waiting.queue.claim, waiting.queue.holdings
            self._withdraw(waiting)
            if len(waiting.queue):
                self._candidates.put(waiting.queue)
        else:
            return None
        if not holdings.sessions:  # else the usual one without a call: something is left
            self._ledger.tidy(holdings)
        return claim

    def grant(self, now: float) -> list[Ticket]:
        """Give slots to all that may start now, and return their tickets in that order.

        Where very many may, it takes more than one call: until it is `settled`, after others had the loop.
        """
        self.settled = self._look_again(now)
        granted = list[Ticket]()
        agents = dict.fromkeys(agent for agent in self._candidates.agents if self._has_room(agent))
        for _ in range(PASS):
            queue = self._best(agents)
            if queue is None:
                return granted
            claim, holdings = queue.claim, queue.holdings
            if holdings.in_flight >= self._caps.of_user(claim.user, claim.agent):
                self._candidates.discard(queue)  # until the user has fewer
                continue
            first = queue.first
            self._withdraw(first)
            self._give(first.ticket, claim, holdings)
            granted.append(first.ticket)
            if not self._has_room(claim.agent):
                del agents[claim.agent]
        self.settled = False
        return granted

    def changed(self) -> None:
        """The caps have changed: look at all who wait again, with the next `grant`."""
        self._ledger.in_all.moved.update(dict.fromkeys(self._queues))

    # -- Questions --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return len(self._waiting)

    def no_place(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why no other turn of this user may come to wait: asked at the send, not later."""
        caps, ledger = self._caps, self._ledger
        bound = Bound("turns that wait", caps.max_waiting, caps.max_waiting_in_all, TooManyWaiting)
        in_all = ledger.in_all.waiting + ledger.in_all.later
        return bound.refusal(ledger.waiting(user), in_all, bounded=bounded)

    def standing(self, ticket: Ticket) -> Standing | None:
        """Where the ticket stands; ``None`` if it does not wait."""
        waiting = self._waiting.get(ticket)
        if waiting is None:
            return None
        claim, holdings = waiting.queue.claim, waiting.queue.holdings
        queues = [queue for queue in self._queues[holdings].values() if queue.claim.lane is claim.lane]
        before = sum(queue.number_before(waiting.order) for queue in queues)
        # What has room for it starts with the next `grant`: until then, the slots are another's.
        waits_for = self._blocked_by(claim, holdings) or WaitsFor.SERVER_CAP
        return Standing(waits_for, before + 1, len(self._waiting))

    def numbers(self) -> Mapping[tuple[Priority, WaitsFor], int]:
        """How many wait in which lane, and for what. It may be asked in any thread."""
        numbers = Counter[tuple[Priority, WaitsFor]]()
        for holdings, queues in list(self._queues.items()):
            for queue in list(queues.values()):
                waits_for = self._blocked_by(queue.claim, holdings) or WaitsFor.SERVER_CAP
                numbers[queue.claim.lane, waits_for] += len(queue)
        return numbers

    # -- What they have in common -----------------------------------------------------------------------

    def _blocked_by(self, claim: Claim, holdings: Holdings[Any]) -> WaitsFor | None:
        """Which cap is reached, the user's own first."""
        caps, in_all = self._caps, self._ledger.in_all
        if holdings.turns + holdings.slots >= caps.of_user(claim.user, claim.agent):
            return WaitsFor.USER_CAP
        if not self._has_room(claim.agent):
            return WaitsFor.AGENT_CAP
        return WaitsFor.SERVER_CAP if in_all.turns + in_all.slots >= caps.in_all else None

    def _has_room(self, agent: str) -> bool:
        most = self._caps.of_agent(agent)
        return most is None or self._ledger.of_agent.get(agent, 0) < most

    def _may_grant(self) -> bool:
        """Whether a turn that waits may be one that can start."""
        return bool(self._ledger.in_all.moved) or any(map(self._has_room, self._candidates.agents))

    def _best(self, agents: Collection[str]) -> Queue | None:
        in_all, slots = self._ledger.in_all, self._caps.in_all
        return None if in_all.in_flight >= slots else self._candidates.best(agents, slots, in_all.active)

    def _give(self, ticket: Ticket, claim: Claim, holdings: Holdings[Any]) -> None:
        has_fewer = holdings in self._ledger.in_all.moved
        self._granted[ticket] = claim
        self._served += 1
        holdings.served = self._served
        holdings.count_slots(1)
        self._ledger.of_agent[claim.agent] += 1
        if holdings.waiting:
            self._look_at(holdings, only_candidates=not has_fewer)

    def _withdraw(self, waiting: Waiting) -> None:
        """It does not wait any more. What remains of its queue is to be looked at."""
        del self._waiting[waiting.ticket]
        queue = waiting.queue
        claim, holdings = queue.claim, queue.holdings
        queue.remove(waiting)
        self._aging.remove(waiting)
        holdings.count_waiting(-1)
        if not len(queue):
            self._candidates.discard(queue)
            queues = self._queues[holdings]
            del queues[claim.agent, claim.lane]
            if not queues:
                del self._queues[holdings]
                self._ledger.in_all.moved.pop(holdings, None)

    def _look_again(self, now: float) -> bool:
        """Look at what has changed since the last time; whether that was all of it."""
        moved, aging = self._ledger.in_all.moved, self._caps.aging
        for holdings in list(islice(moved, PASS)):
            self._look_at(holdings)
        for waiting in islice(self._aging.rise(now, aging), RISES):
            if waiting is waiting.queue.first:
                self._candidates.put(waiting.queue)
        rises_at = self._aging.next(aging)
        return not moved and (rises_at is None or now < rises_at)

    def _look_at(self, holdings: Holdings[Any], *, only_candidates: bool = False) -> None:
        """The user's turns have become more or fewer, or the user was served."""
        self._ledger.in_all.moved.pop(holdings, None)
        for queue in self._queues.get(holdings, {}).values():
            if not only_candidates or queue.entry is not None:
                self._candidates.put(queue)
