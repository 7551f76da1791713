"""The plot of every way beside the floor. Its ground is white, so it reads in light and dark."""

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from tests.benchmarks.figures import Figure

COLOURS = {"floor": "#8a8a8a", "turnkeeper": "#2f4a7a", "dict of tasks": "#c08a2d", "aiojobs": "#a8503f"}


def plot(figures: list[Figure], path: Path) -> None:
    """One panel per work, one bar per way, as long as its ratio to the floor."""
    works = list(dict.fromkeys(figure.what for figure in figures))
    # The same figures give the same file: no date in it, and no random names.
    look = {"svg.hashsalt": "turnkeeper", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(look):
        drawn, panels = plt.subplots(len(works), 1, figsize=(7.2, 1.35 * len(works)), squeeze=False)
        for panel, work in zip(panels[:, 0], works, strict=True):
            row = [figure for figure in figures if figure.what == work]
            ways = [figure.way for figure in row]
            ratios = [figure.ratio or 0.0 for figure in row]
            bars = panel.barh(ways, ratios, color=[COLOURS[way] for way in ways])
            panel.bar_label(bars, labels=[f"{ratio:.2f}" for ratio in ratios], padding=3)
            better = "longer is better" if row[0].unit.endswith("/s") else "shorter is better"
            panel.set_title(f"{work}, ratio to the floor ({better})", loc="left", fontsize=9)
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
