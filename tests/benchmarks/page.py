"""The page of the docs that shows the results of one run, and nothing else than those."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.aims import AIMS, Aim
from tests.benchmarks.figures import Failure, Row
from tests.benchmarks.results import Results

HEAD = """# Benchmarks

{run}
Python {conditions.python}, {conditions.cores} cores, {conditions.machine}; code {conditions.code};
{conditions.rounds} rounds of each, of at least {conditions.seconds:g} s where they can be made longer.

**Compare the ratios**: figures side by side were measured alternately in the same run, while absolute numbers
change from run to run and from machine to machine. Work is counted in CPU time of the server's process, so
that what else the machine does is not in it. Where waiting is what is measured, it is by the wall clock: the
cancels, emit -> client, the stop, and asks from another thread. What failed says why in its row.

There are two floors, dicts of raw asyncio tasks without any of the guarantees. *Overwrites* cancels the old
task without awaiting it and starts the successor at once, beside a predecessor that is still ending;
*awaits* does `task.cancel(); await task`, as whatever runs one turn at a time must, and is the one that
supersedes and cancels are held against.

## The aims

Each stands again, with what surrounds it, in its section below.

{aims}

## What users feel

{size} sessions, each with one reader over a socket of its own, stream 30 tokens a second each, as
irregularly as a model does; the readers are in another process. Beside turnkeeper, in turns: a queue per
reader, from which its handler writes, and the library aiohttp-sse with one `send` for each event. A token
carries the moment it was emitted, and its reader compares that with the moment it arrives. Then events to
very many readers of one session, beside bare writes.

{felt}

## As sessions grow in number

One registry from its first send to its stop. A *pass* is one callback of the loop, in CPU time of the
loop's thread: for so long nothing else gets the loop. Python's garbage collector is set as in `turnkeeper
serve`, and what it does within a pass counts; its look at all objects, which `turnkeeper serve` puts off
until no turn is in flight or there may be as much garbage as there is else, has a row of its own.

{growth}

## Compared with the alternatives

```{{image}} benchmarks.svg
:alt: Each alternative as a ratio to the floor that awaits, for turns, supersedes, cancels and bytes
:width: 100%
```

Each cell is the figure and, in brackets, its ratio to that of the floor that awaits.

{ways}

The *dict of tasks* is what many chat servers have: it cancels the old task, awaits it, and forgets a task
when that is done. *aiojobs* is one scheduler without a limit, a job per turn and a dict of the jobs by
session; the old job is closed before the next one is spawned. The last column is tested in the same run,
with a turn that takes 20 ms to end and one that ignores cancellation. turnkeeper fences the latter off
after `cancel_grace` and goes on without it; that coroutine runs until it returns, because nothing in Python
can end it. Cancels are timed from the call to the end of the coroutine, among very many busy sessions. The
alternatives do not number, publish or remember turns.

## On uvloop

The same work, alternately on both event loops; here the floor is turnkeeper on asyncio's own loop.

{loops}

## With a journal

Beside a registry in memory, in turns: one whose journal is a file. Turns and events in a second are by the
wall clock, because the disk is waited for; a durable turn is acknowledged when its start is on the disk, and
has ended when its end is. *`sqlite3` alone* writes the same rows, in groups of as many appends. Tokens are
streamed as above. The file of 100,000 sessions of ten turns each is opened by a process of its own.

{journal}

## Compared with the floors

A server that mounts turnkeeper has Python's garbage collector as Python sets it;
[mounting](../howto/mount.md) says how to calm it as `turnkeeper serve` does, and the row of turns without
that says what it brings.

{floors}

## Instructions

Instructions in user space that one operation takes, under Valgrind's callgrind: a turn that does nothing
(also one whose session keeps 1,000 messages), a turn that adds two messages to 1,000, a supersede, a
cancel, an event to one reader, a send and a cancel over HTTP. Each stands beside a floor from the same run:
a raw task, which is awaited even when it is cancelled; a turn of a session that keeps none, or ten
messages; a raw `asyncio.Queue`; a bare aiohttp POST. From one run to the next such a ratio moves by less
than one per cent, even on a busy machine; from one Python to the next it moves by more. `make
bench-instructions` counts just these, and `.ci/run` holds the ratios to
`tests/benchmarks/instructions/budget.toml`, which has a budget for each Python, with 5 % of slack.

{instructions}
"""

#: The file beside the page that holds what it shows.
RESULTS = "benchmarks.json"

#: What a full run and a smaller one say of themselves.
FULL = "Written by one run of `make bench`:"
SMALLER = "**Written by a run at {scale:g} of the full size, to try the benchmarks: quote nothing from it.**"

#: Which benchmarks' rows stand in which section.
SECTIONS: Mapping[str, Sequence[str]] = {
    "felt": ("tokens", "readers", "streams"),
    "growth": ("growth",),
    "loops": ("loops",),
    "journal": ("journal_turns", "journal_sends", "journal_tokens", "journal_events", "journal_file"),
    "floors": ("turns", "supersedes", "cancels", "memory", "asks", "threads", "posts"),
    "instructions": ("instructions",),
}
#: The one whose rows are cells of a table of ways.
BESIDE = "beside"


def of_aim(aim: Aim, results: Results) -> Row:
    """The row that is held against an aim; if its benchmark failed, that."""
    for row in results.rows:
        if row.aim == aim:
            return row
    return Failure(aim.work, results.found[aim.benchmark].why, aim)


def _aims(results: Results) -> str:
    head = ["| aim | bound | measured | floor | ratio | met |", "|---|---|--:|--:|--:|---|"]
    rows = [(aim, of_aim(aim, results)) for aim in AIMS]
    cells = [[aim.work, str(aim), *table.measured(row), table.yes_or_no(row)] for aim, row in rows]
    return "\n".join(head + table.lines(cells))


def _ways(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(row.what for row in rows))
    cells = {(row.way, row.what): row for row in rows}
    head = [
        "| way | " + " | ".join(columns) + " | what it allows |",
        "|---|" + "--:|" * len(columns) + "---|",
    ]
    lines: list[list[str]] = []
    for way, note in dict.fromkeys((row.way, row.note) for row in rows):
        found = [table.measured(cells[way, column]) for column in columns]
        texts = [text if ratio == "-" else f"{text} ({ratio})" for text, _, ratio in found]
        lines.append([way, *texts, note])
    return "\n".join(head + table.lines(lines))


def text(results: Results) -> str:
    """The page."""
    conditions = results.conditions
    sections = {
        section: table.markdown([row for name in names for row in results.rows_of(name)])
        for section, names in SECTIONS.items()
    }
    beside = results.found[BESIDE]
    return HEAD.format(
        run=FULL if conditions.full else SMALLER.format(scale=conditions.scale),
        conditions=conditions,
        aims=_aims(results),
        size=round(300 * conditions.scale),
        ways=f"The benchmark failed: {beside.why}." if beside.why else _ways(beside.rows),
        **sections,
    )


def write(results: Results, folder: Path) -> None:
    """Write the page, its plot, and the results that they show."""
    from tests.benchmarks.plot import plot  # what it draws with comes with the extra `bench`

    results.write(folder / RESULTS)
    (folder / "benchmarks.md").write_text(text(results))
    plot(results.found[BESIDE].rows, folder / "benchmarks.svg")
