"""A server on a virtual clock: 99 users send now and then, and one sends very many messages at once."""

import heapq
import math
import random
from typing import Final, NamedTuple

from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority

from .orders import Order

USERS: Final = 99
#: For how many seconds a turn runs on average, and how much that varies: the sigma of a log-normal
#: distribution.
RUNS: Final = 2.0
SPREAD: Final = 0.8
#: For how many seconds a user reads the answer before the next message, on average.
READS: Final = 30.0
#: When the flood comes, in seconds: by then the others send as they always do.
BEGINS: Final = 60.0
LANES: Final = tuple(Priority)


class Flood(NamedTuple):
    """So many messages of one user's at once, in that lane."""

    messages: int
    lane: Priority


class Seen(NamedTuple):
    """How long the others waited, by lane, who sent while the flood waited; and how long the flood did."""

    waits: dict[Priority, list[float]]
    lasted: float


class _User:
    """One user, whose chances are the same whatever else happens."""

    def __init__(self, name: str, lane: Priority, seed: int) -> None:
        self.claim = Claim(name, "agent", lane)
        self._chance = random.Random(f"{seed} {name}")

    def reads(self) -> float:
        return self._chance.expovariate(1.0 / READS)

    def runs(self) -> float:
        return self._chance.lognormvariate(math.log(RUNS) - SPREAD**2 / 2, SPREAD)


class _Message(NamedTuple):
    user: _User
    sent_at: float
    runs: float
    #: Whether it was sent while the flood waited.
    counts: bool


class Crowd:
    """One run. Each of the others is always in one lane, and sends one message at a time."""

    def __init__(self, order: Order, flood: Flood, seed: int) -> None:
        self._order = order
        self._flood = flood
        self._users = [_User(f"user {number}", LANES[number % 3], seed) for number in range(USERS)]
        self._flooder = _User("flooder", flood.lane, seed)
        self._messages: dict[Ticket, _Message] = {}
        #: What happens next, in order: a user sends, or the turn of a ticket ends.
        self._events: list[tuple[float, int, _User | Ticket]] = []
        self._number = 0
        #: How many of the flood wait, and how many of the others that count.
        self._flooding = self._counting = 0

    def run(self) -> Seen:
        """Let time pass until no turn waits that counts, and none of the flood."""
        waits: dict[Priority, list[float]] = {lane: [] for lane in LANES}
        lasted, came = 0.0, False
        for user in self._users:
            self._later(user.reads(), user)
        self._later(BEGINS, self._flooder)
        while not came or self._flooding or self._counting:
            now, _, what = heapq.heappop(self._events)
            came = came or what is self._flooder
            self._happen(what, now)
            for ticket in self._order.grant(now):
                message = self._messages[ticket]
                self._later(now + message.runs, ticket)
                if message.user is self._flooder:
                    self._flooding -= 1
                    lasted = now - BEGINS
                elif message.counts:
                    self._counting -= 1
                    waits[message.user.claim.lane].append(now - message.sent_at)
        return Seen(waits, lasted)

    def _happen(self, what: _User | Ticket, now: float) -> None:
        if isinstance(what, Ticket):
            self._order.leave(what)
            user = self._messages.pop(what).user
            if user is not self._flooder:
                self._later(now + user.reads(), user)
        elif what is self._flooder:
            self._flooding = self._flood.messages
            for _ in range(self._flood.messages):
                self._send(what, now, counts=False)
        else:
            counts = self._flooding > 0
            self._counting += counts
            self._send(what, now, counts=counts)

    def _send(self, user: _User, now: float, *, counts: bool) -> None:
        self._number += 1
        ticket = Ticket(SessionId(user.claim.user), self._number)
        self._messages[ticket] = _Message(user, now, user.runs(), counts)
        self._order.ask(ticket, user.claim, now)

    def _later(self, at: float, what: _User | Ticket) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, what))
