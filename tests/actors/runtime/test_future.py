"""The future of an actor's answer, and futures that are made of futures."""

import asyncio
import queue
import threading
from typing import Any

import pykka
import pytest

from tests.actors.runtime.waits import Thread, awaited, fail, turns
from turnkeeper.actors.runtime.errors import BlockingCallOnLoop
from turnkeeper.actors.runtime.future import AsyncioFuture


async def test_map_filter_reduce_and_join_can_beawaited() -> None:
    numbers, more = AsyncioFuture[Any](), AsyncioFuture[Any]()
    doubled = numbers.map(lambda each: [2 * n for n in each])
    even = numbers.filter(lambda n: n % 2 == 0)
    total = even.reduce(lambda a, b: a + b, 100)
    both = doubled.join(more)
    asyncio.get_running_loop().call_soon(numbers.set, [1, 2, 3, 4])
    asyncio.get_running_loop().call_soon(more.set, "more")

    assert await doubled == [2, 4, 6, 8]
    assert await even == [2, 4]
    assert await total == 106
    assert await both == [[2, 4, 6, 8], "more"]
    assert both.get() == [[2, 4, 6, 8], "more"]


async def test_the_function_of_a_mapped_future_runs_once_for_all_who_wait() -> None:
    calls: list[int] = []
    future = AsyncioFuture[int]()
    mapped = future.map(calls.append)

    async def wait() -> None:
        await mapped

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await turns()
    future.set(1)
    await asyncio.gather(*tasks)
    await asyncio.to_thread(mapped.get)

    assert calls == [1]


async def test_a_mapped_future_raises_what_its_source_or_its_function_raised() -> None:
    bad, good = AsyncioFuture[int](), AsyncioFuture[int]()
    from_source, from_function = bad.map(str), good.map(lambda n: n / 0)
    fail(bad, KeyError("source"))
    good.set(1)

    with pytest.raises(KeyError, match="source"):
        await from_source
    with pytest.raises(ZeroDivisionError):
        await from_function


async def test_a_join_raises_the_first_failure_without_waiting_for_the_rest() -> None:
    bad, never = AsyncioFuture[int](), AsyncioFuture[int]()
    joined = bad.join(never)
    fail(bad, KeyError("first"))

    with pytest.raises(KeyError, match="first"):
        await joined


async def test_cancelling_the_wait_for_a_mapped_future_leaves_its_source_alone() -> None:
    future = AsyncioFuture[int]()
    mapped = future.map(lambda n: n + 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await mapped
    future.set(1)

    assert await mapped == 2


async def test_get_of_a_mapped_future_on_a_loops_thread_refuses_to_wait() -> None:
    future = AsyncioFuture[int]()
    mapped = future.map(lambda n: n + 1)

    with pytest.raises(BlockingCallOnLoop):
        mapped.get()
    future.set(1)
    assert mapped.get() == 2


async def test_a_join_with_a_future_of_a_thread_is_awaited_without_blocking_the_loop() -> None:
    ours, theirs = AsyncioFuture[int](), pykka.ThreadingFuture[int]()
    joined = asyncio.ensure_future(awaited(ours.join(theirs)))
    await turns()
    ours.set(1)
    theirs.set(2)

    assert await joined == [1, 2]


async def test_a_get_hook_is_awaited_in_a_thread_of_its_own() -> None:
    future = AsyncioFuture[int]()
    gate = threading.Event()

    def hook(timeout: float | None) -> int:
        gate.wait(60)
        return threading.get_ident()

    future.set_get_hook(hook)
    asyncio.get_running_loop().call_soon(gate.set)

    assert await future != threading.get_ident()
    with pytest.raises(queue.Full):
        future.set(1)


async def test_what_a_get_hook_raises_reaches_the_task_that_awaits() -> None:
    future = AsyncioFuture[int]()

    def hook(timeout: float | None) -> int:
        raise KeyError("hook")

    future.set_get_hook(hook)

    with pytest.raises(KeyError, match="hook"):
        await future


async def test_a_mapped_future_that_a_thread_is_computing_does_not_block_the_loop() -> None:
    future = AsyncioFuture[int]()
    inside, gate = threading.Event(), threading.Event()

    def slowly(n: int) -> int:
        inside.set()
        gate.wait(60)
        return n + 1

    mapped = future.map(slowly)
    future.set(1)
    thread = Thread(mapped.get)
    while not inside.is_set():
        await asyncio.sleep(0)

    with pytest.raises(BlockingCallOnLoop):
        mapped.get()
    asyncio.get_running_loop().call_soon(gate.set)
    assert await mapped == 2
    assert thread.result() == 2
