"""Work on very many things, a batch in each pass of the event loop, so that nothing else waits long."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_batches(
    loop: asyncio.AbstractEventLoop,
    items: Iterator[T],
    size: int,
    handle: Callable[[list[T]], None],
    done: Callable[[], None] | None = None,
) -> None:
    """Call ``handle`` with up to ``size`` items in each pass of the loop, and ``done`` once after the last.

    The first batch is handled now. What ``items`` yields is taken batch by batch: if the world changes in
    between, a later batch shows it, so hand in a snapshot of anything that may change while it is iterated.
    What ``handle`` raises ends the work.
    """
    batch = list(itertools.islice(items, size))
    if batch:
        handle(batch)
    if len(batch) == size:
        loop.call_soon(in_batches, loop, items, size, handle, done)
    elif done is not None:
        done()


async def batches(items: Iterable[T], size: int) -> AsyncGenerator[list[T], None]:
    """The same for a coroutine: the items, up to ``size`` in each pass of the loop.

    Cancelling it ends the work.
    """
    left = iter(items)
    while batch := list(itertools.islice(left, size)):
        yield batch
        if len(batch) == size:
            await asyncio.sleep(0)
