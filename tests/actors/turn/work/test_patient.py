"""Waiting through cancellations."""

import asyncio

from tests.fakes import settle
from turnkeeper.actors.turn.work.patient import until_done


async def test_it_waits_through_every_cancellation_and_gives_the_last_one_back() -> None:
    future = asyncio.get_running_loop().create_future()
    heard: list[int] = []
    task = asyncio.ensure_future(until_done(future, lambda: heard.append(1)))
    await settle()
    task.cancel("one")
    await settle()
    task.cancel("two")
    await settle()
    assert (task.done(), len(heard)) == (False, 2)
    future.set_result(None)
    cancelled = await task
    assert cancelled is not None
    assert cancelled.args == ("two",)


async def test_without_one_there_is_none_to_give_back() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError())
    assert await until_done(future) is None
    assert isinstance(future.exception(), ValueError)
