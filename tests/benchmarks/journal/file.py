"""A file in which there is very much: how it is opened, and how one of its sessions wakes."""

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.journal.ways import a_file
from tests.benchmarks.results import ROOT
from tests.benchmarks.rounds import alternately, percentile
from turnkeeper.actors.journal.sqlite.database import open_to_write
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

SESSIONS, TURNS = 100_000, 10
#: How many of the sessions are woken.
WOKEN = 500

#: The number of a row in each table, and the columns that have the number of a row in another one.
NUMBERS = {"session": "number", "entry": "id", "event": "id", "turn": "number", "said": "id"}
REFERENCES = {"session": "session", "turn": "turn", "entry": "entry"}


async def _agent(_turn: Turn) -> str:
    return "hello to you"


async def fill(path: Path, sessions: int, turns: int) -> None:
    """Make a file of so many sessions: one that was had, and copies of all its rows."""
    async with SessionRegistry(_agent, journal=path) as registry:
        for _ in range(turns):
            await (await registry.send("session-0", "hello")).ended()
    await asyncio.to_thread(_copy_it, path, sessions - 1)


def _copy_it(path: Path, copies: int) -> None:
    connection = open_to_write(path)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TEMP TABLE copy AS WITH RECURSIVE copy (n) AS "
            "(SELECT 1 UNION ALL SELECT n + 1 FROM copy LIMIT ?) SELECT n FROM copy",
            (copies,),
        )
        for table in NUMBERS:
            connection.execute(f"CREATE TEMP TABLE one_{table} AS SELECT * FROM {table}")
        for table in NUMBERS:
            connection.execute(_copy(connection, table))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _copy(connection: sqlite3.Connection, table: str) -> str:
    """What copies a table's rows, with numbers of their own."""
    columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")]
    shown: list[str] = []
    for column in columns:
        of = table if column == NUMBERS[table] else REFERENCES.get(column)
        if (table, column) == ("session", "id"):
            shown.append("'session-' || n.n")
        elif of is None:
            shown.append(f"one.{column}")
        else:
            (rows,) = connection.execute(f"SELECT count(*) FROM one_{of}").fetchone()
            shown.append(f"one.{column} + n.n * {rows}")
    return f"INSERT INTO {table} SELECT {', '.join(shown)} FROM copy AS n CROSS JOIN one_{table} AS one"


class Opened(NamedTuple):
    """What it takes to open a file: milliseconds, and the bytes of the process at its largest."""

    ms: float
    bytes: float


async def _opened(path: Path) -> Opened:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.journal.opened",
        str(path),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"a process that opens a file ended with status {process.returncode}")
    return Opened(*json.loads(out))


async def _woken(path: Path, sessions: int) -> tuple[float, float]:
    """How many milliseconds it takes to be told of a session that sleeps, and of the same one awake."""
    asleep: list[float] = []
    awake: list[float] = []
    chance = Random(sessions)
    async with SessionRegistry(_agent, journal=path) as registry:
        for n in chance.sample(range(sessions), min(WOKEN, sessions)):
            for took in (asleep, awake):
                began = time.perf_counter()
                view = await registry.session(f"session-{n}")
                took.append((time.perf_counter() - began) * 1e3)
                assert len(view.recent) == TURNS
    return percentile(asleep, 0.5), percentile(awake, 0.5)


async def journal_file(size: Size) -> list[Figure]:
    """Open a file of very many sessions, and wake some of them."""
    sessions = size.of(SESSIONS)
    async with a_file() as empty, a_file() as path:
        await fill(path, sessions, TURNS)
        found = await alternately(
            {"empty": lambda: _opened(empty), "full": lambda: _opened(path)}, size.rounds
        )
        asleep, awake = await _woken(path, sessions)
    (low, low_bytes), (high, high_bytes) = (
        [median([each[n] for each in found[which]]) for n in (0, 1)] for which in ("empty", "full")
    )
    what = f"a file of {sessions:,} sessions and {sessions * TURNS:,} turns"
    return [
        Figure(f"open {what}, beside an empty one", "ms", high, low, high / low, aims.OPEN),
        Figure(
            f"memory of the process that has opened {what}, beside an empty one",
            "MB",
            high_bytes / 1e6,
            low_bytes / 1e6,
            high_bytes / low_bytes,
            aims.OPEN_BYTES,
        ),
        Figure(
            f"wake a session of {TURNS} turns, p50, beside asking one that is awake",
            "ms",
            asleep,
            awake,
            asleep / awake,
            aims.WAKE,
        ),
    ]
