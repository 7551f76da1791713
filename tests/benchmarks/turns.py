"""Turns that do nothing: what is left is what a turn costs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.benchmarks.agents import trivial
from tests.benchmarks.figures import Figure, Size, ratio_at_least
from tests.benchmarks.floor import TaskTable
from tests.benchmarks.rounds import Round, compare
from turnkeeper.actors.registry.front import SessionRegistry

TURNS_PER_SESSION = 2


def callers(run: Callable[[str], Awaitable[None]], sessions: list[str], count: int) -> Round:
    """A round in which ``count`` callers at a time run turns, one after the other, in their sessions."""

    async def caller(mine: list[str]) -> None:
        for session in mine:
            await run(session)

    async def measure() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(caller(sessions[n::count]) for n in range(count)))
        return len(sessions) / (time.perf_counter() - began)

    return measure


async def turns(size: Size) -> list[Figure]:
    """Trivial turns per second, from the send to the result."""
    sessions = [f"session-{n}" for n in range(size.of(10_000))]
    count = size.of(1_000)
    table = TaskTable(trivial)
    async with SessionRegistry(trivial) as registry:

        async def on_the_floor(session: str) -> None:
            await table.run(session, "hello")

        async def measured(session: str) -> None:
            receipt = await registry.send(session, "hello")
            await receipt.result()

        work = sessions * TURNS_PER_SESSION
        found = await compare(callers(on_the_floor, work, count), callers(measured, work, count), size.rounds)
    return [
        Figure(
            f"trivial turns ({len(sessions):,} sessions, {count:,} callers)",
            "turns/s",
            found.measured,
            found.floor,
            found.ratio,
            ratio_at_least(0.35),
        )
    ]


async def supersedes(size: Size) -> list[Figure]:
    """Sends onto busy sessions per second: the one in flight is cancelled, settles, the next one starts."""
    from tests.benchmarks.agents import waits

    sessions = [f"session-{n}" for n in range(size.of(1_000))]
    table = TaskTable(waits)
    async with SessionRegistry(waits) as registry:
        for session in sessions:
            table.start(session, "hello")
            await registry.send(session, "hello")

        async def on_the_floor(session: str) -> None:
            await table.supersede(session, "hello")

        async def measured(session: str) -> None:
            await registry.send(session, "hello")

        work = sessions * 10
        count = len(sessions)
        found = await compare(callers(on_the_floor, work, count), callers(measured, work, count), size.rounds)
        await table.close()
    return [
        Figure(
            f"supersedes ({len(sessions):,} sessions)",
            "supersedes/s",
            found.measured,
            found.floor,
            found.ratio,
            ratio_at_least(0.6),
        )
    ]
