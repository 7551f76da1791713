"""How often something took how long. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts spans of time, in seconds, by the first of ``bounds`` that they do not exceed."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` rise; above the last of them there is one more place."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """It took this long once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def sum(self) -> float:
        """How long all of them took together."""
        return self._sum

    @property
    def below(self) -> list[tuple[float, int]]:
        """Each bound with how many did not exceed it; infinity, with all of them, is the last."""
        return list(zip((*self._bounds, float("inf")), accumulate(list(self._counts)), strict=True))
