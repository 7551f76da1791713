"""Where a coroutine is suspended."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from turnkeeper.actors.testing.place import chain, file_of, place_here, place_of, written


async def inner() -> None:
    await asyncio.sleep(1)


async def generated() -> AsyncIterator[int]:
    await inner()
    yield 1


async def outer() -> None:
    await inner()


async def iterating() -> None:
    async for _ in generated():
        pass


@pytest.mark.parametrize("function", [inner, outer, iterating])
async def test_the_innermost_line_of_the_agents_file_is_found(
    function: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    coroutine = function()
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    place = place_of(coroutine, __file__)
    assert written(place) == "test_place.py:14 in inner"
    assert written(place_of(coroutine, "elsewhere.py")) == "test_place.py:14 in inner"
    task.cancel()
    await asyncio.wait([task])
    assert written(place_of(coroutine, __file__)) == "-"


def test_what_runs_here_is_found_too() -> None:
    def called() -> str:
        return written(place_here(__file__, test_what_runs_here_is_found_too.__code__))

    assert called().endswith("in test_what_runs_here_is_found_too.<locals>.called")


class Agent:
    async def __call__(self) -> None:
        await inner()

    async def method(self) -> None:
        await inner()


@pytest.mark.parametrize(
    "agent", [inner, Agent(), Agent().method, functools.partial(inner), functools.wraps(inner)(lambda: None)]
)
def test_the_file_of_an_agent_of_any_kind_is_known(agent: Any) -> None:
    assert file_of(agent) == __file__


def test_what_is_written_in_c_has_no_file_and_what_is_no_coroutine_is_suspended_nowhere() -> None:
    assert file_of(len) is None
    assert list(chain(object())) == []
    assert written(place_of(object(), None)) == "-"
