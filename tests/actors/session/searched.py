"""Writes down in `docs/explanation/searches.md` what whole searches have met.

python -m tests.actors.session.searched              all of them, which takes minutes
python -m tests.actors.session.searched "later"      those whose names contain the text
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.actors.session.alphabets import ALPHABETS, Letters, everything
from tests.actors.session.search import Figures, searches_of_all, small_searches

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "searches.md"
BEGIN, END = "<!-- written by tests.actors.session.searched -->\n", "<!-- end -->\n"
ROW = re.compile(
    r"\| (?P<name>[^|]+) \| [^|]+ \| (?P<states>[\d,]+) \| (?P<transitions>[\d,]+) \| (?P<most>\d+) \|"
)
#: To that depth all letters together are searched: they have no end.
DEPTH = 3
TOGETHER = "all letters", "all letters, durable"


class Met(NamedTuple):
    """What a search has met: how many messages lead to the farthest of its sessions."""

    states: int
    transitions: int
    most: int

    @classmethod
    def of(cls, figures: Figures) -> "Met":
        """Raises `ValueError` for a search that found something, or did not come to its end."""
        most = figures.depth if figures.closed is None else figures.closed
        if figures.found is not None or most is None:
            raise ValueError(str(figures.found))
        return cls(figures.states, figures.transitions, most)


def read(text: str) -> dict[str, Met]:
    """What the page says."""
    found = (row.groupdict() for row in ROW.finditer(text))
    return {
        row["name"]: Met(*(int(row[each].replace(",", "")) for each in ("states", "transitions", "most")))
        for row in found
    }


def page(text: str, met: Mapping[str, Met]) -> str:
    """The page with its tables as they must be."""
    before, _, rest = text.partition(BEGIN)
    heads = "| alphabet | what happens | states | transitions | messages |\n|---|---|--:|--:|--:|"
    closed = [_row(name, alphabet.letters, met) for name, alphabet in ALPHABETS.items()]
    together = [_row(name, everything, met) for name in TOGETHER]
    table = "\n".join([heads, *closed, *together])
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"


def _row(name: str, letters: Letters, met: Mapping[str, Met]) -> str:
    what = " ".join((letters.__doc__ or "").split())
    if name not in met:
        return f"| {name} | {what} | - | - | - |"
    states, transitions, most = met[name]
    return f"| {name} | {what} | {states:,} | {transitions:,} | {most} |"


def main(only: str = "") -> None:
    """Search, and write down each as it is done."""
    met = read(PAGE.read_text(encoding="utf-8"))
    for searches in (small_searches(only), searches_of_all(DEPTH)):
        for name, figures in searches:
            if only in name:
                print(f"{name}, {figures}", flush=True)
                met[name] = Met.of(figures)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), met), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
