"""Questions to actors: on the loop, and from another thread."""

import asyncio
import time
from collections import deque
from typing import Any

from tests.benchmarks.figures import Figure, Size, ratio_at_least
from tests.benchmarks.rounds import compare
from turnkeeper.actors.runtime import AsyncioActor, AsyncioFuture, AsyncioRef

OUTSTANDING = 100


class Echo(AsyncioActor):
    """Answers with what it was asked."""

    registered = False

    def on_receive(self, message: Any) -> Any:
        """Answer."""
        return message


async def asks(size: Size) -> list[Figure]:
    """Asks per second over many actors, one by one; the floor is a bare future that is set a pass later."""
    loop = asyncio.get_running_loop()
    refs = [Echo.start() for _ in range(size.of(10_000))]

    async def on_the_floor() -> float:
        began = time.perf_counter()
        for _ in refs:
            future: asyncio.Future[Any] = loop.create_future()
            loop.call_soon(future.set_result, 1)
            await future
        return len(refs) / (time.perf_counter() - began)

    async def measured() -> float:
        began = time.perf_counter()
        for ref in refs:
            await ref.ask(1, block=False)
        return len(refs) / (time.perf_counter() - began)

    found = await compare(on_the_floor, measured, 2 * size.rounds)
    for ref in refs:
        await ref.stop(block=False)
    return [
        Figure(
            f"asks over {len(refs):,} actors",
            "asks/s",
            found.measured,
            found.floor,
            found.ratio,
            ratio_at_least(0.47),
        )
    ]


def _one_by_one(ref: AsyncioRef[Echo], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        ref.ask(1, timeout=60)
    return count / (time.perf_counter() - began)


def _many_at_once(ref: AsyncioRef[Echo], count: int) -> float:
    began = time.perf_counter()
    asked: deque[AsyncioFuture[Any]] = deque()
    for _ in range(count):
        if len(asked) >= OUTSTANDING:
            asked.popleft().get(timeout=60)
        asked.append(ref.ask(1, block=False))
    while asked:
        asked.popleft().get(timeout=60)
    return count / (time.perf_counter() - began)


async def _answer(message: Any) -> Any:
    return message


def _coroutines_one_by_one(loop: asyncio.AbstractEventLoop, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        asyncio.run_coroutine_threadsafe(_answer(1), loop).result(60)
    return count / (time.perf_counter() - began)


def _coroutines_at_once(loop: asyncio.AbstractEventLoop, count: int) -> float:
    began = time.perf_counter()
    asked: deque[Any] = deque()
    for _ in range(count):
        if len(asked) >= OUTSTANDING:
            asked.popleft().result(60)
        asked.append(asyncio.run_coroutine_threadsafe(_answer(1), loop))
    while asked:
        asked.popleft().result(60)
    return count / (time.perf_counter() - began)


async def threads(size: Size) -> list[Figure]:
    """Asks per second from another thread; the floor is `asyncio.run_coroutine_threadsafe`."""
    loop = asyncio.get_running_loop()
    ref = Echo.start()
    figures: list[Figure] = []
    for name, floor, measured, full in (
        ("one by one", _coroutines_one_by_one, _one_by_one, 4_000),
        (f"{OUTSTANDING} outstanding", _coroutines_at_once, _many_at_once, 20_000),
    ):
        count = size.of(full)
        found = await compare(
            lambda: asyncio.to_thread(floor, loop, count),  # noqa: B023
            lambda: asyncio.to_thread(measured, ref, count),  # noqa: B023
            size.rounds,
        )
        what = f"asks from another thread, {name}"
        figures.append(Figure(what, "asks/s", found.measured, found.floor, found.ratio))
    await ref.stop(block=False)
    return figures
