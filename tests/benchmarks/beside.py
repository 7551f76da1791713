"""Every way beside every other one, in the same run: turns, supersedes, cancels and bytes."""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks.agents import stamps, trivial, waits, waits_and_stamps
from tests.benchmarks.cancels import CANCELS_PER_ROUND, latency
from tests.benchmarks.faults import faults
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.memory import weigh
from tests.benchmarks.rounds import Round, in_turns, percentile
from tests.benchmarks.turns import TURNS_PER_SESSION, callers
from tests.benchmarks.ways import Send, Table, Ways, ways


@asynccontextmanager
async def _open(found: Ways, agent: object) -> AsyncIterator[dict[str, Table]]:
    logging.getLogger("turnkeeper").setLevel(logging.CRITICAL)  # that turns are cut short is meant
    tables = {name: await make(agent) for name, make in found.items()}
    try:
        yield tables
    finally:
        for table in tables.values():
            await table.close()
        logging.getLogger("turnkeeper").setLevel(logging.NOTSET)


def _calling(send: Send, work: list[str], count: int) -> Round:
    async def one(session: str) -> None:
        await send(session, "hello")

    return callers(one, work, count)


def _figures(what: str, unit: str, values: dict[str, float], ratios: dict[str, float]) -> list[Figure]:
    floor = values["floor"]
    return [Figure(what, unit, value, floor, ratios[way], way=way) for way, value in values.items()]


def _of_values(what: str, unit: str, values: dict[str, float]) -> list[Figure]:
    return _figures(what, unit, values, {way: value / values["floor"] for way, value in values.items()})


async def _turns(found: Ways, size: Size) -> list[Figure]:
    work = [f"session-{n}" for n in range(size.of(10_000))] * TURNS_PER_SESSION
    count = size.of(1_000)
    async with _open(found, trivial) as tables:
        measured = {way: _calling(table.run, work, count) for way, table in tables.items()}
        return _figures("trivial turns", "turns/s", *await in_turns(measured, size.rounds))


async def _supersedes(found: Ways, size: Size) -> list[Figure]:
    sessions = [f"session-{n}" for n in range(size.of(1_000))]
    async with _open(found, waits) as tables:
        for table, session in itertools.product(tables.values(), sessions):
            await table.start(session, "hello")
        await asyncio.sleep(0)
        work = sessions * 10
        measured = {way: _calling(table.supersede, work, len(sessions)) for way, table in tables.items()}
        return _figures("supersedes", "supersedes/s", *await in_turns(measured, size.rounds))


async def _cancels(found: Ways, size: Size) -> list[Figure]:
    count = size.of(10_000)
    sessions = [f"session-{n}" for n in range(count)]
    taken: dict[str, list[float]] = {way: [] for way in found}
    async with _open(found, waits_and_stamps) as tables:
        for table, session in itertools.product(tables.values(), sessions):
            await table.start(session, "hello")
        await asyncio.sleep(0)
        gc.collect()
        gc.freeze()
        victims = itertools.cycle(sessions[:: max(1, count // 1_000)])
        for _ in range(3 * size.rounds):
            chosen = list(itertools.islice(victims, CANCELS_PER_ROUND))
            for (way, table), session in itertools.product(tables.items(), chosen):
                taken[way].append(await latency(lambda: table.cancel(session)))  # noqa: B023
                await table.start(session, "hello")
                await asyncio.sleep(0)
    gc.unfreeze()
    stamps.clear()
    figures: list[Figure] = []
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        values = {way: percentile(each, part) for way, each in taken.items()}
        figures += _of_values(f"cancel {name}", "us", values)
    return figures


async def _bytes(found: Ways, size: Size) -> list[Figure]:
    values: dict[str, float] = {}
    for way, make in found.items():
        async with _open({way: make}, waits) as tables:
            start = tables[way].start
            values[way] = await weigh(size.of(10_000), lambda session: start(session, "hello"))  # noqa: B023
    return _of_values("bytes with a turn in flight", "bytes", values)


async def beside(size: Size) -> list[Figure]:
    """All of them, each figure with what its way was seen to let happen."""
    found = ways()
    figures = [
        figure
        for benchmark in (_turns, _supersedes, _cancels, _bytes)
        for figure in await benchmark(found, size)
    ]
    logging.getLogger("turnkeeper").setLevel(logging.CRITICAL)
    seen = {way: "; ".join(await faults(make)) for way, make in found.items()}
    logging.getLogger("turnkeeper").setLevel(logging.NOTSET)
    return [figure.noted(seen[figure.way]) for figure in figures]
