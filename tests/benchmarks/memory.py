"""What a session weighs, as tracemalloc counts it: every byte Python allocates, and nothing else."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable

from tests.benchmarks import aims
from tests.benchmarks.agents import trivial, waits
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.floor import Overwrites
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings

EXTRA = 1_000  # sessions that pay for what is made once, and for the first growth of every table


async def weigh(count: int, make: Callable[[str], Awaitable[object]]) -> float:
    """Bytes per session that is made."""
    for n in range(EXTRA if count >= EXTRA else 1):
        await make(f"before-{n}")
    await asyncio.sleep(0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(count):
            await make(f"session-{n}")
        await asyncio.sleep(0)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


async def memory(size: Size) -> list[Figure]:
    """Bytes per session that has had one trivial turn, and per session with a turn in flight."""
    count = size.of(10_000)
    # On the floor an idle session is a key and the last result.
    results: dict[str, object] = {}

    async def run_on_the_floor(session: str) -> None:
        results[session] = await Overwrites(trivial).run(session, "hello")

    idle_floor = await weigh(count, run_on_the_floor)
    table = Overwrites(waits)

    async def start_on_the_floor(session: str) -> None:
        table.start(session, "hello")

    busy_floor = await weigh(count, start_on_the_floor)
    await table.close()

    settings = Settings(record=False, max_in_flight_in_all=EXTRA + count)
    async with SessionRegistry({"trivial": trivial, "waits": waits}, settings=settings) as registry:

        async def run(session: str) -> None:
            await (await registry.send(session, "hello")).result()

        async def start(session: str) -> None:
            await registry.send(f"busy-{session}", "hello", agent="waits")

        idle = await weigh(count, run)
        busy = await weigh(count, start)
    return [
        Figure(
            "bytes per idle session, after one turn",
            "bytes",
            idle,
            idle_floor,
            idle / idle_floor,
            aims.IDLE_BYTES,
        ),
        Figure(
            "bytes per session with a turn in flight",
            "bytes",
            busy,
            busy_floor,
            busy / busy_floor,
            aims.BUSY_BYTES,
        ),
    ]
