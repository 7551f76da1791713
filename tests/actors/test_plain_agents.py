"""Agents that are plain functions."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fakes import opened, plain, settle, waiting
from turnkeeper.actors.model.exceptions import InvalidRequest, NotAnAgent, TurnFailed
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

LOOP = "MainThread"


def here() -> str:
    return threading.current_thread().name


def returns(turn: Turn) -> Any:
    return turn.text, here() != LOOP


class Called:
    """An agent that is an object."""

    def __call__(self, turn: Turn) -> Any:
        return returns(turn)


def hands_on(turn: Turn) -> Any:
    async def answer() -> Any:
        return turn.text, here() == LOOP

    return answer()


@pytest.mark.parametrize(
    "agent", [returns, Called(), lambda turn: (turn.text, here() != LOOP), hands_on], ids=plain
)
async def test_one_runs_in_a_thread_and_what_it_returns_is_its_result(agent: Any) -> None:
    """What it returns to be awaited is awaited on the loop."""
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert await receipt.result() == ("hello", True)
        assert (await receipt.ended()).began is True


async def test_one_that_blocks_does_not_hold_up_the_loop() -> None:
    """G13."""
    go, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def blocks(turn: Turn) -> str:
        loop.call_soon_threadsafe(started.set)
        while not go.wait(0.001):
            if turn.cancel_requested:
                return "stopped"
        return "done"

    async with opened(blocks) as registry:
        await registry.send("s1", "hello")
        await started.wait()
        answer = await registry.cancel("s1")
        assert answer.verdict in (Verdict.FINISHED_FIRST, Verdict.CANCELLED)
        assert answer.verdict is Verdict.CANCELLED


async def test_a_generator_yields_texts_and_events_and_returns_its_result() -> None:
    def agent(turn: Turn) -> Iterator[Any]:
        yield "one"
        yield "word", {"n": 2}
        return here() != LOOP

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        assert await (await registry.send("s1", "hello")).result() is True
        events = [(event.name, event.data) for event in waiting(stream) if event.name in ("delta", "word")]
        assert events == [("delta", {"text": "one"}), ("word", {"n": 2})]
        stream.close()


async def test_a_generator_that_yields_anything_else_fails_and_is_closed() -> None:
    closed: list[str] = []

    def agent(turn: Turn) -> Iterator[Any]:
        try:
            yield 7
        finally:
            closed.append(here())

    async with opened(agent) as registry:
        with pytest.raises(TurnFailed) as failed:
            await (await registry.send("s1", "hello")).result()
        assert isinstance(failed.value.__cause__, NotAnAgent)
        assert closed != [LOOP]


async def test_a_generator_that_looks_at_nothing_is_stopped_where_it_yields() -> None:
    """G13: as an async one is where it awaits. It cleans up as any generator does that is closed."""
    yielded, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    cleaned_up: list[str] = []

    def agent(turn: Turn) -> Iterator[str]:
        try:
            yield "one"
            loop.call_soon_threadsafe(yielded.set)
            go.wait()
            while True:
                yield "more"
        finally:
            cleaned_up.append(here())

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello", turn_id="t1")
        await yielded.wait()
        cancel = asyncio.create_task(registry.cancel("s1"))
        while not (await registry.turn("s1", "t1")).cancel_requested_at:
            await asyncio.sleep(0)
        go.set()
        answer = await cancel
        assert answer.verdict is Verdict.CANCELLED
        assert cleaned_up != [LOOP]
        assert [event.data for event in waiting(stream) if event.name == "delta"] == [{"text": "one"}]
        stream.close()


async def test_what_it_returns_to_be_iterated_is_iterated_on_the_loop() -> None:
    async def words() -> AsyncIterator[str]:
        yield here()

    def agent(turn: Turn) -> AsyncIterator[str]:
        return words()

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        assert [event.data for event in waiting(stream) if event.name == "delta"] == [{"text": LOOP}]
        stream.close()


async def test_one_that_needs_the_loop_says_so() -> None:
    def agent(turn: Turn) -> Any:
        return asyncio.ensure_future(asyncio.sleep(0, here()))

    async with opened(Agent(agent, on_loop=True)) as registry:
        assert await (await registry.send("s1", "hello")).result() == LOOP


async def test_what_is_said_of_that_is_true_or_false() -> None:
    with pytest.raises(InvalidRequest):
        Agent(returns, on_loop="yes")  # type: ignore[arg-type]
    assert Agent(returns, on_loop=True).saying({"cancel_grace": 1}).on_loop


async def test_one_that_waits_for_a_thread_has_not_begun() -> None:
    go, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def agent(turn: Turn) -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait(60)

    async with opened(agent, max_threads=1) as registry:
        await registry.send("s1", "holds the thread")
        await started.wait()
        receipt = await registry.send("s2", "waits")
        await settle()
        assert (await registry.cancel("s2")).verdict is Verdict.CANCELLED
        assert (await receipt.ended()).began is False
        go.set()
