"""Very many readers of one session: what one event to all of them takes, and what one weighs that waits."""

import asyncio
import gc
import itertools
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median
from typing import NamedTuple, TypeAlias

from aiohttp import web

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import compare
from tests.benchmarks.server import client, said, served
from tests.benchmarks.streams import WORD, Bare
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import REGISTRY, create_app

#: How many events are counted in a round.
EVENTS = 10
#: Passes of the loop after which an event is out at the latest, for so many readers.
PASSES, READERS_A_PASS = 20, 100


class Crowd(NamedTuple):
    """So many readers of one session, and what publishes an event to them."""

    count: int
    emit: Callable[[], object]

    async def publish(self) -> float:
        """Publish one event: the microseconds of CPU until it has been written to all."""
        began = time.process_time()
        self.emit()
        for _ in range(PASSES + self.count // READERS_A_PASS):
            await asyncio.sleep(0)
        return (time.process_time() - began) * 1e6


#: Lets in so many readers, which stay for so many events.
Open: TypeAlias = Callable[[int, int], AbstractAsyncContextManager[Crowd]]


def _bare(port: int, bare: Bare) -> Open:
    @asynccontextmanager
    async def opened(count: int, events: int) -> AsyncIterator[Crowd]:
        tasks: list[asyncio.Task[None]] = []
        async with client("read", port, count, events, "/events") as out:
            assert await said(out) == b"open\n"
            yield Crowd(count, lambda: tasks.append(asyncio.create_task(bare.publish(1, 1))))
            assert await said(out) == b"done\n"
            bare.close()
        await asyncio.gather(*tasks)

    return opened


def _ours(port: int, app: web.Application, turns: dict[str, Turn]) -> Open:
    names = (f"session-{n}" for n in itertools.count())

    @asynccontextmanager
    async def opened(count: int, events: int) -> AsyncIterator[Crowd]:
        session = next(names)
        registry = app[REGISTRY]
        await registry.send(session, "hello")
        await asyncio.sleep(0)
        async with client("read", port, count, events, f"/chat/{session}/events") as out:
            assert await said(out) == b"open\n"
            yield Crowd(count, lambda: turns[session].emit("word", WORD))
            assert await said(out) == b"done\n"
            await registry.close(session)

    return opened


async def _event(opened: Open, count: int) -> float:
    async with opened(count, EVENTS + 1) as crowd:
        await crowd.publish()  # not counted: the streams come to rest
        return median([await crowd.publish() for _ in range(EVENTS)])


async def _bytes(opened: Open, count: int) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        async with opened(count, 1) as crowd:
            for _ in range(PASSES):
                await asyncio.sleep(0)
            gc.collect()
            weight = (tracemalloc.get_traced_memory()[0] - before) / count
            await crowd.publish()
        return weight
    finally:
        tracemalloc.stop()


async def readers(size: Size) -> list[Figure]:
    """CPU of one event to all readers, and bytes for each that waits; the floor is a bare write each."""
    many, few = size.of(10_000), size.of(1_000)
    turns: dict[str, Turn] = {}

    async def agent(turn: Turn) -> None:
        turns[turn.session_id] = turn
        await asyncio.get_running_loop().create_future()

    bare, app = Bare(), create_app(agent, pages=False, docs=False)
    async with served(bare.app) as floor_port, served(app) as port:
        floor, ours = _bare(floor_port, bare), _ours(port, app, turns)
        event = await compare(lambda: _event(floor, many), lambda: _event(ours, many), min(3, size.rounds))
        weight = await compare(lambda: _bytes(floor, few), lambda: _bytes(ours, few), min(3, size.rounds))
    return [
        Figure(
            f"CPU of one event to {many:,} readers, beside bare writes",
            "us",
            event.measured,
            event.floor,
            event.ratio,
            aims.FAN_OUT,
        ),
        Figure(
            "bytes per idle stream, beside a bare one",
            "bytes",
            weight.measured,
            weight.floor,
            weight.ratio,
            aims.STREAM_BYTES,
        ),
    ]
