"""The tasks that a turn has begun with `create_task`."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.fakes import VirtualClock, opened, settle
from turnkeeper.actors.model.exceptions import InvalidRequest, TooManyTasks, TurnOver, WrongThread
from turnkeeper.actors.model.records import StillRunning
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn, current


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_task_can_be_awaited_and_is_a_part_of_its_turn() -> None:
    async def work() -> Any:
        return current.get()

    async def agent(turn: Turn) -> bool:
        task = turn.create_task(work(), name="work")
        return await task is turn and task.get_name() == "work"

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() is True


async def test_they_are_cancelled_with_the_turn_and_have_ended_before_the_verdict() -> None:
    """G13."""
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await for_ever()
        finally:
            for _ in range(9):
                await asyncio.sleep(0)
            ended.append(name)

    async def agent(turn: Turn) -> None:
        turn.create_task(work("one"))
        turn.create_task(work("two"))
        await for_ever()

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert sorted(ended) == ["one", "two"]


async def test_what_a_turn_leaves_running_is_cancelled_when_it_returns() -> None:
    """G13."""
    tasks: list[asyncio.Task[None]] = []

    async def agent(turn: Turn) -> str:
        tasks.append(turn.create_task(for_ever()))
        return "done"

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done"
        assert tasks[0].cancelled()


async def test_one_that_ignores_being_cancelled_is_cancelled_again_and_then_has_the_turn_given_up(
    clock: VirtualClock,
) -> None:
    cancels: list[float] = []
    free = asyncio.Event()

    async def work() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                cancels.append(round(clock.elapsed, 1))

    async def agent(turn: Turn) -> None:
        turn.create_task(work())
        await for_ever()

    async with opened(agent, cancel_grace=2) as registry:
        receipt = await registry.send("s1", "hello")
        await settle()
        answer = await registry.cancel("s1")
        assert answer.turn is not None
        assert (answer.verdict, answer.turn.still_running) == (Verdict.UNRESPONSIVE, StillRunning(tasks=1))
        assert cancels == [0.0, 1.0]
        free.set()
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).ended_late is not None


async def test_an_error_that_no_one_looks_at_is_logged_and_counted_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(text: str) -> None:
        raise ValueError(text)

    async def agent(turn: Turn) -> str:
        turn.create_task(fails("unseen"), name="one")
        with pytest.raises(ValueError, match="seen"):
            await turn.create_task(fails("seen"))
        return "done"

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert await receipt.result() == "done"
        assert (await registry.counts()).counters["tasks_failed_total"] == 1
    [logged] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert logged.getMessage() == f"task one of turn {receipt.turn_id} of session s1 failed"
    assert logged.exc_info is not None
    assert str(logged.exc_info[1]) == "unseen"


async def test_a_turn_has_only_so_many_and_those_that_have_ended_do_not_count() -> None:
    async def agent(turn: Turn) -> str:
        for _ in range(5):
            await turn.create_task(asyncio.sleep(0))
        for _ in range(3):
            turn.create_task(for_ever())
        with pytest.raises(TooManyTasks):
            turn.create_task(for_ever())
        return "done"

    async with opened(agent, max_tasks=3) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done"
        assert (await registry.counts()).counters["too_many_tasks_total"] == 1


@pytest.mark.parametrize("what", [None, for_ever, 7])
async def test_what_is_no_coroutine_is_refused(what: Any) -> None:
    async def agent(turn: Turn) -> str:
        with pytest.raises(InvalidRequest) as refused:
            turn.create_task(what)
        return str(refused.value.field)

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == "coroutine"


async def test_none_is_begun_off_the_loop_or_when_the_turn_is_over() -> None:
    turns: list[Turn] = []

    def begin(turn: Turn) -> Exception | None:
        work: Coroutine[Any, Any, None] = for_ever()
        try:
            turn.create_task(work)
        except (WrongThread, TurnOver) as error:
            return error
        return None

    async def agent(turn: Turn) -> Any:
        turns.append(turn)
        return await asyncio.to_thread(begin, turn)

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert isinstance(await receipt.result(), WrongThread)
        assert isinstance(begin(turns[0]), TurnOver)
        assert (await receipt.ended()).status is TurnStatus.COMPLETED


async def test_ten_thousand_of_them_are_gone_before_the_verdict() -> None:
    """G13."""
    tasks: list[asyncio.Task[None]] = []

    async def agent(turn: Turn) -> None:
        tasks.extend(turn.create_task(for_ever()) for _ in range(10_000))
        await for_ever()

    async with opened(agent, max_tasks=10_000) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert all(task.cancelled() for task in tasks)
