"""How long it takes from a cancel to the end of the coroutine, among few and among many busy sessions.

By the wall clock, since it is a wait that is measured; medians of very many are not moved by what else runs.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

from tests.benchmarks import aims
from tests.benchmarks.agents import stamps, waits_and_stamps
from tests.benchmarks.crowd import crowd
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import percentile

CANCELS_PER_ROUND = 100
OVERWRITES, AWAITS, OURS = "overwrites", "awaits", "turnkeeper"


async def latency(cancel: Callable[[], Awaitable[object]]) -> float:
    """Microseconds to the end of the coroutine, as it stamps that itself."""
    ended = len(stamps)
    began = time.perf_counter_ns()
    await cancel()
    while len(stamps) == ended:  # it was not awaited
        await asyncio.sleep(0)
    return (stamps[-1] - began) / 1_000


async def _among(count: int, rounds: int) -> dict[str, list[float]]:
    """Cancel one session after the other, all ways in turns, and start each anew."""
    taken: dict[str, list[float]] = {OVERWRITES: [], AWAITS: [], OURS: []}
    async with crowd(waits_and_stamps, count) as (sessions, overwrites, awaits, registry):
        victims = itertools.cycle(sessions[:: max(1, count // 1_000)])
        for _ in range(rounds):
            chosen = list(itertools.islice(victims, CANCELS_PER_ROUND))
            for name, table in ((OVERWRITES, overwrites), (AWAITS, awaits)):
                for session in chosen:
                    taken[name].append(await latency(lambda: table.cancel(session)))  # noqa: B023
                    table.start(session, "hello")
            for session in chosen:
                taken[OURS].append(await latency(lambda: registry.cancel(session)))  # noqa: B023
                await registry.send(session, "hello")
    stamps.clear()
    return taken


async def cancels(size: Size) -> list[Figure]:
    """Microseconds from ``cancel`` to the end of the coroutine."""
    figures: list[Figure] = []
    few, many = size.of(1_000), size.of(100_000)
    medians: dict[int, dict[str, float]] = {}
    for count in (few, many):
        taken = await _among(count, 4 * size.rounds)
        medians[count] = {way: percentile(values, 0.5) for way, values in taken.items()}
        for floor in (AWAITS, OVERWRITES):
            for part, name in ((0.5, "p50"), (0.99, "p99")):
                low, high = percentile(taken[floor], part), percentile(taken[OURS], part)
                held = part == 0.5 and count == many and floor == AWAITS
                what = f"cancel -> coroutine finished, {name}, {count:,} busy, beside the floor that {floor}"
                figures.append(Figure(what, "us", high, low, high / low, aims.CANCEL if held else None))
    grown = {way: medians[many][way] / medians[few][way] for way in (AWAITS, OURS)}
    ratio = grown[OURS] / grown[AWAITS]
    what = f"cancel p50, {many:,} busy / {few:,} busy"
    figures.append(Figure(what, "x", grown[OURS], grown[AWAITS], ratio, aims.CANCEL_GROWTH))
    return figures
