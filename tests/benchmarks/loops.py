"""The same turns and cancels on asyncio's own loop (the floor here) and on uvloop, in turns."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from statistics import median
from typing import Any

from tests.benchmarks.agents import stamps, trivial, waits_and_stamps
from tests.benchmarks.cancels import CANCELS_PER_ROUND, latency
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import per_cpu_second, percentile
from tests.benchmarks.turns import callers
from tests.benchmarks.ways import turnkeeper

Work = Callable[[Size], Coroutine[Any, Any, list[float]]]


async def _turns(size: Size) -> list[float]:
    table = await turnkeeper(trivial)

    async def run(session: str) -> None:
        await table.run(session, "hello")

    work = [f"session-{n}" for n in range(size.of(10_000))]
    measured = per_cpu_second(callers(run, work, size.of(1_000)), size)
    await measured()
    found = [await measured()]
    await table.close()
    return found


async def _cancels(size: Size) -> list[float]:
    table = await turnkeeper(waits_and_stamps)
    sessions = [f"session-{n}" for n in range(size.of(1_000))]
    found: list[float] = []
    for session in sessions:
        await table.start(session, "hello")
    for session in itertools.islice(itertools.cycle(sessions), 3 * CANCELS_PER_ROUND):
        found.append(await latency(lambda: table.cancel(session)))  # noqa: B023
        await table.start(session, "hello")
    for session in sessions:
        await table.cancel(session)
    await table.close()
    stamps.clear()
    return found


def _in_turns(size: Size) -> list[Figure]:
    import uvloop  # an extra, which the tests and the benchmarks install

    figures: list[Figure] = []
    with ExitStack() as stack:
        plain = stack.enter_context(asyncio.Runner())
        other = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))

        def rounds(work: Work) -> tuple[list[float], list[float]]:
            of_plain: list[float] = []
            of_other: list[float] = []
            for _ in range(size.rounds):
                of_plain += plain.run(work(size))
                of_other += other.run(work(size))
            return of_plain, of_other

        low, high = (median(each) for each in rounds(_turns))
        figures.append(Figure("trivial turns on uvloop / asyncio", "turns/s", high, low, high / low))
        both = rounds(_cancels)
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            low, high = (percentile(each, part) for each in both)
            figures.append(Figure(f"cancel {name} on uvloop / asyncio", "us", high, low, high / low))
    return figures


async def loops(size: Size) -> list[Figure]:
    """Both loops run in another thread, as this one is taken by the loop that asks."""
    return await asyncio.to_thread(_in_turns, size)
