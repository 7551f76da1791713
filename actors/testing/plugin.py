"""Fixtures for pytest: ``pytest_plugins = ["turnkeeper.actors.testing"]`` in a ``conftest.py`` loads them.

Pytest need not rewrite its asserts, there are none: PYTEST_DONT_REWRITE.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast

import pytest

from .clock import VirtualClock, virtual_time
from .fake_turn import FakeTurn

F = TypeVar("F", bound=Callable[..., Any])


def _fixture(function: F) -> F:
    """Make a fixture of a coroutine function, for whichever plugin runs those."""
    try:
        import pytest_asyncio
    except ImportError:  # pragma: no cover  the tests here are run by that one
        return cast("F", pytest.fixture(function))
    return cast("F", pytest_asyncio.fixture(function))  # in its strict mode it takes no others


@_fixture
async def virtual_clock() -> AsyncIterator[VirtualClock]:
    """The clock of the test's loop, whose time jumps to its next timer when nothing is left to do."""
    async with virtual_time() as clock:
        yield clock


@_fixture
async def fake_turn() -> AsyncIterator[Callable[..., Awaitable[FakeTurn]]]:
    """What begins a turn that ends with the test: it takes what `FakeTurn` takes, as often as wanted."""
    async with AsyncExitStack() as stack:

        async def begin(message: Any = "hello", **opening: Any) -> FakeTurn:
            return await stack.enter_async_context(FakeTurn(message, **opening))

        yield begin
