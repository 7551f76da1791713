"""An answer that comes once, awaited on loops and waited for in threads."""

import asyncio
import gc
import queue
import threading
import time
from typing import Any, cast

import pykka
import pytest

from tests.actors.runtime.waits import Thread, fail, turns, until_somebody_waits_for
from turnkeeper.actors.runtime import promise
from turnkeeper.actors.runtime.errors import BlockingCallOnLoop
from turnkeeper.actors.runtime.future import AsyncioFuture
from turnkeeper.actors.runtime.promise import ActorLoopClosed, is_awaited


class Source:
    """Stands for the run queue of an actor that was asked."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self.thread: int | None = None


async def test_awaiting_gives_what_was_set_before_and_what_is_set_later() -> None:
    before, later = AsyncioFuture[int](), AsyncioFuture[int]()
    before.set(1)
    asyncio.get_running_loop().call_soon(later.set, 2)

    assert (await before, await later) == (1, 2)
    assert (await later, later.get()) == (2, 2)


async def test_awaiting_raises_what_was_set_as_an_exception_before_and_later() -> None:
    before, later = AsyncioFuture[int](), AsyncioFuture[int]()
    fail(before, KeyError("before"))
    asyncio.get_running_loop().call_soon(fail, later, KeyError("later"))

    with pytest.raises(KeyError, match="before"):
        await before
    with pytest.raises(KeyError, match="later"):
        await later
    with pytest.raises(KeyError, match="later"):
        later.get()


async def test_everyone_who_awaits_the_same_future_gets_the_answer() -> None:
    future = AsyncioFuture[int]()

    async def wait() -> int:
        return await future

    tasks = [asyncio.create_task(wait()) for _ in range(20)]
    await turns()
    future.set(7)

    assert await asyncio.gather(*tasks) == [7] * 20


async def test_cancelling_a_wait_leaves_the_future_and_the_other_waits_alone() -> None:
    future = AsyncioFuture[int]()

    async def wait() -> int:
        return await future

    first, second, third = (asyncio.create_task(wait()) for _ in range(3))
    await turns()
    first.cancel()
    third.cancel()
    await turns()
    future.set(3)

    assert await second == 3
    assert first.cancelled()
    assert third.cancelled()
    assert await future == 3


async def test_setting_after_the_only_wait_was_cancelled_is_no_error() -> None:
    future = AsyncioFuture[int]()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await future

    future.set(3)

    assert future.get() == 3


async def test_it_is_awaited_as_long_as_a_task_or_a_thread_waits() -> None:
    future = AsyncioFuture[int]()
    assert not is_awaited(future)
    first, second = (asyncio.ensure_future(_awaiting(future)) for _ in range(2))
    await turns()
    assert is_awaited(future)
    first.cancel()
    await turns()
    assert is_awaited(future)
    second.cancel()
    await turns()
    assert not is_awaited(future)
    last = asyncio.ensure_future(_awaiting(future))
    await turns()
    assert is_awaited(future)
    future.set(1)
    assert not is_awaited(future)
    assert await last == 1


def test_a_thread_that_has_given_up_waits_no_longer() -> None:
    future = AsyncioFuture[int]()
    waiting = Thread(lambda: future.get(timeout=60))
    until_somebody_waits_for(future)
    assert is_awaited(future)
    future.set(1)
    assert waiting.result() == 1
    assert not is_awaited(future)
    late = AsyncioFuture[int]()
    with pytest.raises(pykka.Timeout):
        late.get(timeout=0.01)
    assert not is_awaited(late)


async def _awaiting(future: AsyncioFuture[int]) -> int:
    return await future


async def test_polling_with_a_timeout_does_not_pile_up_waits() -> None:
    future = AsyncioFuture[int]()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await future

    assert isinstance(future._waiters, list)
    assert len(future._waiters) <= 8


@pytest.mark.blocks_the_loop("joins a thread")
async def test_a_thread_wakes_the_task_that_awaits() -> None:
    future = AsyncioFuture[int]()

    def set_it() -> None:
        until_somebody_waits_for(future)
        future.set(4)

    thread = Thread(set_it)

    assert await future == 4
    thread.result()


@pytest.mark.blocks_the_loop("joins a thread")
async def test_a_thread_wakes_the_task_that_awaits_with_an_exception() -> None:
    future = AsyncioFuture[int]()

    def fail_it() -> None:
        until_somebody_waits_for(future)
        fail(future, KeyError("far away"))

    thread = Thread(fail_it)

    with pytest.raises(KeyError, match="far away"):
        await future
    thread.result()


async def test_it_can_be_awaited_on_two_loops_at_once() -> None:
    future = AsyncioFuture[int]()

    async def wait() -> int:
        return await future

    elsewhere = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(wait())))
    here = asyncio.create_task(wait())
    while not isinstance(future._waiters, list):
        await asyncio.sleep(0)
    future.set(5)

    assert (await here, await elsewhere) == (5, 5)


def test_a_thread_gets_what_is_set_while_it_waits() -> None:
    future = AsyncioFuture[int]()
    threads = [Thread(lambda: future.get(timeout=60)) for _ in range(5)]
    until_somebody_waits_for(future)
    future.set(6)

    assert [thread.result() for thread in threads] == [6] * 5


def test_a_thread_gets_the_exception_with_the_traceback_it_was_raised_with() -> None:
    future = AsyncioFuture[int]()
    try:
        raise KeyError("here")
    except KeyError:
        future.set_exception()

    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            future.get()
        assert [entry.name for entry in caught.traceback].count("_outcome") == 1
        assert caught.traceback[-1].name == caught.traceback[0].name


def test_get_gives_up_after_its_timeout_and_may_be_tried_again() -> None:
    future = AsyncioFuture[int]()

    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.001)
    assert future._waiters is None
    future.set(1)
    assert future.get(timeout=0) == 1


async def test_get_on_a_loops_thread_returns_what_is_there_and_refuses_to_wait() -> None:
    future = AsyncioFuture[int]()

    with pytest.raises(BlockingCallOnLoop, match="await"):
        future.get(timeout=1)
    future.set(1)
    assert future.get() == 1


def test_get_notices_that_the_loop_which_owes_the_answer_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    monkeypatch.setattr(promise, "CLOSED_LOOP_CHECK", 0.001)
    future = AsyncioFuture[int]()
    future.source = source
    thread = Thread(future.get)
    until_somebody_waits_for(future)
    source.loop.close()

    with pytest.raises(ActorLoopClosed):
        thread.result()


def test_an_answer_given_before_the_loop_was_closed_counts() -> None:
    source = Source()
    future = AsyncioFuture[int]()
    future.source = source
    future.set(1)
    source.loop.close()

    assert future.get() == 1


def test_setting_is_no_error_when_the_awaiting_task_is_gone_with_its_loop() -> None:
    future, same = AsyncioFuture[int](), AsyncioFuture[int]()
    loop = asyncio.new_event_loop()

    async def wait(which: AsyncioFuture[int]) -> None:
        await which

    waits = [wait(future), wait(same)]
    tasks = [loop.create_task(each) for each in waits]
    loop.run_until_complete(asyncio.sleep(0))
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()

    same.set(1)
    Thread(lambda: future.set(1)).result()
    assert future.get() == same.get() == 1


async def test_a_second_answer_is_refused_whatever_it_is() -> None:
    future = AsyncioFuture[int]()
    future.set(1)

    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        fail(future, KeyError())
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda timeout: 2)
    assert await future == 1


def test_set_exception_needs_an_exception() -> None:
    with pytest.raises(ValueError, match="exc_info"):
        AsyncioFuture[int]().set_exception()


def test_set_exception_makes_one_of_a_mere_class() -> None:
    future = AsyncioFuture[int]()
    future.set_exception((KeyError, None, None))

    with pytest.raises(KeyError):
        future.get()


async def test_a_stop_iteration_does_not_end_the_coroutine_that_awaits() -> None:
    before, later = AsyncioFuture[int](), AsyncioFuture[int]()
    fail(before, StopIteration(1))
    asyncio.get_running_loop().call_soon(fail, later, StopIteration(1))

    for future in before, later:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await future


async def test_an_exception_that_is_never_looked_at_is_dropped_silently() -> None:
    # The rig fails a test in which anything reaches the loop's exception handler.
    never_awaited, abandoned = AsyncioFuture[int](), AsyncioFuture[int]()
    fail(never_awaited, KeyError())

    async def wait() -> None:
        await abandoned

    task = asyncio.create_task(wait())
    await turns()
    fail(abandoned, KeyError())
    task.cancel()  # the waiter has the exception already, but the task never looks
    await asyncio.wait({task})
    never_awaited = abandoned = AsyncioFuture[int]()
    del task
    gc.collect()
    await turns()


async def test_a_wait_that_is_dropped_with_an_exception_in_hand_says_nothing() -> None:
    future = AsyncioFuture[int]()
    wait = future.__await__()
    next(wait)
    fail(future, KeyError())
    del wait, future
    gc.collect()
    await turns()


async def test_an_answer_that_comes_while_the_wait_is_being_set_up_is_not_missed() -> None:
    future = AsyncioFuture[int]()
    loop = asyncio.get_running_loop()

    class AnswersInBetween:
        def create_future(self) -> asyncio.Future[Any]:
            future.set(9)
            return loop.create_future()

    source = Source()
    source.loop.close()
    source.loop, source.thread = cast("asyncio.AbstractEventLoop", AnswersInBetween()), threading.get_ident()
    future.source = source

    async with asyncio.timeout(60):
        assert await future == 9


def test_a_wake_up_is_never_lost_between_a_thread_that_sets_and_one_that_waits() -> None:
    async def main() -> None:
        for n in range(300):
            future = AsyncioFuture[int]()
            thread = threading.Thread(target=future.set, args=(n,))
            thread.start()
            assert await future == n
            thread.join()

    for n in range(300):
        future = AsyncioFuture[int]()
        thread = Thread(lambda future=future: future.get(timeout=60))  # type: ignore[misc]
        future.set(n)
        assert thread.result() == n
    asyncio.run(main())


def test_no_waiter_is_forgotten_when_two_threads_begin_to_wait_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_up = time.monotonic() + 60
    wait_for_it = AsyncioFuture[int]()
    threads = [Thread(lambda: wait_for_it.get(timeout=60))]
    while wait_for_it._waiters is None:
        time.sleep(0)

    def with_another_in_between(each: Any, kind: Any) -> bool:
        monkeypatch.undo()
        threads.append(Thread(lambda: wait_for_it.get(timeout=60)))
        threads[-1]._thread.join(0.2)  # so long has the other one to be first, if it can
        return isinstance(each, kind)

    monkeypatch.setattr(promise, "isinstance", with_another_in_between, raising=False)
    threads.append(Thread(lambda: wait_for_it.get(timeout=60)))
    while len(threads) < 3 or not isinstance(wait_for_it._waiters, list) or len(wait_for_it._waiters) < 3:
        assert time.monotonic() < give_up, "one of them was forgotten"
        time.sleep(0)
    wait_for_it.set(1)
    assert [thread.result() for thread in threads] == [1] * 3
