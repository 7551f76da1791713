"""How often something took how long. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts spans of time, in seconds, by the first of ``bounds`` that they do not exceed."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` rise; above the last of them there is one more place."""
        self.bounds = bounds
        #: How many there were in each place.
        self.counts = [0] * (len(bounds) + 1)
        #: How long all of them took together.
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """It took this long once more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    @property
    def below(self) -> list[tuple[float, int]]:
        """Each bound with how many did not exceed it; infinity, with all of them, is the last."""
        return list(zip((*self.bounds, float("inf")), accumulate(list(self.counts)), strict=True))
