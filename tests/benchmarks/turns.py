"""Turns that do nothing: what is left is what a turn costs."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.benchmarks.agents import trivial, waits
from tests.benchmarks.collector import uncalmed
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.floor import Awaits, Overwrites
from tests.benchmarks.rounds import Batch, Compared, compare, per_cpu_second
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings


def callers(run: Callable[[str], Awaitable[object]], sessions: list[str], count: int) -> Batch:
    """A batch in which ``count`` callers at a time do it, each to one of its sessions after the other."""

    async def caller(mine: list[str]) -> None:
        for session in mine:
            await run(session)

    async def batch() -> int:
        await asyncio.gather(*(caller(sessions[n::count]) for n in range(count)))
        return len(sessions)

    return batch


async def _turns(sessions: list[str], count: int, size: Size) -> Compared:
    table = Overwrites(trivial)
    async with SessionRegistry(trivial, settings=Settings(record=False)) as registry:

        async def on_the_floor(session: str) -> None:
            await table.run(session, "hello")

        async def measured(session: str) -> None:
            receipt = await registry.send(session, "hello")
            await receipt.result()

        return await compare(
            per_cpu_second(callers(on_the_floor, sessions, count), size),
            per_cpu_second(callers(measured, sessions, count), size),
            size.rounds,
        )


async def turns(size: Size) -> list[Figure]:
    """Trivial turns in a second of CPU, from the send to the result, with either collector."""
    sessions = [f"session-{n}" for n in range(size.of(10_000))]
    count = size.of(1_000)
    calmed = await _turns(sessions, count, size)
    with uncalmed():
        as_is = await _turns(sessions, count, size)
    what = f"trivial turns ({len(sessions):,} sessions, {count:,} callers)"
    return [
        Figure(what, "turns/s", calmed.measured, calmed.floor, calmed.ratio),
        Figure(f"{what}, collector not calmed", "turns/s", as_is.measured, as_is.floor, as_is.ratio),
    ]


async def supersedes(size: Size) -> list[Figure]:
    """Sends onto busy sessions: the turn in flight is cancelled, settles, and the next one starts."""
    sessions = [f"session-{n}" for n in range(size.of(1_000))]
    figures: list[Figure] = []
    async with SessionRegistry(waits, settings=Settings(record=False)) as registry:

        async def measured(session: str) -> None:
            await registry.send(session, "hello")

        for session in sessions:
            await measured(session)
        ours = per_cpu_second(callers(measured, sessions, len(sessions)), size)
        for name, make in (("awaits", Awaits), ("overwrites", Overwrites)):
            table = make(waits)
            for session in sessions:
                table.start(session, "hello")

            async def on_the_floor(session: str) -> None:
                await table.supersede(session, "hello")  # noqa: B023

            floor = per_cpu_second(callers(on_the_floor, sessions, len(sessions)), size)
            found = await compare(floor, ours, size.rounds)
            what = f"supersedes ({len(sessions):,} sessions), beside the floor that {name}"
            figures.append(Figure(what, "supersedes/s", found.measured, found.floor, found.ratio))
            await table.close()
    return figures
