"""Work on very many things, a batch in each pass of the event loop (G9)."""

import asyncio

import pytest

from turnkeeper.actors.runtime import batches, in_batches


async def batches_of(count: int, size: int) -> list[list[int]]:
    """The batches in which so many items are handled, by the pass of the loop that handles them."""
    passes: list[list[int]] = [[]]
    done = asyncio.Event()

    def handle(batch: list[int]) -> None:
        passes[-1] += batch

    in_batches(asyncio.get_running_loop(), iter(range(count)), size, handle, done.set)
    while not done.is_set():
        passes.append([])
        await asyncio.sleep(0)
    return [batch for batch in passes if batch]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
async def test_every_item_is_handled_once_and_in_order_and_each_pass_handles_a_batch(
    count: int, sizes: list[int]
) -> None:
    batches = await batches_of(count, 3)
    assert [len(batch) for batch in batches] == sizes
    assert [item for batch in batches for item in batch] == list(range(count))


async def test_the_first_batch_is_handled_at_once() -> None:
    handled: list[list[str]] = []
    in_batches(asyncio.get_running_loop(), iter("abc"), 2, handled.append)
    assert handled == [["a", "b"]]
    await asyncio.sleep(0)
    assert handled == [["a", "b"], ["c"]]


async def test_what_a_later_batch_meets_is_what_is_there_then() -> None:
    items, handled = list("abc"), list[list[str]]()
    in_batches(asyncio.get_running_loop(), iter(items), 2, handled.append)
    items.append("d")
    for _ in range(3):
        await asyncio.sleep(0)
    assert handled == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
async def test_a_coroutine_gets_every_item_once_and_in_order_and_a_batch_in_each_pass(
    count: int, sizes: list[int]
) -> None:
    passes: list[list[int]] = []

    async def work() -> None:
        async for batch in batches(range(count), 3):
            passes[-1] += batch

    working = asyncio.ensure_future(work())
    while not working.done():
        passes.append([])
        await asyncio.sleep(0)
    found = [batch for batch in passes if batch]
    assert [len(batch) for batch in found] == sizes
    assert [item for batch in found for item in batch] == list(range(count))
