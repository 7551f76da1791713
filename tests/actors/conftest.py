"""Fixtures of the domain's tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.fakes import VirtualClock, virtual_time


@pytest_asyncio.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    """The loop's time jumps to its next timer when nothing is left to do."""
    async with virtual_time() as jumping:
        yield jumping
