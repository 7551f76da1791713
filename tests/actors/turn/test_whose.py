"""Whose turn the event loop's thread works for."""

import asyncio
from collections.abc import AsyncIterator
from traceback import walk_stack
from typing import Any

import pytest
import uvloop

from tests.fakes import opened, plain, waiting
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.whose import turn_of


def here() -> Turn | None:
    """The turn for which this very line runs."""
    return turn_of(frame for frame, _ in walk_stack(None))


async def in_its_coroutine(turn: Turn) -> Turn | None:
    await asyncio.sleep(0)
    return here()


def in_a_plain_function(turn: Turn) -> Any:
    found = here()

    async def answer() -> Turn | None:
        return found

    return answer()


async def in_a_generator(turn: Turn) -> AsyncIterator[tuple[str, bool]]:
    yield "found", here() is turn


async def in_a_task(turn: Turn) -> Turn | None:
    async def look() -> Turn | None:
        await asyncio.sleep(0)
        return here()

    return await asyncio.create_task(look())


async def in_a_callback(turn: Turn) -> Turn | None:
    loop = asyncio.get_running_loop()
    found = loop.create_future()
    loop.call_later(0, lambda: found.set_result(here()))
    result: Turn | None = await found
    return result


OWN = [in_its_coroutine, in_a_plain_function]


@pytest.mark.parametrize("agent", [*OWN, in_a_task, in_a_callback], ids=plain)
async def test_a_turn_is_found_in_what_it_runs_and_in_what_it_started(agent: Any) -> None:
    async with opened(agent) as registry:
        for session in ("s1", "s2"):
            receipt = await registry.send(session, "hello")
            found = await receipt.result()
            assert isinstance(found, Turn)
            assert (found.session_id, found.turn_id) == (session, receipt.turn_id)


async def test_a_turn_is_found_in_a_generator() -> None:
    async with opened(in_a_generator) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        assert [event.data for event in waiting(stream) if event.name == "found"] == [True]
        stream.close()


async def test_no_turn_is_found_outside_of_one() -> None:
    assert here() is None
    assert turn_of([]) is None


@pytest.mark.parametrize("agent", OWN, ids=plain)
def test_on_another_loop_a_turn_is_found_in_its_own_task(agent: Any) -> None:
    async def main() -> Turn | None:
        async with opened(agent) as registry:
            found: Turn | None = await (await registry.send("s1", "hello")).result()
            return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert isinstance(runner.run(main()), Turn)
