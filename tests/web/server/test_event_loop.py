"""The server's event loop is run to the end of what it is for, whatever agents do to it."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from tests.fakes import done, opened, plain
from turnkeeper.actors.model.exceptions import TurnFailed
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.server.event_loop import run_to_its_end


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    # Not Python's own handler, under which an interrupt would be the operator's.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop: asyncio.AbstractEventLoop = request.param()
    yield loop
    loop.close()
    signal.signal(signal.SIGINT, before)


async def passes(count: int = 5) -> str:
    for _ in range(count):
        await asyncio.sleep(0)
    return "done"


# -- What it is for ---------------------------------------------------------------------------------


def test_the_result_is_returned(loop: asyncio.AbstractEventLoop) -> None:
    assert run_to_its_end(loop, passes()) == "done"


@pytest.mark.parametrize("error", [KeyError, RuntimeError, SystemExit, KeyboardInterrupt])
def test_what_it_raises_is_raised(loop: asyncio.AbstractEventLoop, error: type[BaseException]) -> None:
    async def main() -> None:
        await passes()
        raise error(3)

    with pytest.raises(error, match="3"):
        run_to_its_end(loop, main())


# -- What agents do to it ---------------------------------------------------------------------------


def leave(*_: Any) -> Any:
    sys.exit(3)


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def stop(*_: Any) -> Any:
    asyncio.get_running_loop().stop()


DEEDS = pytest.mark.parametrize("deed", [leave, interrupt, stop], ids=plain)


async def in_a_task(deed: Callable[[], Any]) -> None:
    async def do() -> None:
        await asyncio.sleep(0)
        deed()

    task = asyncio.create_task(do())
    try:
        await asyncio.wait({task})
    finally:
        task.exception()  # or asyncio complains that it was never retrieved


async def in_a_callback(deed: Callable[[], Any]) -> None:
    asyncio.get_running_loop().call_soon(deed)
    await passes()


async def in_a_timer(deed: Callable[[], Any]) -> None:
    asyncio.get_running_loop().call_later(0, deed)
    await asyncio.sleep(0.01)


@DEEDS
@pytest.mark.parametrize("where", [in_a_task, in_a_callback, in_a_timer], ids=plain)
def test_it_goes_on_and_ends_as_it_would_have(
    loop: asyncio.AbstractEventLoop, where: Any, deed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """G14."""

    async def main() -> str:
        await where(deed)
        await where(deed)
        return await passes()

    assert run_to_its_end(loop, main()) == "done"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


@DEEDS
def test_its_result_is_not_lost_to_what_happens_in_the_same_pass(
    loop: asyncio.AbstractEventLoop, deed: Any
) -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_soon(deed)
        return "done"

    assert run_to_its_end(loop, main()) == "done"


def test_the_operators_ctrl_c_ends_it(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        await asyncio.Event().wait()

    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = loop.create_task(asyncio.sleep(0))
    with pytest.raises(KeyboardInterrupt):
        run_to_its_end(loop, main())
    assert running.done()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)


# -- Whose turn it was ------------------------------------------------------------------------------


async def waits_for_its_task(turn: Turn) -> str:
    await in_a_task(leave)
    return "it may say what it likes"


async def does_not_wait(turn: Turn) -> None:
    asyncio.get_running_loop().call_soon(leave)
    await asyncio.Event().wait()


async def awaits_its_task(turn: Turn) -> None:
    async def child() -> None:
        await asyncio.sleep(0)
        leave()

    await asyncio.create_task(child())


async def in_a_group(turn: Turn) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_a_task(leave))
        group.create_task(asyncio.Event().wait())


AGENTS = [waits_for_its_task, does_not_wait, awaits_its_task, in_a_group]


@pytest.mark.parametrize("agent", AGENTS, ids=plain)
def test_the_turn_whose_task_it_was_has_failed_and_the_others_go_on(
    agent: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """G14."""

    receipts: list[Receipt] = []

    async def main() -> None:
        async with opened({"bad": agent, "good": done}) as registry:
            receipts.append(await registry.send("s1", "hello", agent="bad"))
            with pytest.raises(TurnFailed, match="system_exit"):
                await receipts[0].result()
            assert await (await registry.send("s1", "hello", agent="good")).result() == "done: hello"

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = asyncio.new_event_loop()
    try:
        run_to_its_end(loop, main())
    finally:
        loop.close()
        signal.signal(signal.SIGINT, before)
    assert f"a task or callback of <Turn {receipts[0].turn_id}" in caplog.text
    assert f"turn {receipts[0].turn_id} of session s1 ended as failed" in caplog.text
    named = [vars(record)["turn"] for record in caplog.records if record.name == "turnkeeper"]
    assert named == [receipts[0].turn_id] * 2
    assert "SystemExit: 3" in caplog.text


def test_what_a_turn_left_behind_is_logged_when_it_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    """G14."""

    async def agent(turn: Turn) -> str:
        asyncio.get_running_loop().call_later(0, leave)
        return "left"

    async def main() -> None:
        async with opened(agent) as registry:
            assert await (await registry.send("s1", "hello")).result() == "left"
            await asyncio.sleep(0.01)

    loop = asyncio.new_event_loop()
    try:
        run_to_its_end(loop, main())
    finally:
        loop.close()
    [record] = caplog.records
    assert record.exc_info is not None
    assert "a task or callback of <Turn" in record.getMessage()
