"""What runs on of turns that are over is counted until it ends."""

import asyncio
import threading
from typing import Any

import pytest

from tests.actors.turn.work.test_begun import Beginner
from tests.fakes import FOREVER, opened, settle
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

NOTHING = {"tasks": 0, "threads": 0, "processes": 0}


def left(registry: SessionRegistry) -> Any:
    """What the registry says is left."""
    [(_, counts)] = registry.meter.gauges_by_label
    return counts()


@pytest.mark.parametrize("kind", ["tasks", "threads", "processes"])
async def test_what_a_turn_is_given_up_for_is_counted_until_it_ends(kind: Any) -> None:
    """G13."""
    agent = Beginner(kind, stubborn=True)
    async with opened(agent, cancel_grace=0) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
        assert left(registry) == NOTHING, "its turn runs"
        await registry.cancel("s1")
        assert left(registry) == {**NOTHING, kind: 1}
        things.end()
        await settle()
        assert left(registry) == NOTHING


async def test_of_several_each_is_counted_while_it_runs() -> None:
    agent = Beginner(stubborn=True)
    async with opened(agent, cancel_grace=0) as registry:
        begun = []
        for session in ("s1", "s2"):
            await registry.send(session, "hello")
            begun.append((await agent.begun())[1])
            await registry.cancel(session)
        assert left(registry) == {**NOTHING, "processes": 2}
        begun[0].end()
        assert left(registry) == {**NOTHING, "processes": 1}
        begun[1].end()
        await settle()
        assert left(registry) == NOTHING


async def test_what_has_ended_of_a_turn_whose_coroutine_runs_on_is_not_counted() -> None:
    agent = Beginner()
    agent.scripted.swallows = FOREVER
    async with opened(agent, cancel_grace=0) as registry:
        await registry.send("s1", "hello")
        run, _ = await agent.begun()
        await registry.cancel("s1")
        await settle()
        assert left(registry) == NOTHING, "the figure of turns that were given up has the coroutine"
        run.finish()
        await settle()


async def test_what_is_counted_as_nothing_is_not_counted() -> None:
    agent = Beginner(None, stubborn=True)
    async with opened(agent, cancel_grace=0) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
        await registry.cancel("s1")
        assert left(registry) == NOTHING
        things.end()


async def test_a_thread_of_to_thread_is_counted_from_its_turns_end_until_it_ends() -> None:
    go, started = threading.Event(), threading.Event()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        started.set()
        go.wait(60)
        loop.call_soon_threadsafe(done.set)

    async def agent(_turn: Turn) -> None:
        await asyncio.to_thread(work)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        while not started.is_set():
            await asyncio.sleep(0)
        assert left(registry) == NOTHING, "its turn runs"
        await registry.cancel("s1")
        assert left(registry) == {**NOTHING, "threads": 1}
        assert await asyncio.to_thread(left, registry) == {**NOTHING, "threads": 1}, "from another thread"
        go.set()
        await done.wait()
        while left(registry) != NOTHING:
            await asyncio.sleep(0)


async def test_a_thread_of_to_thread_that_a_turn_has_finished_with_is_its_agents_own_affair() -> None:
    go, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait(60)

    async def agent(_turn: Turn) -> Any:
        return asyncio.ensure_future(asyncio.to_thread(work))

    async with opened(agent) as registry:
        saving = await (await registry.send("s1", "hello")).result()
        while not started.is_set():
            await asyncio.sleep(0)
        assert left(registry) == NOTHING
        go.set()
        await saving


async def test_a_thread_of_to_thread_is_counted_by_the_registry_of_its_turn_only() -> None:
    go, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go.wait(60)

    async def agent(_turn: Turn) -> None:
        await asyncio.to_thread(work)

    async with opened(agent) as registry, opened(agent) as other:
        await registry.send("s1", "hello")
        while not started.is_set():
            await asyncio.sleep(0)
        await registry.cancel("s1")
        found = left(registry), left(other)
        go.set()
        assert found == ({**NOTHING, "threads": 1}, NOTHING)
        while left(registry) != NOTHING:
            await asyncio.sleep(0)


async def test_what_outlasts_a_stop_of_the_registry_is_counted_too() -> None:
    agent = Beginner(stubborn=True)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
    assert left(registry) == {**NOTHING, "processes": 1}, "its time was up at the stop"
    things.end()
    await settle()
    assert left(registry) == NOTHING
