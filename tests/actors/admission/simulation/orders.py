"""Ways to decide who goes first: turnkeeper's, and those that it is compared with."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.holdings import Held
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.admission.scheduler import Scheduler
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority
from turnkeeper.actors.session.settings import Settings

SLOTS: Final = 20
#: After how many seconds a turn rises by a lane.
AGING: Final = 30.0
#: How many turns a user may have, where there is a cap of that kind.
CAP: Final = 4
RANKS: Final = {lane: rank for rank, lane in enumerate(Priority)}


class Order(Protocol):
    """What decides who goes first."""

    def ask(self, ticket: Ticket, claim: Claim, now: float) -> None:
        """A turn is to have a slot."""

    def leave(self, ticket: Ticket) -> object:
        """A turn has ended."""

    def grant(self, now: float) -> list[Ticket]:
        """Those that start now."""


@dataclass
class _Queue:
    claim: Claim
    waiting: deque[tuple[int, float, Ticket]] = field(default_factory=deque)


class Simple:
    """First in, first out; by lane first, if so, with aging; and past those of users who are at their cap."""

    def __init__(self, *, lanes: bool = False, cap: int | None = None) -> None:
        self._lanes = lanes
        self._cap = cap
        self._queues: dict[tuple[str, Priority], _Queue] = {}
        self._granted: dict[Ticket, str] = {}
        self._in_flight: dict[str, int] = {}
        self._asked = 0

    def ask(self, ticket: Ticket, claim: Claim, now: float) -> None:
        """A turn is to have a slot."""
        self._asked += 1
        queue = self._queues.setdefault((claim.user, claim.lane), _Queue(claim))
        queue.waiting.append((self._asked, now, ticket))

    def leave(self, ticket: Ticket) -> None:
        """A turn has ended."""
        self._in_flight[self._granted.pop(ticket)] -= 1

    def grant(self, now: float) -> list[Ticket]:
        """Those that start now."""
        granted = list[Ticket]()
        while len(self._granted) < SLOTS:
            able = [queue for queue in self._queues.values() if not self._is_at_cap(queue.claim.user)]
            best = min(able, key=lambda queue: self._key(queue, now), default=None)
            if best is None:
                break
            _, _, ticket = best.waiting.popleft()
            user = best.claim.user
            if not best.waiting:
                del self._queues[user, best.claim.lane]
            self._granted[ticket] = user
            self._in_flight[user] = self._in_flight.get(user, 0) + 1
            granted.append(ticket)
        return granted

    def _is_at_cap(self, user: str) -> bool:
        return self._cap is not None and self._in_flight.get(user, 0) >= self._cap

    def _key(self, queue: _Queue, now: float) -> tuple[int, int]:
        order, asked_at, _ = queue.waiting[0]
        risen = RANKS[queue.claim.lane] - int((now - asked_at) / AGING)
        return max(0, risen) if self._lanes else 0, order


def turnkeeper() -> Scheduler:
    """The scheduler as it is, with no cap but that in all."""
    settings = Settings(max_in_flight=SLOTS, max_in_flight_in_all=SLOTS, lane_aging=AGING)
    caps = Caps.of(settings)
    return Scheduler(Ledger[Held](Bounds.of(settings), caps), caps)


#: By what they are called in the table.
ORDERS: Final[Mapping[str, Callable[[], Order]]] = {
    "first in, first out": Simple,
    "lanes only": lambda: Simple(lanes=True),
    f"user cap {CAP}": lambda: Simple(cap=CAP),
    "turnkeeper": turnkeeper,
}
