"""Whose code may use a turn: that of its own tasks, and of what these have begun."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, done, inside, opened
from turnkeeper.actors.model.exceptions import OutsideTurn
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.turn.turn import Turn

Use = Callable[[Turn], Awaitable[Any]]


async def create_task(turn: Turn) -> Any:
    return await turn.create_task(asyncio.sleep(0))


async def in_thread(turn: Turn) -> Any:
    return await turn.in_thread(int)


async def process(turn: Turn) -> Any:
    async with turn.process(sys.executable, "-c", "pass") as started:
        return await started.wait()


async def on_cancel(turn: Turn) -> Any:
    return turn.on_cancel(lambda _reason, _partial: None)


async def on_rollback(turn: Turn) -> Any:
    return turn.on_rollback(lambda: None)


async def tool_call(turn: Turn) -> Any:
    async with turn.tool_call("c1", "search"):
        pass


async def send(turn: Turn) -> Any:
    return await turn.send("s2", "go", agent="child")


async def begin(turn: Turn) -> Any:
    return await (await turn.begin("s2", "go", agent="child")).result()


async def uninterruptible(turn: Turn) -> Any:
    async with turn.uninterruptible():
        pass


USES = [create_task, in_thread, process, on_cancel, on_rollback, tool_call, send, begin, uninterruptible]
used = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)


@used
async def test_code_of_no_turn_is_refused_and_the_turn_goes_on(use: Use) -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "child": done}) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        with pytest.raises(OutsideTurn):
            await use(run.turn)
        run.finish("done")
        assert await receipt.result() == "done"


@used
async def test_code_of_another_turn_is_refused_and_both_go_on(use: Use) -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "child": done}) as registry:
        one, two = await registry.send("s1", "one"), await registry.send("s3", "two")
        runs = {str((run := await agent.run()).turn.session_id): run for _ in range(2)}
        with pytest.raises(OutsideTurn):
            await asyncio.create_task(use(runs["s1"].turn), context=inside(runs["s3"].turn))
        for run in runs.values():
            run.finish("done")
        assert [await one.result(), await two.result()] == ["done", "done"]


async def test_code_of_no_turn_is_refused_and_not_cancelled_where_the_turn_is_to_stop() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened({"default": agent, "child": done}) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        asking = asyncio.ensure_future(registry.cancel("s1", "t1"))
        await run.cancelled.wait()
        with pytest.raises(OutsideTurn):
            await send(run.turn)
        run.finish("done")
        assert (await asking).verdict is Verdict.FINISHED_FIRST


async def _in_a_task(use: Use, turn: Turn) -> None:
    await asyncio.create_task(use(turn))  # type: ignore[arg-type]  # each is a coroutine


async def _gathered(use: Use, turn: Turn) -> None:
    await asyncio.gather(use(turn))


async def _in_a_group(use: Use, turn: Turn) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(use(turn))  # type: ignore[arg-type]


async def _in_a_callback(use: Use, turn: Turn) -> None:
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(lambda: begun.set_result(asyncio.ensure_future(use(turn))))
    await (await begun)


async def _from_a_thread_of_its_own(use: Use, turn: Turn) -> None:
    loop = asyncio.get_running_loop()
    await turn.in_thread(lambda: asyncio.run_coroutine_threadsafe(use(turn), loop).result(60))  # type: ignore[arg-type]


async def _from_a_thread_of_asyncio(use: Use, turn: Turn) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(use(turn), loop).result(60))  # type: ignore[arg-type]


WAYS = [
    _in_a_task,
    _gathered,
    _in_a_group,
    _in_a_callback,
    _from_a_thread_of_its_own,
    _from_a_thread_of_asyncio,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_what_a_task_of_the_turn_has_begun_is_inside(
    way: Callable[[Use, Turn], Awaitable[None]],
) -> None:
    used = list[str]()

    async def agent(turn: Turn) -> str:
        for use in USES:
            await way(use, turn)
            used.append(use.__name__)
        return "done"

    async with opened({"default": agent, "child": done}) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done"
    assert used == [use.__name__ for use in USES]


async def test_a_task_that_was_given_an_empty_context_is_not() -> None:
    async def agent(turn: Turn) -> str:
        with pytest.raises(OutsideTurn):
            await asyncio.create_task(in_thread(turn), context=Context())
        return "done"

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done"
