"""Rows for the eye."""

from collections.abc import Sequence
from typing import assert_never

from tests.benchmarks.figures import Failure, Figure, Row


def number(value: float | None) -> str:
    """As many digits as say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def yes_or_no(row: Row) -> str:
    """Whether the row's aim is met."""
    match row:
        case Figure(met=None) | Failure(aim=None):
            return "-"
        case Figure(met=met):
            return "yes" if met else "NO"
        case Failure():
            return "NO"
    assert_never(row)


def measured(row: Row) -> tuple[str, str, str]:
    """The figure, the floor's and their ratio; or that it failed."""
    match row:
        case Figure():
            ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
            return f"{number(row.measured)} {row.unit}", number(row.floor), ratio
        case Failure():
            return f"failed: {row.why}", "-", "-"
    assert_never(row)


def _cells(row: Row) -> list[str]:
    name = f"{row.way}: {row.what}" if row.way else row.what
    if row.note and not row.way:
        name += f" (`{row.note}`)"
    return [name, *measured(row), "-" if row.aim is None else str(row.aim), yes_or_no(row)]


def plain(rows: Sequence[Row]) -> str:
    """One line each, for a terminal."""
    return "\n".join(
        "{:<76} {:>22}  floor {:>8}  ratio {:>6}  {:<22} {}".format(*_cells(row)) for row in rows
    )


def lines(cells: Sequence[Sequence[str]]) -> list[str]:
    """Cells as lines of a table in Markdown."""
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]


def markdown(rows: Sequence[Row]) -> str:
    """The table, for the docs."""
    head = ["| work | measured | floor | ratio | aim | met |", "|---|--:|--:|--:|---|---|"]
    return "\n".join(head + lines([_cells(row) for row in rows]))
