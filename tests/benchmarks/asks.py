"""Questions to actors: on the loop, and from another thread."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import Round, compare, per_cpu_second
from turnkeeper.actors.runtime import AsyncioActor, AsyncioFuture, AsyncioRef

OUTSTANDING = 100


class Echo(AsyncioActor):
    """Answers with what it was asked."""

    registered = False

    def on_receive(self, message: Any) -> Any:
        """Answer."""
        return message


async def asks(size: Size) -> list[Figure]:
    """Asks in a second of CPU over many actors; the floor is a bare future that is set a pass later."""
    loop = asyncio.get_running_loop()
    refs = [Echo.start() for _ in range(size.of(10_000))]

    async def on_the_floor() -> int:
        for _ in refs:
            future: asyncio.Future[Any] = loop.create_future()
            loop.call_soon(future.set_result, 1)
            await future
        return len(refs)

    async def measured() -> int:
        for ref in refs:
            await ref.ask(1, block=False)
        return len(refs)

    found = await compare(per_cpu_second(on_the_floor, size), per_cpu_second(measured, size), size.rounds)
    for ref in refs:
        await ref.stop(block=False)
    what = f"asks over {len(refs):,} actors"
    return [Figure(what, "asks/s", found.measured, found.floor, found.ratio, aims.ASKS)]


def _one_by_one(ref: AsyncioRef[Echo], count: int) -> None:
    for _ in range(count):
        ref.ask(1, timeout=60)


def _many_at_once(ref: AsyncioRef[Echo], count: int) -> None:
    asked: deque[AsyncioFuture[Any]] = deque()
    for _ in range(count):
        if len(asked) >= OUTSTANDING:
            asked.popleft().get(timeout=60)
        asked.append(ref.ask(1, block=False))
    while asked:
        asked.popleft().get(timeout=60)


async def _answer(message: Any) -> Any:
    return message


def _coroutines_one_by_one(loop: asyncio.AbstractEventLoop, count: int) -> None:
    for _ in range(count):
        asyncio.run_coroutine_threadsafe(_answer(1), loop).result(60)


def _coroutines_at_once(loop: asyncio.AbstractEventLoop, count: int) -> None:
    asked: deque[Any] = deque()
    for _ in range(count):
        if len(asked) >= OUTSTANDING:
            asked.popleft().result(60)
        asked.append(asyncio.run_coroutine_threadsafe(_answer(1), loop))
    while asked:
        asked.popleft().result(60)


def _in_a_thread(work: Callable[[Any, int], None], of: Any, count: int) -> Round:
    """By the wall clock: what one thread waits for another is what is measured."""

    async def measure() -> float:
        began = time.perf_counter()
        await asyncio.to_thread(work, of, count)
        return count / (time.perf_counter() - began)

    return measure


async def threads(size: Size) -> list[Figure]:
    """Asks per second from another thread; the floor is `asyncio.run_coroutine_threadsafe`."""
    loop = asyncio.get_running_loop()
    ref = Echo.start()
    figures: list[Figure] = []
    for name, floor, floors, measured, ours in (
        ("one by one", _coroutines_one_by_one, 6_000, _one_by_one, 8_000),
        (f"{OUTSTANDING} outstanding", _coroutines_at_once, 25_000, _many_at_once, 180_000),
    ):
        found = await compare(
            _in_a_thread(floor, loop, size.of(floors)),
            _in_a_thread(measured, ref, size.of(ours)),
            size.rounds,
        )
        what = f"asks from another thread, {name} (wall clock)"
        figures.append(Figure(what, "asks/s", found.measured, found.floor, found.ratio))
    await ref.stop(block=False)
    return figures
