"""What a benchmark finds, and how many of everything it takes."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.benchmarks.aims import Aim, Of


@dataclass(frozen=True)
class Size:
    """How big a benchmark is run: 1 is the size the design speaks of."""

    scale: float = 1.0
    #: How many pairs of rounds are compared.
    rounds: int = 5
    #: How many seconds of CPU a round takes at least, where it can be made longer.
    seconds: float = 1.0

    def of(self, full: int, least: int = 2) -> int:
        """So many instead of ``full``."""
        return max(least, round(full * self.scale))


FULL = Size()
QUICK = Size(0.1, 2, 0.1)
TOY = Size(0.001, 1, 0.0)
SIZES = {"full": FULL, "quick": QUICK, "toy": TOY}


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
        if self.aim is None:
            return None
        value = self.ratio if self.aim.of is Of.RATIO else self.measured
        return value is not None and self.aim.met_by(value)


@dataclass(frozen=True)
class Failure:
    """The row of what did not come to a figure, and why."""

    what: str
    why: str
    aim: Aim | None = None
    note: str = ""
    way: str = ""


Row: TypeAlias = Figure | Failure


def noted(row: Row, note: str) -> Row:
    """The same with a note."""
    return replace(row, note=note)


def reason(error: BaseException) -> str:
    """Why something failed, in one line."""
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
