"""How long it takes from a cancel to the end of the coroutine, among few and among many busy sessions."""

import itertools
import time
from collections.abc import Awaitable, Callable

from tests.benchmarks.agents import stamps, waits_and_stamps
from tests.benchmarks.crowd import crowd
from tests.benchmarks.figures import Aim, Figure, Size, ratio_at_most
from tests.benchmarks.rounds import percentile

CANCELS_PER_ROUND = 100


async def latency(cancel: Callable[[], Awaitable[object]]) -> float:
    """Microseconds to the end of the coroutine, as it stamps that itself."""
    began = time.perf_counter_ns()
    await cancel()
    return (stamps[-1] - began) / 1_000


async def _among(count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Cancel one session after the other, floor and measured in turns, and start each anew."""
    floor: list[float] = []
    measured: list[float] = []
    async with crowd(waits_and_stamps, count) as (sessions, table, registry):
        victims = itertools.cycle(sessions[:: max(1, count // 1_000)])
        for _ in range(rounds):
            chosen = list(itertools.islice(victims, CANCELS_PER_ROUND))
            for session in chosen:
                floor.append(await latency(lambda: table.cancel(session)))  # noqa: B023
                table.start(session, "hello")
            for session in chosen:
                measured.append(await latency(lambda: registry.cancel(session)))  # noqa: B023
                await registry.send(session, "hello")
    stamps.clear()
    return floor, measured


async def cancels(size: Size) -> list[Figure]:
    """Microseconds from ``cancel`` to the end of the coroutine."""
    figures: list[Figure] = []
    rounds = 3 * size.rounds
    few, many = size.of(1_000), size.of(100_000)
    growth: list[tuple[float, float]] = []
    for count in (few, many):
        floor, measured = await _among(count, rounds)
        at_50 = percentile(floor, 0.5), percentile(measured, 0.5)
        growth.append(at_50)
        for part, name in ((0.5, "p50"), (0.99, "p99")):
            low, high = percentile(floor, part), percentile(measured, part)
            aim = ratio_at_most(2.0) if part == 0.5 and count == many else None
            what = f"cancel -> coroutine finished, {name}, {count:,} busy"
            figures.append(Figure(what, "us", high, low, high / low, aim))
    (few_floor, few_measured), (many_floor, many_measured) = growth
    grown, floor_grown = many_measured / few_measured, many_floor / few_floor
    figures.append(
        Figure(
            f"cancel p50, {many:,} busy / {few:,} busy",
            "x",
            grown,
            floor_grown,
            grown / floor_grown,
            Aim("as the floor's (within 25 %)", lambda figure: (figure.ratio or 9.0) <= 1.25),
        )
    )
    return figures
