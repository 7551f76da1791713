"""What a benchmark finds, the aim it is held against, and how many of everything it takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Size:
    """How big a benchmark is run: 1 is the size the design speaks of."""

    scale: float = 1.0
    rounds: int = 7

    def of(self, full: int, least: int = 2) -> int:
        """So many instead of ``full``."""
        return max(least, round(full * self.scale))


FULL = Size()
QUICK = Size(0.1, 3)
TOY = Size(0.001, 1)


@dataclass(frozen=True)
class Aim:
    """What the design wants of a figure, in words and as a question."""

    text: str
    met_by: Callable[["Figure"], bool]


def ratio_at_least(ratio: float) -> Aim:
    """At least this part of the floor: for what should be many."""
    return Aim(f">= {ratio:g} of the floor", lambda figure: (figure.ratio or 0.0) >= ratio)


def ratio_at_most(ratio: float) -> Aim:
    """At most so many times the floor: for what should be little."""
    return Aim(f"<= {ratio:g} x the floor", lambda figure: (figure.ratio or ratio + 1) <= ratio)


def at_most(bound: float, unit: str) -> Aim:
    """At most so much, whatever the floor takes."""
    return Aim(f"<= {bound:g} {unit}", lambda figure: figure.measured <= bound)


@dataclass(frozen=True)
class Figure:
    """One row of the table. ``ratio`` is measured / floor, both taken in the same run."""

    what: str
    unit: str
    measured: float
    floor: float | None = None
    ratio: float | None = None
    aim: Aim | None = None
    note: str = ""
    way: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        return None if self.aim is None else self.aim.met_by(self)

    def noted(self, note: str) -> "Figure":
        """The same with a note."""
        return replace(self, note=note)
