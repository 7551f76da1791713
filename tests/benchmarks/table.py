"""Figures for the eye and for programs."""

from typing import Any

from tests.benchmarks.figures import Figure


def number(value: float | None) -> str:
    """As many digits as say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _yes_or_no(met: bool | None) -> str:
    return "-" if met is None else "yes" if met else "NO"


def _cells(figure: Figure) -> list[str]:
    return [
        f"{figure.way}: {figure.what}" if figure.way else figure.what,
        f"{number(figure.measured)} {figure.unit}",
        number(figure.floor),
        "-" if figure.ratio is None else f"{figure.ratio:.2f}",
        "-" if figure.aim is None else figure.aim.text,
        _yes_or_no(figure.met),
    ]


def plain(figures: list[Figure]) -> str:
    """One line each, for a terminal."""
    return "\n".join(
        "{:<52} {:>22}  floor {:>8}  ratio {:>6}  {:<28} {}".format(*_cells(figure)) for figure in figures
    )


def markdown(figures: list[Figure]) -> str:
    """The table, for the docs."""
    lines = ["| work | measured | floor | ratio | aim | met |", "|---|--:|--:|--:|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(figure)) + " |" for figure in figures])


def as_dict(figure: Figure) -> dict[str, Any]:
    """The figure as JSON can say it."""
    return {
        "what": figure.what,
        "way": figure.way,
        "note": figure.note,
        "unit": figure.unit,
        "measured": figure.measured,
        "floor": figure.floor,
        "ratio": figure.ratio,
        "aim": None if figure.aim is None else figure.aim.text,
        "met": figure.met,
    }
