"""The agents that the benchmarks run: each is given a turn, or (on the floor) just the message."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

#: An agent that takes a turn, or (on the floor) a message.
Waiting: TypeAlias = Callable[[Any], Coroutine[Any, Any, None]]

#: When each coroutine of `waits_and_stamps` ended, in nanoseconds.
stamps: list[int] = []


async def trivial(_turn: Any) -> None:
    """Do nothing, and be done."""


async def waits(_turn: Any) -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()


async def waits_and_stamps(_turn: Any) -> None:
    """Wait for ever, and note when that is over."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        stamps.append(time.perf_counter_ns())
