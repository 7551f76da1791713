"""Every way beside every other one, in the same run: turns, supersedes, cancels and bytes."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from tests.benchmarks.agents import stamps, trivial, waits, waits_and_stamps
from tests.benchmarks.cancels import CANCELS_PER_ROUND, latency
from tests.benchmarks.crowd import quiet
from tests.benchmarks.faults import faults
from tests.benchmarks.figures import Failure, Figure, Row, Size, noted, reason
from tests.benchmarks.memory import weigh
from tests.benchmarks.rounds import PATIENCE, Round, in_turns, per_cpu_second, percentile
from tests.benchmarks.turns import callers
from tests.benchmarks.ways import FLOOR, WAYS, Make, Send, Table

#: Why each way failed that did.
Failed: TypeAlias = dict[str, str]


async def _tried(way: str, failed: Failed, work: Callable[[], Awaitable[object]]) -> None:
    """Do it, unless that way has failed before; what goes wrong now is why it has failed."""
    if way in failed:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await work()
    except Exception as error:  # noqa: BLE001
        failed[way] = reason(error)


@asynccontextmanager
async def _open(ways: Mapping[str, Make], agent: object, failed: Failed) -> AsyncIterator[dict[str, Table]]:
    """A table of each way that can be opened."""
    tables: dict[str, Table] = {}

    async def make(way: str) -> None:
        tables[way] = await ways[way](agent)

    with quiet():
        for way in ways:
            await _tried(way, failed, lambda: make(way))  # noqa: B023
        try:
            yield tables
        finally:
            for table in tables.values():
                with suppress(Exception):  # it has had its say before
                    async with asyncio.timeout(PATIENCE):
                        await table.close()


async def _start_all(tables: dict[str, Table], sessions: list[str], failed: Failed) -> None:
    async def start(table: Table) -> None:
        for session in sessions:
            await table.start(session, "hello")

    for way, table in tables.items():
        await _tried(way, failed, lambda: start(table))  # noqa: B023
    await asyncio.sleep(0)


def _calling(send: Send, work: list[str], count: int, size: Size) -> Round:
    return per_cpu_second(callers(lambda session: send(session, "hello"), work, count), size)


def _rows(
    what: str, unit: str, values: dict[str, float], ratios: dict[str, float], failed: Failed
) -> list[Row]:
    """A row for each way. Raises `RuntimeError` if the floor has none, with which the others are compared."""
    if FLOOR in failed:
        raise RuntimeError(f"{what}, {FLOOR}: {failed[FLOOR]}")
    floor = values[FLOOR]
    return [
        Failure(what, failed[way], way=way)
        if way in failed
        else Figure(what, unit, values[way], floor, ratios[way], way=way)
        for way in WAYS
    ]


def _rows_of_values(what: str, unit: str, values: dict[str, float], failed: Failed) -> list[Row]:
    ratios = {way: value / values[FLOOR] for way, value in values.items() if FLOOR in values}
    return _rows(what, unit, values, ratios, failed)


async def _turns(size: Size) -> list[Row]:
    work = [f"session-{n}" for n in range(size.of(10_000))]
    failed: Failed = {}
    async with _open(WAYS, trivial, failed) as tables:
        measured = {way: _calling(table.run, work, size.of(1_000), size) for way, table in tables.items()}
        values, ratios = await in_turns(measured, size.rounds, failed)
    return _rows("trivial turns", "turns/s", values, ratios, failed)


async def _supersedes(size: Size) -> list[Row]:
    sessions = [f"session-{n}" for n in range(size.of(1_000))]
    failed: Failed = {}
    async with _open(WAYS, waits, failed) as tables:
        await _start_all(tables, sessions, failed)
        measured = {
            way: _calling(table.supersede, sessions, len(sessions), size) for way, table in tables.items()
        }
        values, ratios = await in_turns(measured, size.rounds, failed)
    return _rows("supersedes", "supersedes/s", values, ratios, failed)


async def _cancels(size: Size) -> list[Row]:
    count = size.of(10_000)
    sessions = [f"session-{n}" for n in range(count)]
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    failed: Failed = {}
    async with _open(WAYS, waits_and_stamps, failed) as tables:
        await _start_all(tables, sessions, failed)
        gc.collect()
        gc.freeze()
        victims = itertools.cycle(sessions[:: max(1, count // 1_000)])

        async def cancel(way: str, chosen: list[str]) -> None:
            for session in chosen:
                taken[way].append(await latency(lambda: tables[way].cancel(session)))  # noqa: B023
                await tables[way].start(session, "hello")
                await asyncio.sleep(0)

        for _ in range(4 * size.rounds):
            chosen = list(itertools.islice(victims, CANCELS_PER_ROUND))
            for way in tables:
                await _tried(way, failed, lambda: cancel(way, chosen))  # noqa: B023
    gc.unfreeze()
    stamps.clear()
    rows: list[Row] = []
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        values = {way: percentile(each, part) for way, each in taken.items() if way not in failed}
        rows += _rows_of_values(f"cancel {name}", "us", values, failed)
    return rows


async def _bytes(size: Size) -> list[Row]:
    values: dict[str, float] = {}
    failed: Failed = {}
    for way, make in WAYS.items():
        async with _open({way: make}, waits, failed) as tables:

            async def weighed() -> None:
                start = tables[way].start  # noqa: B023
                values[way] = await weigh(size.of(10_000), lambda session: start(session, "hello"))  # noqa: B023

            await _tried(way, failed, weighed)
    return _rows_of_values("bytes with a turn in flight", "bytes", values, failed)


async def _seen(make: Make) -> str:
    """What a way was seen to let happen."""
    try:
        async with asyncio.timeout(PATIENCE):
            return "; ".join(await faults(make)) or "none of these"
    except Exception as error:  # noqa: BLE001
        return f"failed: {reason(error)}"


async def beside(size: Size) -> list[Row]:
    """All of them, each row with what its way was seen to let happen."""
    rows = [row for benchmark in (_turns, _supersedes, _cancels, _bytes) for row in await benchmark(size)]
    with quiet():
        seen = {way: await _seen(make) for way, make in WAYS.items()}
    return [noted(row, seen[row.way]) for row in rows]
