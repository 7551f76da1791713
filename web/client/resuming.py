"""What comes over one connection after another, for as long as there is patience with the server."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from .connection import Connection
from .errors import Unreachable

T = TypeVar("T")

#: The shortest and the longest pause before connecting again, in seconds.
PAUSES = (0.1, 5.0)


async def resumed(
    connection: Connection,
    connect: Callable[[], AsyncGenerator[T, None]],
    patience: float,
    notice: Callable[[str], None],
) -> AsyncGenerator[T, None]:
    """What comes over one connection after another, without an end: its reader closes it.

    ``connect`` opens the next one and knows where that goes on. ``notice`` is called with a line about a
    connection that was lost, and made again. Raises `Refused`, and `Unreachable` if the first connection
    cannot be made, or no other one within ``patience`` seconds.
    """
    loop = asyncio.get_running_loop()
    alive_at, failures, is_lost, incarnation = loop.time(), -1, False, None
    while True:
        connected_at: float | None = None
        try:
            now = (await connection.hello())["incarnation"]
            if incarnation not in (None, now):
                notice("the server has been restarted")
            if is_lost:
                notice("connected again")
            is_lost, incarnation, failures, connected_at = False, now, 0, loop.time()
            async with aclosing(connect()) as stream:
                async for each in stream:
                    alive_at = loop.time()
                    yield each
        except Unreachable as error:
            # One that was quiet was alive for all that; one that is cut off again and again is not.
            if connected_at is not None and loop.time() - connected_at > PAUSES[1]:
                alive_at = loop.time()
            if failures < 0 or loop.time() - alive_at > patience:
                raise
            if not is_lost:
                notice(f"{error}; trying again")
            is_lost = True
        failures += 1
        pause = min(PAUSES[1], PAUSES[0] * 2.0**failures)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
