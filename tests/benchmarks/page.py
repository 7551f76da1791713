"""The page of the docs that shows the figures of the last full run."""

import os
import platform
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.figures import Figure

HEAD = """# Benchmarks

Written by `make bench`: machine class {cores} cores, Python {python}, {machine}. **Ratios are what to
compare**: what stands beside each other was measured in turns in the same run; absolute numbers move from
run to run and from machine to machine.

## Beside what people would pick instead

```{{image}} benchmarks.svg
:alt: Every way as a ratio to the floor, for turns, supersedes, cancels and bytes
:width: 100%
```

Each cell is the figure and, in brackets, its ratio to the floor.

{ways}

The *floor* is a dict of raw asyncio tasks that overwrites the old task without waiting for its end, and
gives none of the guarantees. The *dict of tasks* is the commoner variant, which cancels the old task and
awaits it; its cancel is quicker than the floor's, which goes through `asyncio.wait`. *aiojobs* is one
scheduler without a limit, a job per turn and a dict of the jobs by session; the old job is closed before
the next one is spawned. The last column is tried in the same run, with a turn that takes 20 ms to end and
one that ignores being cancelled. turnkeeper fences the latter off after `cancel_grace` and goes on without
it; it runs until it returns, as nothing in Python can end it. Cancels are timed from the call to the end of
the coroutine, among 10,000 busy sessions. The other ways do not number, publish or remember a turn.

## On uvloop

The same work on both loops in turns; the floor here is turnkeeper on asyncio's own loop.

{loops}

## Against the floor, and against our aims

{floor}
"""


def _ways(figures: list[Figure]) -> str:
    columns = list(dict.fromkeys(figure.what for figure in figures))
    cells = {(figure.way, figure.what): figure for figure in figures}
    lines = [
        "| way | " + " | ".join(columns) + " | what it lets happen |",
        "|---|" + "--:|" * len(columns) + "---|",
    ]
    for way, note in dict.fromkeys((figure.way, figure.note) for figure in figures):
        row = [cells[way, column] for column in columns]
        told = [f"{table.number(figure.measured)} {figure.unit} ({figure.ratio:.2f})" for figure in row]
        lines.append(f"| {way} | " + " | ".join(told) + f" | {note or 'none of these'} |")
    return "\n".join(lines)


def write(figures: list[Figure], folder: Path) -> None:
    """Write the page and its plot."""
    from tests.benchmarks.plot import plot  # only the extra `bench` brings what it draws with

    beside = [figure for figure in figures if figure.way]
    of_loops = [figure for figure in figures if "uvloop" in figure.what]
    rest = [figure for figure in figures if figure not in beside and figure not in of_loops]
    text = HEAD.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        machine=platform.machine(),
        ways=_ways(beside),
        loops=table.markdown(of_loops),
        floor=table.markdown(rest),
    )
    (folder / "benchmarks.md").write_text(text)
    plot(beside, folder / "benchmarks.svg")
