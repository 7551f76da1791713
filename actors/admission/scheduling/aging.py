"""The turns that have yet to rise by a lane, in the order in which they do. Pure."""

from collections.abc import Iterator
from typing import Final

from turnkeeper.actors.admission.chain import Chain
from turnkeeper.actors.model.words import Priority

from .queue import Waiting

#: The rank of each lane: the lower, the sooner are its turns served.
RANKS: Final = {lane: rank for rank, lane in enumerate(Priority)}


class Aging:
    """The turns below the highest lane: each rises by one for every so many seconds that it has waited.

    Those that began in one lane, and have risen equally often, rise in the order in which they asked.
    """

    __slots__ = ("_chains",)

    def __init__(self) -> None:
        #: By the rank of the lane in which they began, and of the one to which they have risen.
        self._chains: dict[tuple[int, int], Chain[Waiting]] = {
            (rank, level): Chain() for rank in RANKS.values() for level in range(rank, 0, -1)
        }

    def add(self, waiting: Waiting) -> None:
        """It waits in the lane in which it begins, or has risen to another one."""
        if waiting.level:
            self._chains[_rank(waiting), waiting.level].append(waiting)

    def remove(self, waiting: Waiting) -> None:
        """It does not wait there any more."""
        if waiting.level:
            self._chains[_rank(waiting), waiting.level].remove(waiting)

    def next(self, aging: float) -> float | None:
        """When the next one rises, by one lane for each ``aging`` seconds; ``None``: none is going to."""
        firsts = (chain.first for chain in self._chains.values())
        return min((_rises_at(first, aging) for first in firsts if first is not None), default=None)

    def rise(self, now: float, aging: float) -> Iterator[Waiting]:
        """Let those rise that are due, one after the other; some do twice."""
        for chain in self._chains.values():
            while (first := chain.first) is not None and now >= _rises_at(first, aging):
                chain.remove(first)
                first.level -= 1
                self.add(first)
                yield first


def _rank(waiting: Waiting) -> int:
    return RANKS[waiting.queue.claim.lane]


def _rises_at(waiting: Waiting, aging: float) -> float:
    return waiting.asked_at + (_rank(waiting) - waiting.level + 1) * aging
