"""The turns of one user, for one agent and in one lane, that wait for a slot: first in, first out. Pure."""

from bisect import bisect_left
from operator import attrgetter
from typing import Any, TypeAlias

from turnkeeper.actors.admission.chain import Link
from turnkeeper.actors.admission.holdings import Holdings
from turnkeeper.actors.model.slots import Claim, Ticket

#: A queue of so many places is not worth clearing.
_FEW = 32
_order = attrgetter("order")
#: What queues are compared by: the rank of the lane to which the first turn has risen, when the user was
#: served, when that turn asked, and a number that no other entry has; and the queue.
Entry: TypeAlias = "tuple[int, int, int, int, Queue]"


class Waiting(Link):
    """One turn that waits, as a link of those that have yet to rise by a lane."""

    __slots__ = ("asked_at", "left", "level", "order", "place", "queue", "ticket")

    def __init__(self, ticket: Ticket, queue: "Queue", order: int, asked_at: float, level: int) -> None:
        self.ticket = ticket
        self.queue = queue
        #: How many had asked when it did, of all users, itself among them.
        self.order = order
        self.asked_at = asked_at
        #: The rank of the lane to which it has risen.
        self.level = level
        #: Its place in the queue, counted with those that have left; and whether it has.
        self.place = 0
        self.left = False


class Queue:
    """Those that wait, in the order in which they asked. Any of them may leave at any time.

    Those that have left keep their places, until they are more than the others. A Fenwick tree counts the
    others: how many are before one of them takes as many steps as the logarithm of their number.
    """

    __slots__ = ("_first", "_left", "_row", "_tree", "bucket", "claim", "entry", "holdings")

    def __init__(self, claim: Claim, holdings: Holdings[Any]) -> None:
        self.claim = claim
        #: What the user has.
        self.holdings = holdings
        #: Where the queue stands among those that may be served; ``None`` if it does not.
        self.entry: Entry | None = None
        self.bucket: Any = None
        self._row: list[Waiting] = []
        #: At ``place + 1``: how many of the places that the lowest bit of that spans are taken.
        self._tree = [0]
        self._first = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._row) - self._left

    @property
    def places(self) -> int:
        """How many places it has, those included that nothing stands on any more."""
        return len(self._row)

    @property
    def first(self) -> Waiting:
        """The one that has waited the longest. The queue must not be empty."""
        row = self._row
        while row[self._first].left:
            self._first += 1
        return row[self._first]

    def append(self, waiting: Waiting) -> None:
        """One more, at the end."""
        waiting.place = place = len(self._row)
        self._row.append(waiting)
        number = place + 1
        spanned = self._before(place) - self._before(number - (number & -number))
        self._tree.append(spanned + 1)

    def remove(self, waiting: Waiting) -> None:
        """One less: it is granted or withdrawn."""
        waiting.left = True
        self._left += 1
        if self._left > _FEW and 2 * self._left > len(self._row):
            self._clear()
            return
        tree, number = self._tree, waiting.place + 1
        while number < len(tree):
            tree[number] -= 1
            number += number & -number

    def number_before(self, order: int) -> int:
        """How many of these asked before the one of that order."""
        return self._before(bisect_left(self._row, order, key=_order))

    def _before(self, place: int) -> int:
        """How many places before this one are taken."""
        tree, taken = self._tree, 0
        while place:
            taken += tree[place]
            place &= place - 1
        return taken

    def _clear(self) -> None:
        self._row = [waiting for waiting in self._row if not waiting.left]
        for place, waiting in enumerate(self._row):
            waiting.place = place
        self._tree = [number & -number for number in range(len(self._row) + 1)]
        self._first = self._left = 0
