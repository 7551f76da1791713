"""The threads of a registry: how many there are, who waits for one, and that they end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import settle
from turnkeeper.actors.model.exceptions import ThreadNotStarted
from turnkeeper.actors.turn.work.pool import Pool
from turnkeeper.actors.turn.work.quota import Quota

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0


def of_pool() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "turnkeeper-turns"}


@asynccontextmanager
async def pool_of(most_of_user: int, most_in_all: int, **how: Any) -> AsyncIterator[Pool]:
    pool = Pool(Quota(most_of_user, most_in_all), **how)
    try:
        yield pool
    finally:
        pool.close()


async def run(pool: Pool, user: str, work: Callable[[], object] = lambda: None) -> None:
    """Have a thread do that, as a call does."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    await pool.enter(user)

    def job() -> Callable[[], object]:
        work()
        return lambda: loop.call_soon_threadsafe(done.set_result, None)

    pool.run(job)
    await done
    pool.leave(user)


async def test_there_is_no_thread_before_the_first_call_and_one_is_used_again() -> None:
    seen: set[int] = set()
    async with pool_of(2, 2) as pool:
        assert of_pool() == set()
        for _ in range(5):
            await run(pool, "ada", lambda: seen.add(threading.get_ident()))
        assert len(seen) == len(of_pool()) == 1
        assert (pool.busy, pool.waiting) == (0, 0)


@pytest.mark.parametrize("others", [0, 1])
async def test_a_wait_that_is_cancelled_as_its_turn_comes_is_cancelled_and_nothing_else(others: int) -> None:
    async with pool_of(1, 1) as pool:
        await pool.enter("ada")
        waits = asyncio.create_task(pool.enter("bob"))
        more = [asyncio.create_task(pool.enter("bob")) for _ in range(others)]
        await settle()
        waits.cancel()
        pool.leave("ada")
        with pytest.raises(asyncio.CancelledError):
            await waits
        await asyncio.gather(*more)
        assert (pool.busy, pool.waiting) == (others, 0)


async def test_they_are_daemons_so_that_none_holds_up_the_end_of_the_process() -> None:
    """G10."""
    async with pool_of(1, 1) as pool:
        await run(pool, "ada")
        assert all(thread.daemon for thread in of_pool())


async def test_one_that_has_had_nothing_to_do_for_a_while_ends() -> None:
    async with pool_of(1, 1, idle=0.0) as pool:
        await run(pool, "ada")
        for thread in of_pool():
            await asyncio.to_thread(thread.join, PATIENCE)
        assert of_pool() == set()
        await run(pool, "ada")  # another one


async def test_calls_wait_where_as_many_threads_are_busy_as_may_be() -> None:
    go = threading.Event()
    async with pool_of(9, 2) as pool:
        calls = [asyncio.ensure_future(run(pool, "ada", lambda: go.wait(PATIENCE))) for _ in range(5)]
        await settle()
        assert (pool.busy, pool.waiting, len(of_pool())) == (2, 3, 2)
        go.set()
        await asyncio.gather(*calls)
        assert (pool.busy, pool.waiting) == (0, 0)
        assert len(of_pool()) == 2


async def test_a_user_at_their_bound_waits_and_holds_up_no_other() -> None:
    """G9."""
    go = threading.Event()
    async with pool_of(1, 9) as pool:
        calls = [asyncio.ensure_future(run(pool, "ada", lambda: go.wait(PATIENCE))) for _ in range(3)]
        await settle()
        assert (pool.busy, pool.waiting) == (1, 2)
        await run(pool, "bob")
        go.set()
        await asyncio.gather(*calls)


async def test_users_take_turns_and_the_calls_of_each_come_in_their_order() -> None:
    """G9: one who has many calls waiting is served as often as one who has few."""
    order: list[str] = []
    async with pool_of(9, 1) as pool:
        await pool.enter("first")
        calls = [
            asyncio.ensure_future(run(pool, name[:3], lambda name=name: order.append(name)))  # type: ignore[misc]
            for name in ("ada1", "ada2", "ada3", "bob1", "bob2")
        ]
        await settle()
        pool.leave("first")
        await asyncio.gather(*calls)
    assert order == ["ada1", "bob1", "ada2", "bob2", "ada3"]


async def test_a_call_that_is_cancelled_while_it_waits_gives_up_its_place() -> None:
    async with pool_of(9, 1) as pool:
        await pool.enter("ada")
        waits, next_one = (asyncio.ensure_future(pool.enter(user)) for user in ("bob", "eve"))
        await settle()
        waits.cancel()
        await settle()
        assert (waits.cancelled(), pool.waiting) == (True, 1)
        pool.leave("ada")
        await next_one
        assert (pool.busy, pool.waiting) == (1, 0)
        pool.leave("eve")


async def test_one_that_is_cancelled_as_it_gets_its_thread_gives_it_back() -> None:
    async with pool_of(9, 1) as pool:
        await pool.enter("ada")
        waits, next_one = (asyncio.ensure_future(pool.enter(user)) for user in ("bob", "eve"))
        await settle()
        pool.leave("ada")
        waits.cancel()
        await next_one
        assert waits.cancelled()
        pool.leave("eve")
        assert pool.busy == 0


async def test_a_thread_that_the_system_does_not_give_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with pool_of(1, 1) as pool:
        await pool.enter("ada")
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(ThreadNotStarted):
            pool.run(lambda: lambda: None)


async def test_one_that_is_busy_when_the_pool_is_closed_ends_when_it_returns() -> None:
    go = threading.Event()
    async with pool_of(1, 1) as pool:
        call = asyncio.ensure_future(run(pool, "ada", lambda: go.wait(PATIENCE)))
        await settle()
    [thread] = of_pool()
    go.set()
    await call
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
