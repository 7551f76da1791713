"""Durable turns: many callers at once, and one alone.

By the wall clock, because a caller waits for the disk too; what the two threads take of a processor has a row
of its own. The conversation is recorded, as it is by default.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.journal.raw import Raw
from tests.benchmarks.journal.ways import a_file, both
from tests.benchmarks.rounds import Batch, alternately, percentile
from tests.benchmarks.turns import callers
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

CALLERS = 1_000
#: How many sends one after the other make a round of those that nothing else disturbs.
SENDS = 100


async def _agent(_turn: Turn) -> str:
    return "hello to you"


def _whole(registry: SessionRegistry) -> Callable[[str], Awaitable[object]]:
    async def run(session: str) -> None:
        await (await registry.send(session, "hello")).ended()

    return run


def _per_second(batch: Batch, size: Size) -> Callable[[], Awaitable[tuple[float, float]]]:
    """A round: how much is done in a second, and in a second of CPU, of as many batches as fill its time."""

    async def measure() -> tuple[float, float]:
        done, began, cpu = 0, time.perf_counter(), time.process_time()
        while True:
            done += await batch()
            took = time.perf_counter() - began
            if took >= size.seconds:
                return done / took, done / (time.process_time() - cpu)

    return measure


async def journal_turns(size: Size) -> list[Figure]:
    """Trivial turns in a second, each acknowledged and ended when that is durable."""
    sessions = [f"session-{n}" for n in range(size.of(CALLERS))]
    async with a_file() as path:
        async with both(_agent, path) as (memory, sqlite):
            rounds = {
                "memory": _per_second(callers(_whole(memory), sessions, len(sessions)), size),
                "sqlite": _per_second(callers(_whole(sqlite), sessions, len(sessions)), size),
            }
            found = await alternately(rounds, size.rounds)
        raw = await asyncio.to_thread(Raw.of, path, size.of(10_000))
    async with a_file() as path:
        names = [path.with_name(f"{n}.db") for n in range(size.rounds)]
        alone = [await asyncio.to_thread(raw.write, name, len(sessions)) for name in names]
    plain = median(alone)
    what = f"durable turns ({len(sessions):,} callers)"
    wall, cpu = (
        (median([each[n] for each in found["sqlite"]]), median([each[n] for each in found["memory"]]))
        for n in (0, 1)
    )
    ratios = [
        median([a[n] / b[n] for a, b in zip(found["sqlite"], found["memory"], strict=True)]) for n in (0, 1)
    ]
    return [
        Figure(f"{what}, beside turns in memory", "turns/s", *wall, ratios[0], aims.DURABLE_TURNS),
        Figure(f"{what}, beside turns in memory, in CPU time", "turns/s", *cpu, ratios[1]),
        Figure(f"{what}, beside `sqlite3` alone", "turns/s", wall[0], plain, wall[0] / plain),
    ]


async def journal_sends(size: Size) -> list[Figure]:
    """How long a send takes to its acknowledgement when there is nothing else to do."""

    def one_by_one(registry: SessionRegistry) -> Callable[[], Awaitable[float]]:
        async def measure() -> float:
            took: list[float] = []
            for n in range(size.of(SENDS)):
                began = time.perf_counter()
                receipt = await registry.send(f"session-{n}", "hello")
                took.append((time.perf_counter() - began) * 1e3)
                await receipt.ended()
            return percentile(took, 0.5)

        return measure

    async with a_file() as path, both(_agent, path) as (memory, sqlite):
        rounds = {"memory": one_by_one(memory), "sqlite": one_by_one(sqlite)}
        found = await alternately(rounds, size.rounds)
    low, high = median(found["memory"]), median(found["sqlite"])
    more = median([a - b for a, b in zip(found["sqlite"], found["memory"], strict=True)])
    what = "a durable send with nothing else to do, p50"
    return [
        Figure(f"{what}, beside one in memory", "ms", high, low, high / low),
        Figure(f"{what}: how much longer than in memory", "ms", more, aim=aims.DURABLE_SEND),
    ]
