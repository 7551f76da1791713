"""The page of the docs that shows the figures of the last full run."""

import os
import platform
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.figures import Figure

HEAD = """# Benchmarks

Written by `make bench`: {cores} cores, Python {python}, {machine}. **Compare the ratios**: figures side by
side were measured alternately in the same run, while absolute numbers change from run to run and from machine
to machine.

## Compared with the alternatives

```{{image}} benchmarks.svg
:alt: Each alternative as a ratio to the floor, for turns, supersedes, cancels and bytes
:width: 100%
```

Each cell is the figure and, in brackets, its ratio to the floor.

{ways}

The *floor* is a dict of raw asyncio tasks that overwrites the old task without waiting for its end, and
gives none of the guarantees. The *dict of tasks* is the more common variant, which cancels the old task and
awaits it; its cancel is faster than the floor's, which uses `asyncio.wait`. *aiojobs* is one scheduler
without a limit, a job per turn and a dict of the jobs by session; the old job is closed before the next one
is spawned. The last column is tested in the same run, with a turn that takes 20 ms to end and one that
ignores cancellation. turnkeeper fences the latter off after `cancel_grace` and goes on without it; that
coroutine runs until it returns, because nothing in Python can end it. Cancels are timed from the call to the
end of the coroutine, among 10,000 busy sessions. The alternatives do not number, publish or remember turns.

## On uvloop

The same work, alternately on both event loops; here the floor is turnkeeper on asyncio's own loop.

{loops}

## Compared with the floor, and with the targets

{floor}

## Instructions

`make bench-instructions` counts the instructions in user space that one operation takes, under Valgrind's
callgrind: a turn that does nothing (also one whose session keeps 1,000 messages), a turn that adds two
messages to 1,000, a supersede, a cancel, an event to one reader, a send and a cancel over HTTP. Each stands
beside a floor from the same run: a raw task, which is awaited even when it is cancelled; a turn of a session
that keeps none, or ten messages; a raw `asyncio.Queue`; a bare aiohttp POST. From one run to the next such a
ratio moves by less than one per cent, even on a busy machine; from one Python to the next it moves by more.
`.ci/run` holds the ratios to
`tests/benchmarks/instructions/budget.toml`, which has a budget for each Python, with 5 % of slack.
"""


def _ways(figures: list[Figure]) -> str:
    columns = list(dict.fromkeys(figure.what for figure in figures))
    cells = {(figure.way, figure.what): figure for figure in figures}
    lines = [
        "| way | " + " | ".join(columns) + " | what it allows |",
        "|---|" + "--:|" * len(columns) + "---|",
    ]
    for way, note in dict.fromkeys((figure.way, figure.note) for figure in figures):
        row = [cells[way, column] for column in columns]
        texts = [f"{table.number(figure.measured)} {figure.unit} ({figure.ratio:.2f})" for figure in row]
        lines.append(f"| {way} | " + " | ".join(texts) + f" | {note or 'none of these'} |")
    return "\n".join(lines)


def write(figures: list[Figure], folder: Path) -> None:
    """Write the page and its plot."""
    from tests.benchmarks.plot import plot  # what it draws with comes with the extra `bench`

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
