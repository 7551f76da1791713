"""The plot of every way beside the floor. Its ground is white, so it reads in light and dark."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from tests.benchmarks.figures import Figure, Row

COLOURS = {
    "awaits": "#8a8a8a",
    "overwrites": "#c4c4c4",
    "turnkeeper": "#2f4a7a",
    "dict of tasks": "#c08a2d",
    "aiojobs": "#a8503f",
}


def plot(rows: Sequence[Row], path: Path) -> None:
    """One panel per work, one bar per way, as long as its ratio to the floor; none for what failed."""
    figures = [row for row in rows if isinstance(row, Figure)]
    works = list(dict.fromkeys(figure.what for figure in figures))
    # The same figures give the same file: no date in it, and no random names.
    look = {"svg.hashsalt": "turnkeeper", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(look):
        drawn, panels = plt.subplots(
            max(1, len(works)), 1, figsize=(7.2, 1.5 * max(1, len(works))), squeeze=False
        )
        for panel, work in zip(panels[:, 0], works, strict=False):
            row = [figure for figure in figures if figure.what == work]
            ways = [figure.way for figure in row]
            ratios = [figure.ratio or 0.0 for figure in row]
            bars = panel.barh(ways, ratios, color=[COLOURS[way] for way in ways])
            panel.bar_label(bars, labels=[f"{ratio:.2f}" for ratio in ratios], padding=3)
            better = "longer is better" if row[0].unit.endswith("/s") else "shorter is better"
            panel.set_title(f"{work}, ratio to the floor that awaits ({better})", loc="left", fontsize=9)
            panel.set_xlim(0, max(ratios) * 1.12)
            panel.invert_yaxis()
            panel.set_xticks([])
            panel.spines[["top", "right", "bottom"]].set_visible(False)
        drawn.tight_layout()
        drawn.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
        plt.close(drawn)
    # matplotlib leaves spaces at the ends of lines.
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")
