"""A scheduler that is watched: what is done to it is done to the naive one, and that judges what it does."""

from collections.abc import Mapping
from dataclasses import dataclass

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.holdings import Held
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Standing, Ticket
from turnkeeper.actors.model.words import WaitsFor
from turnkeeper.actors.session.settings import Settings

from .naive import RULES, Naive

SETTINGS = Settings()
SESSION = SessionId("s")
#: More than any grant needs, here.
PASSES = 1_000


class Violation(AssertionError):
    """The scheduler has done what it must not do."""


def expect(holds: object, otherwise: str) -> None:
    """Raise `Violation`, unless that holds."""
    if not holds:
        raise Violation(otherwise)


@dataclass
class Said:
    """The caps of users, and of users for one agent; and of agents. Without a word there is none."""

    users: dict[str | tuple[str, str], int]
    agents: dict[str, int]

    def of_user(self, user: str, agent: str) -> int:
        """As `Caps.of_user`."""
        return self.users.get((user, agent), self.users.get(user, 1_000))

    def of_agent(self, agent: str) -> int | None:
        """As `Caps.of_agent`."""
        return self.agents.get(agent)


class World:
    """One scheduler with its ledger, the naive one beside it, and the time."""

    def __init__(
        self,
        slots: int,
        users: Mapping[str | tuple[str, str], int] | None = None,
        agents: Mapping[str, int] | None = None,
        *,
        aging: float = 1.0,
    ) -> None:
        self.said = Said(dict(users or {}), dict(agents or {}))
        self.caps = Caps(
            in_all=slots,
            of_user=self.said.of_user,
            of_agent=self.said.of_agent,
            max_waiting=SETTINGS.max_waiting,
            max_waiting_in_all=SETTINGS.max_waiting_in_all,
            aging=aging,
        )
        self.ledger: Ledger[Held] = Ledger(Bounds.of(SETTINGS), self.caps)
        self.scheduler = Scheduler(self.ledger, self.caps)
        self.naive = Naive(self.caps)
        self.now = 0.0
        self.number = 0
        #: The ticket that was left last.
        self.left: Ticket | None = None
        #: Whether nothing has happened since a grant by which a turn that waits could start.
        self.settled = True
        #: Whether all is looked at after every deed, or only what starts.
        self.watched = True

    # -- Deeds ------------------------------------------------------------------------------------------

    def send(self, claim: Claim) -> Ticket:
        """A turn is to start, or else to wait."""
        ticket = self._ticket()
        if self.scheduler.take(ticket, claim):
            expect(self.naive.blocked_by(claim) is None, "a turn starts beyond a cap")
            expect(self.naive.may_take(claim), "a turn starts before one that waits and could")
            self.naive.give(ticket, claim)
        else:
            unjust = self.settled and self.naive.may_take(claim)
            expect(not unjust, "a turn has to wait although there is a slot for it")
            self._ask(ticket, claim)
        self.check()
        return ticket

    def ask(self, claim: Claim) -> Ticket:
        """A turn is to wait, even if it could start."""
        ticket = self._ticket()
        self._ask(ticket, claim)
        self.settled = False
        self.check()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """A turn needs its ticket no more."""
        self.scheduler.leave(ticket)
        self.naive.leave(ticket)
        self.left = ticket
        self.settled = False
        self.check()

    def turn(self, user: str, agent: str, number: int) -> None:
        """A turn that never asks for a slot begins, or ends."""
        if number < 0 and not self.naive.turns[user, agent]:
            return
        holdings = self.ledger.of(user)
        holdings.count_turns(number)
        self.ledger.count_turn(agent, number)
        self.ledger.tidy(holdings)
        self.naive.turns[user, agent] += number
        self.naive.forget()
        self.settled = False
        self.check()

    def wait(self, seconds: float = 1.0) -> None:
        """Time passes."""
        self.now += seconds

    def cap(
        self,
        *,
        slots: int | None = None,
        users: Mapping[str, int] | None = None,
        agents: Mapping[str, int] | None = None,
    ) -> None:
        """Caps are changed."""
        self.caps.in_all = slots or self.caps.in_all
        self.said.users.update(users or {})
        self.said.agents.update(agents or {})
        self.scheduler.changed()
        self.settled = False
        self.check()

    def grant(self, *, in_order: bool = True) -> list[Ticket]:
        """All start that may. ``in_order``: in the right one, as long as few changes are looked at."""
        naive = self.naive
        naive.rise(self.now)
        self.settled = True
        granted = list[Ticket]()
        for _ in range(PASSES):
            for ticket in self.scheduler.grant(self.now):
                self._judge(ticket, in_order=in_order)
                granted.append(ticket)
            if self.scheduler.settled:
                break
        expect(self.scheduler.settled, "a grant comes to no end")
        expect(not naive.eligible, "a slot is free that a turn waits for")
        self.check()
        return granted

    # -- What has to hold -------------------------------------------------------------------------------

    def _judge(self, ticket: Ticket, *, in_order: bool) -> None:
        naive = self.naive
        waiter = next((each for each in naive.waiting if each.ticket == ticket), None)
        if waiter is None:
            raise Violation("a turn starts that does not wait")
        expect(naive.blocked_by(waiter.claim) is None, "a turn is granted a slot beyond a cap")
        earlier = naive.waiting[: naive.waiting.index(waiter)]
        expect(
            all(each.claim != waiter.claim for each in earlier), "a turn overtakes another one of its queue"
        )
        best = min(naive.eligible, key=naive.key)
        for mine, others, rule in zip(naive.key(waiter), naive.key(best), RULES, strict=True):
            if mine != others and in_order:
                raise Violation(rule)
        naive.start(waiter)

    def check(self) -> None:
        """What is counted is what there is, and every turn that waits knows where it stands."""
        if not self.watched:
            return
        naive, ledger, in_all = self.naive, self.ledger, self.ledger.in_all
        expect(in_all.slots == len(naive.granted), "the slots are not as many as were granted and not left")
        expect(in_all.waiting == self.scheduler.waiting == len(naive.waiting), "a turn that waits is lost")
        expect(in_all.active == len(naive.active), "the number of active users is wrong")
        for agent, number in ledger.of_agent.items():
            expect(number == naive.in_flight(agent=agent), "the turns of an agent are not as many as counted")
        expect(len(ledger) == len(naive.active), "something is kept of a user who has nothing")
        for user in naive.active:
            holdings = ledger.of(user)
            expect(
                holdings.in_flight == naive.in_flight(user=user), "a user's turns are not as many as counted"
            )
            expect(
                ledger.waiting(user) == len(naive.waiting_of(user)), "a user's turns that wait are miscounted"
            )
        for each in naive.waiting:
            waits_for = naive.blocked_by(each.claim) or WaitsFor.SERVER_CAP
            standing = Standing(waits_for, naive.position(each.ticket), len(naive.waiting))
            expect(self.scheduler.standing(each.ticket) == standing, "a turn is said to stand elsewhere")
        for ticket in (*naive.granted, *([self.left] if self.left else [])):
            expect(self.scheduler.standing(ticket) is None, "a turn that does not wait is said to")

    def _ask(self, ticket: Ticket, claim: Claim) -> None:
        self.scheduler.ask(ticket, claim, self.now)
        self.naive.ask(ticket, claim, self.now)

    def nth(self, number: int) -> Ticket:
        """One of all the tickets that there have been, or one that never was."""
        return Ticket(SESSION, number % (self.number + 1))

    def _ticket(self) -> Ticket:
        self.number += 1
        return Ticket(SESSION, self.number)
