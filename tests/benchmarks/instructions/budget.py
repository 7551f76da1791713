"""The ratios that were written down, and what a run comes to beside them."""

import tomllib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeAlias, assert_never

from tests.benchmarks.instructions.count import Row

FILE = Path(__file__).with_name("budget.toml")
#: By how much of its budget a ratio may be above it, or below it without a hint to lower it.
SLACK = 0.05

HEAD = """\
# Instructions per operation, as ratios to those of a floor in the same run, for each minor version of Python.
# Written by `make bench-instructions ARGS=--write`, held by `ARGS=--check` with 5 % of slack.
"""

#: The ratio of each operation.
Ratios: TypeAlias = Mapping[str, float]


class Verdict(Enum):
    """What a ratio is beside its budget."""

    HELD = "held"
    FELL = "fell"
    EXCEEDED = "exceeded"
    NO_BUDGET = "no_budget"
    NOT_COUNTED = "not_counted"

    @property
    def fails(self) -> bool:
        """Whether the check fails by it."""
        match self:
            case Verdict.HELD | Verdict.FELL:
                return False
            case Verdict.EXCEEDED | Verdict.NO_BUDGET | Verdict.NOT_COUNTED:
                return True
        assert_never(self)

    @property
    def text(self) -> str:
        """The same in words."""
        match self:
            case Verdict.HELD:
                return "within the budget"
            case Verdict.FELL:
                return "well below the budget: lower it with ARGS=--write"
            case Verdict.EXCEEDED:
                return "OVER THE BUDGET"
            case Verdict.NO_BUDGET:
                return "NOT IN THE BUDGET"
            case Verdict.NOT_COUNTED:
                return "IN THE BUDGET, BUT NO OPERATION"
        assert_never(self)


class Line(NamedTuple):
    """An operation, counted or budgeted or both."""

    operation: str
    row: Row | None
    budget: float | None

    @property
    def change(self) -> float | None:
        """By how much of its budget the ratio is above it."""
        return None if self.row is None or self.budget is None else self.row.ratio / self.budget - 1

    @property
    def verdict(self) -> Verdict:
        """What that comes to."""
        if self.row is None:
            return Verdict.NOT_COUNTED
        if self.change is None:
            return Verdict.NO_BUDGET
        if self.change > SLACK:
            return Verdict.EXCEEDED
        return Verdict.FELL if self.change < -SLACK else Verdict.HELD


def compare(rows: Sequence[Row], budget: Ratios) -> list[Line]:
    """Every operation that was counted, and every one that has a budget."""
    lines = [Line(row.operation, row, budget.get(row.operation)) for row in rows]
    unknown = budget.keys() - {row.operation for row in rows}
    return lines + [Line(operation, None, budget[operation]) for operation in sorted(unknown)]


def table(lines: Sequence[Line], *, judged: bool) -> str:
    """The lines for a terminal; ``judged`` adds what each comes to beside its budget."""
    text = [f"{'operation':<12} {'instructions':>12} {'floor':>9} {'ratio':>6} {'budget':>7} {'change':>8}"]
    for line in lines:
        counts = f"{'-':>12} {'-':>9} {'-':>6}"
        if line.row is not None:
            counts = f"{line.row.instructions:>12,.0f} {line.row.floor:>9,.0f} {line.row.ratio:>6.2f}"
        budget = "-" if line.budget is None else f"{line.budget:.2f}"
        change = "-" if line.change is None else f"{line.change:+.1%}"
        verdict = f"  {line.verdict.text}" if judged else ""
        text.append(f"{line.operation:<12} {counts} {budget:>7} {change:>8}{verdict}")
    return "\n".join(text)


def read(file: Path) -> dict[str, dict[str, float]]:
    """The ratios of each minor version of Python; without the file, none."""
    return tomllib.loads(file.read_text()) if file.exists() else {}


def write(file: Path, python: str, rows: Sequence[Row]) -> None:
    """Put these in the place of that Python's; the others stay."""
    ratios = {row.operation: round(row.ratio, 2) for row in rows}
    versions = {**read(file), python: ratios}
    sections = [
        f'["{version}"]\n' + "".join(f"{operation} = {ratio}\n" for operation, ratio in budget.items())
        for version, budget in sorted(versions.items())
    ]
    file.write_text("\n".join([HEAD, *sections]))
