"""How to wait for what a cancellation does not end."""

import asyncio
from collections.abc import Callable
from typing import Any


async def until_done(
    future: "asyncio.Future[Any]", on_cancel: Callable[[], object] | None = None
) -> asyncio.CancelledError | None:
    """Wait until this is done, through every cancellation; return the last one, for the caller to raise.

    ``on_cancel`` is called at each.
    """
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    return cancelled
