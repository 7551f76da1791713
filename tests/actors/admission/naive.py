"""The scheduler as it would be if nothing had to be quick: one list, looked through from its beginning.

It says what the real one must do. Some of that depends on when a `grant` was asked for last: turns rise by a
lane then, and not before.
"""

from collections import Counter
from dataclasses import dataclass

from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority, WaitsFor

#: What the parts of a key say.
RULES = (
    "one who has a fair share goes before one who has less",
    "a lower lane goes first",
    "one who was served later goes first",
    "of one user's turns, a later one goes first",
)


@dataclass
class Waiter:
    """One turn that waits, with the rank of its lane and of the one to which it has risen."""

    ticket: Ticket
    claim: Claim
    asked_at: float
    rank: int
    level: int


class Naive:
    """Who has a slot, and who waits for one."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.granted: dict[Ticket, Claim] = {}
        #: In the order in which they asked.
        self.waiting: list[Waiter] = []
        #: The turns that never asked, by user and agent.
        self.turns: Counter[tuple[str, str]] = Counter()
        #: The users in order, the one served the longest ago first.
        self.served: list[str] = []

    def in_flight(self, *, user: str | None = None, agent: str | None = None) -> int:
        """How many turns there are of this user, or of this agent, or in all."""
        number = 0
        for claim in self.granted.values():
            number += user in (None, claim.user) and agent in (None, claim.agent)
        for (of_user, of_agent), turns in self.turns.items():
            number += turns if user in (None, of_user) and agent in (None, of_agent) else 0
        return number

    @property
    def active(self) -> set[str]:
        """The users who have a turn, or wait."""
        users = {each.user for each in self.granted.values()} | {each.claim.user for each in self.waiting}
        return users | {user for (user, _), number in self.turns.items() if number}

    def blocked_by(self, claim: Claim) -> WaitsFor | None:
        """Which cap is reached."""
        if self.in_flight(user=claim.user) >= self.caps.of_user(claim.user, claim.agent):
            return WaitsFor.USER_CAP
        most = self.caps.of_agent(claim.agent)
        if most is not None and self.in_flight(agent=claim.agent) >= most:
            return WaitsFor.AGENT_CAP
        return WaitsFor.SERVER_CAP if self.in_flight() >= self.caps.in_all else None

    @property
    def eligible(self) -> list[Waiter]:
        """Those that could start."""
        return [each for each in self.waiting if self.blocked_by(each.claim) is None]

    def may_take(self, claim: Claim) -> bool:
        """Whether a turn with this claim could start at once, and none that waits could instead."""
        return self.blocked_by(claim) is None and not self.eligible

    def give(self, ticket: Ticket, claim: Claim) -> None:
        """The turn has a slot."""
        self.granted[ticket] = claim
        self._serve(claim.user)

    def ask(self, ticket: Ticket, claim: Claim, now: float) -> None:
        """The turn waits."""
        rank = list(Priority).index(claim.lane)
        self.waiting.append(Waiter(ticket, claim, now, rank, rank))
        if claim.user not in self.served:
            self._serve(claim.user)

    def leave(self, ticket: Ticket) -> None:
        """The turn needs its ticket no more."""
        self.granted.pop(ticket, None)
        self.waiting = [each for each in self.waiting if each.ticket != ticket]
        self.forget()

    def rise(self, now: float) -> None:
        """Let those rise by a lane that are due."""
        for each in self.waiting:
            while each.level and now >= each.asked_at + (each.rank - each.level + 1) * self.caps.aging:
                each.level -= 1

    def start(self, waiter: Waiter) -> None:
        """It has waited long enough."""
        self.waiting.remove(waiter)
        self.give(waiter.ticket, waiter.claim)

    def waiting_of(self, user: str) -> list[Waiter]:
        """Those of this user that wait."""
        return [each for each in self.waiting if each.claim.user == user]

    def position(self, ticket: Ticket) -> int:
        """The place of one that waits, among those of its user in its lane, from 1."""
        claims = {each.ticket: (each.claim.user, each.claim.lane) for each in self.waiting}
        return [each for each, claim in claims.items() if claim == claims[ticket]].index(ticket) + 1

    def forget(self) -> None:
        """What nothing is left of is not remembered."""
        active = self.active
        self.served = [user for user in self.served if user in active]

    def key(self, waiter: Waiter) -> tuple[bool, int, int, int]:
        """What decides on who goes first: the least. In the order of `RULES`."""
        user = waiter.claim.user
        over = self.in_flight(user=user) * len(self.active) >= self.caps.in_all
        return over, waiter.level, self.served.index(user), self.waiting.index(waiter)

    def _serve(self, user: str) -> None:
        self.served = [*(each for each in self.served if each != user), user]
