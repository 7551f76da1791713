"""The part of `docs/explanation/admission.md` that the simulation writes, and its plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .crowd import LANES, READS, RUNS, USERS
from .figures import FILE, FLOODS, SEEDS, Figure
from .orders import AGING, ORDERS, SLOTS

PAGE: Final = FILE.with_suffix(".md")
PLOT: Final = FILE.with_suffix(".svg")
BEGIN, END = "<!-- written by `make simulate` -->\n", "<!-- end -->\n"
TEXT = f"""
`make simulate` lets {USERS} users share {SLOTS} slots on a virtual clock. A third of them is in each lane.
Each has one message at a time, which runs for {RUNS:g} s on average and is read for {READS:g} s before the
next one. Then one more user sends 600 or 1,500 messages at once, all in one lane. A turn rises by a lane in
{AGING:g} s.

A cell has the 99th percentile of how long the others' messages waited that were sent while the flood did, in
seconds, by their lane: {" / ".join(LANES)}; and how long it took until the last
turn of the flood had started. All of it is of {len(SEEDS)} runs.

"""
PICTURE = f"""
![How long messages wait while another user floods the server]({PLOT.name})

"""


def page(text: str, figures: Sequence[Figure]) -> str:
    """The page with its part as it must be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{TEXT}{table(figures)}{PICTURE}{END}{rest.partition(END)[2]}"


def table(figures: Sequence[Figure]) -> str:
    """A row for each flood, a column for each order."""
    cells = {(each.messages, each.lane, each.order): _cell(each) for each in figures}
    rows = [
        " | ".join(
            [
                f"| {flood.messages:,}, {flood.lane}",
                *(cells[flood.messages, flood.lane, order] for order in ORDERS),
            ]
        )
        + " |"
        for flood in FLOODS
    ]
    return "\n".join([f"| the flood | {' | '.join(ORDERS)} |", f"|---{'|---' * len(ORDERS)}|", *rows, ""])


def _cell(figure: Figure) -> str:
    waits = " / ".join(_short(seconds) for seconds in figure.p99.values())
    return f"{waits}; {figure.lasted:.0f} s"


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10.0 else f"{seconds:.1f}"


def read(path: Path) -> str:
    """The text of a page."""
    return path.read_text(encoding="utf-8")
