"""A coroutine that is run step by step."""

import asyncio
import inspect
from typing import Any

import pytest

from turnkeeper.actors.testing.stepped import Stepped, discard


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def began(self, stepped: Stepped) -> None:
        self.notes.append("began")

    def thrown(self, stepped: Stepped, error: Any) -> None:
        self.notes.append(type(error).__name__)

    def suspended(self, stepped: Stepped, seconds: float) -> None:
        assert seconds >= 0
        self.notes.append("suspended")

    def ended(self, stepped: Stepped, seconds: float) -> None:
        self.notes.append("ended")


async def work(result: Any) -> Any:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if isinstance(result, Exception):
        raise result
    return result


async def test_its_steps_are_seen_and_it_does_what_it_does() -> None:
    notes = Notes()
    assert await asyncio.Task(Stepped(work(5), notes)) == 5
    assert notes.notes == ["began", "suspended", "began", "suspended", "began", "ended"]
    with pytest.raises(ValueError, match="no"):
        await asyncio.Task(Stepped(work(ValueError("no")), notes))
    assert await Stepped(work(6), notes) == 6


async def test_a_cancel_reaches_it_where_it_waits() -> None:
    notes = Notes()
    task = asyncio.Task(Stepped(work(5), notes))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes.notes == ["began", "suspended", "CancelledError", "began", "ended"]


async def test_those_who_look_at_its_task_see_its_frame_and_name() -> None:
    coroutine = work(5)
    stepped = Stepped(coroutine, Notes())
    task = asyncio.Task(stepped)
    await asyncio.sleep(0)
    assert stepped.cr_frame is coroutine.cr_frame
    assert (stepped.name, stepped.inner) == ("work", coroutine)
    assert "work" in repr(task)
    assert await task == 5


async def test_one_that_catches_everything_can_be_ended() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except:  # noqa: E722
                continue

    task = asyncio.Task(Stepped(stubborn(), Notes()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    discard(task)
    await asyncio.wait([task])
    assert task.cancelled()


async def test_any_other_task_is_cancelled_and_what_never_began_is_closed() -> None:
    task = asyncio.create_task(asyncio.sleep(10))
    discard(task)
    await asyncio.wait([task])
    assert task.cancelled()
    coroutine = work(5)
    Stepped(coroutine, Notes()).close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
