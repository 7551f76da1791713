"""Events that agents emit: as fast as models do and as fast as can be."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.journal.ways import a_file, both, bytes_of
from tests.benchmarks.rounds import alternately, compare
from tests.benchmarks.server import served
from tests.benchmarks.tokens import RATE, SESSIONS, Felt, ours, run
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

#: For how many seconds a round of tokens streams.
SECONDS = 2
#: How many sessions emit as fast as they can, how many events each, and how many at a time.
FLAT_OUT, EVENTS, BURST = 50, 1_000, 16
WORD = {"text": "word"}


async def journal_tokens(size: Size) -> list[Figure]:
    """CPU of a streamed token, and the bytes of it in the file."""
    sessions, tokens = size.of(SESSIONS), size.of(RATE * SECONDS)
    async with a_file() as path:
        memory, sqlite = ours(), ours(journal=path)
        async with served(memory.app) as memory_port, served(sqlite.app) as port:

            def streaming(measure: Callable[[int], Awaitable[Felt]]) -> Callable[[], Awaitable[float]]:
                async def streamed() -> float:
                    return (await measure(sessions)).cpu

                return streamed

            found = await compare(
                streaming(run(memory, memory_port, tokens)),
                streaming(run(sqlite, port, tokens)),
                size.rounds,
            )
        data = len(f'["word",{{"text":"word","at":{time.monotonic_ns()}}}]')
        stored = await bytes_of(path) / ((size.rounds + 1) * sessions * tokens)
    load = f"{sessions} sessions x {RATE}/s, one reader each"
    return [
        Figure(
            f"CPU of a durable token, {load}, beside one in memory",
            "us",
            found.measured,
            found.floor,
            found.ratio,
            aims.DURABLE_TOKENS,
        ),
        Figure(
            f"bytes of a token in the file, {load}, beside its name and data",
            "bytes",
            stored,
            data,
            stored / data,
        ),
    ]


async def _bursts(turn: Turn) -> None:
    for n in range(int(turn.text)):
        turn.emit("word", WORD)
        if n % BURST == 0:
            await asyncio.sleep(0)


async def journal_events(size: Size) -> list[Figure]:
    """Events in a second of the wall clock, from the first until the end of every turn is durable."""
    sessions, events = size.of(FLAT_OUT), size.of(EVENTS)

    def flat_out(registry: SessionRegistry) -> Callable[[], Awaitable[float]]:
        async def one(session: str) -> None:
            await (await registry.send(session, str(events))).ended()

        async def measure() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(one(f"session-{n}") for n in range(sessions)))
            return sessions * events / (time.perf_counter() - began)

        return measure

    async with a_file() as path, both(_bursts, path) as (memory, sqlite):
        rounds = {"memory": flat_out(memory), "sqlite": flat_out(sqlite)}
        found = await alternately(rounds, size.rounds)
    low, high = median(found["memory"]), median(found["sqlite"])
    ratio = median([a / b for a, b in zip(found["sqlite"], found["memory"], strict=True)])
    what = f"durable events from {sessions} sessions as fast as can be, beside events in memory"
    return [Figure(what, "events/s", high, low, ratio, aims.DURABLE_EVENTS)]
