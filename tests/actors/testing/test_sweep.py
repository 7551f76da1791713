"""Cancelling an agent at each of its awaits."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.actors.testing.clean import CLEAN
from tests.actors.testing.faulty import FAULTY, cleared
from turnkeeper.actors import (
    Context,
    InterruptedTurn,
    InvalidRequest,
    Settings,
    Turn,
    TurnRecord,
    TurnStatus,
    Verdict,
)
from turnkeeper.actors.testing import FaultCode, cancel_at_every_await, watch

BLOCKING = pytest.mark.blocks_the_loop("some of the agents do")
#: Faults of agents that two runs may find in different places.
OF_A_PACE_OF_ITS_OWN = (FaultCode.NOT_DETERMINISTIC, FaultCode.LEFT_PROCESS)
PREDICTABLE = [agent for agent, code in FAULTY if code not in OF_A_PACE_OF_ITS_OWN]


@pytest.fixture(autouse=True)
def _cleared() -> Iterator[None]:
    with cleared():
        yield


def title(agent: object) -> str:
    return getattr(agent, "__name__", type(agent).__name__)


# -- What it finds ------------------------------------------------------------------------------------------


@BLOCKING
@pytest.mark.parametrize(("agent", "code"), FAULTY, ids=lambda each: title(each) if callable(each) else "")
async def test_a_faulty_agent_is_found_by_the_code_of_its_fault(
    agent: Callable[..., Any], code: FaultCode
) -> None:
    report = await cancel_at_every_await(agent, "one two", most_awaits=10)
    assert code in report.codes
    with pytest.raises(AssertionError, match=code):
        report.assert_clean()


@BLOCKING
@pytest.mark.parametrize("agent", CLEAN, ids=title)
async def test_no_fault_is_found_in_a_clean_agent(agent: Callable[..., Any]) -> None:
    report = await cancel_at_every_await(agent, "one two", most_awaits=10)
    report.assert_clean()
    assert report.ok


def test_there_is_a_faulty_agent_for_each_code_that_an_agent_can_earn() -> None:
    assert set(FaultCode) - {code for _, code in FAULTY} == {FaultCode.DISHONEST_VERDICT}


@BLOCKING
@pytest.mark.parametrize("agent", PREDICTABLE, ids=title)
async def test_the_same_agent_gives_the_same_report(agent: Callable[..., Any]) -> None:
    reports = [str(await cancel_at_every_await(agent, "one two", most_awaits=5)) for _ in range(2)]
    assert reports[0] == reports[1]
    assert " at 0x" not in reports[0]


# -- Where it cancels ---------------------------------------------------------------------------------------


async def test_it_cancels_before_the_first_step_and_at_every_await_and_delivers_it_there() -> None:
    seen: list[int] = []

    async def agent(turn: Turn) -> None:
        seen.append(0)
        for n in range(1, 5):
            await asyncio.sleep(n % 2)
            seen[-1] = n

    report = await cancel_at_every_await(agent)
    assert seen == [
        4,
        0,
        1,
        2,
        3,
    ]  # the whole run, none for the one that never began, then one await more each
    assert [trial.at for trial in report.trials] == [None, 0, 1, 2, 3, 4]
    assert {trial.verdict for trial in report.trials} == {None, Verdict.CANCELLED}


async def test_the_awaits_of_the_tasks_that_a_turn_starts_are_tried_too() -> None:
    async def agent(turn: Turn) -> None:
        async def child() -> None:
            await asyncio.sleep(1)
            await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    report = await cancel_at_every_await(agent)
    lines = [trial.where.rpartition(".")[2] for trial in report.trials if trial.at and not trial.again]
    assert lines == ["agent", "child", "child"]
    assert report.awaits == 3


async def test_each_await_of_a_cleanup_is_cancelled_once_more() -> None:
    reached: list[str] = []

    async def agent(turn: Turn) -> None:
        reached.append("")
        try:
            await asyncio.sleep(1)
        finally:
            for step in "ab":
                reached[-1] += step
                await asyncio.sleep(0)

    report = await cancel_at_every_await(agent)
    at_first = [trial.again for trial in report.trials if trial.at == 1]
    assert at_first == [None, 1, 2]
    assert reached[1:4] == ["ab", "a", "ab"]


async def test_an_agent_with_many_awaits_is_cancelled_at_some_of_them_evenly_spread() -> None:
    async def agent(turn: Turn) -> None:
        for _ in range(100):
            await asyncio.sleep(1)

    report = await cancel_at_every_await(agent, most_awaits=5)
    assert [trial.at for trial in report.trials] == [None, 0, 1, 26, 51, 75, 100]
    assert (report.awaits, report.tried) == (100, 5)


async def test_the_runs_are_bounded_in_number_and_in_time() -> None:
    async def agent(turn: Turn) -> None:
        for _ in range(10):
            await asyncio.sleep(1)

    few = await cancel_at_every_await(agent, most_runs=4)
    assert len(few.trials) == 4
    assert few.cut_short == "most_runs=4"
    late = await cancel_at_every_await(agent, time_limit=0)
    assert len(late.trials) == 1
    assert "cut short: time_limit" in str(late)


# -- What it is told ----------------------------------------------------------------------------------------


async def test_codes_that_are_allowed_are_no_faults() -> None:
    async def agent(turn: Turn) -> str:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "what there was"
        return "all"

    assert not (await cancel_at_every_await(agent)).ok
    assert (await cancel_at_every_await(agent, allow=["swallowed_cancel"])).ok


async def test_the_conversation_begins_with_what_is_given_and_is_judged_by_the_hosts_own_check() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append(f"{turn.context.data['name']} said {turn.text}")
        await asyncio.sleep(1)
        turn.context.messages.append("yes")

    def in_pairs(before: Any, after: Any) -> bool:
        assert tuple(before) == ("hello",)
        return len(after) in (1, 3)

    start: dict[str, Any] = {"messages": ["hello"], "data": {"name": "ada"}}
    assert (await cancel_at_every_await(agent, **start, check=in_pairs)).codes == ("half_written",)
    assert (await cancel_at_every_await(agent, **start, check=lambda before, after: True)).ok


async def test_a_host_that_keeps_conversations_itself_sees_each_run_load_and_save() -> None:
    saved: list[list[Any]] = []

    async def load(session_id: str, user: str) -> Context:
        return Context(session_id, user)

    async def save(context: Context) -> None:
        await asyncio.sleep(0.1)
        saved.append(list(context.messages))

    async def agent(turn: Turn) -> None:
        await asyncio.sleep(1)
        turn.context.messages.append("done")

    report = await cancel_at_every_await(agent, load_context=load, save_context=save)
    assert (report.ok, report.awaits) == (True, 2)
    assert saved == [["done"], []]  # the last run was cancelled in the middle of saving


async def test_each_run_takes_place_inside_what_the_host_puts_around_it() -> None:
    rows: list[str] = []

    @contextlib.asynccontextmanager
    async def table() -> AsyncIterator[None]:
        rows.clear()
        yield

    async def agent(turn: Turn) -> None:
        for _ in range(2 - len(rows)):
            rows.append("row")
            await asyncio.sleep(1)

    assert (await cancel_at_every_await(agent, around=table)).ok
    rows.clear()
    assert "not_deterministic" in (await cancel_at_every_await(agent)).codes


async def test_the_hosts_settings_hold() -> None:
    async def agent(turn: Turn) -> None:
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.sleep(0.3)

    assert (await cancel_at_every_await(agent, settings=Settings(cancel_grace=1))).ok
    short = await cancel_at_every_await(agent, settings=Settings(cancel_grace=0.5))
    assert "needed_second_cancel" in short.codes


async def test_a_turn_may_send_to_other_agents_and_their_awaits_are_its_own() -> None:
    async def helper(turn: Turn) -> str:
        await asyncio.sleep(1)
        await asyncio.sleep(1)
        return "help"

    async def agent(turn: Turn) -> str:
        return str(await turn.send("other", "help!", agent="helper"))

    report = await cancel_at_every_await(agent, agents={"helper": helper})
    report.assert_clean()
    lines = [trial.where.rpartition(".")[2] for trial in report.trials if trial.at and not trial.again]
    assert lines == ["agent", "helper", "agent", "helper"]


async def waits(_turn: Turn) -> str:
    """An agent without a fault."""
    await asyncio.sleep(1)
    return "done"


async def test_the_hooks_of_the_host_are_called_at_the_end_of_each_run() -> None:
    interrupted: list[tuple[str, Any]] = []
    ended: list[tuple[str, TurnStatus]] = []

    def on_interrupt(turn: InterruptedTurn) -> None:
        interrupted.append((turn.record.turn_id, turn.message))

    async def on_turn_end(record: TurnRecord) -> None:
        await asyncio.sleep(0.1)
        ended.append((record.turn_id, record.status))

    report = await cancel_at_every_await(
        waits, messages=["before"], on_interrupt=on_interrupt, on_turn_end=on_turn_end
    )
    assert report.ok
    assert interrupted == [("turn", "hello")] * 2
    cancelled, completed = TurnStatus.CANCELLED, TurnStatus.COMPLETED
    assert ended == [("turn", completed), ("turn", cancelled), ("turn", cancelled)], "not for what was before"


def fails(_of: Any) -> None:
    raise OSError("not today")


async def hangs(_of: Any) -> None:
    await asyncio.Event().wait()


async def hangs_on(_of: Any) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


def blocks(_of: Any) -> None:
    time.sleep(5)


@BLOCKING
@pytest.mark.parametrize("hook", ["on_interrupt", "on_turn_end"])
@pytest.mark.parametrize(
    ("does", "wrong", "codes"),
    [
        (fails, "it failed", {"hook_failed"}),
        (hangs, "it was not done in time", {"hook_failed"}),
        (hangs_on, "it was not done in time", {"hook_failed", "left_task"}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_hook_of_the_hosts_that_fails_or_hangs_is_found(
    hook: str, does: Any, wrong: str, codes: set[str]
) -> None:
    report = await cancel_at_every_await(waits, **{hook: does})
    assert set(report.codes) == codes
    assert f"hook_failed: {hook}: {wrong}" in map(str, report.faults)
    found = [trial.at for trial in report.trials if trial.faults]
    assert found == ([0, 1] if hook == "on_interrupt" else [None, 0, 1])
    assert (await cancel_at_every_await(waits, allow=codes, **{hook: does})).ok


@BLOCKING
async def test_a_hook_of_the_hosts_that_blocks_the_loop_is_found() -> None:
    report = await cancel_at_every_await(waits, on_turn_end=blocks)
    assert report.codes == ("blocked_loop",)


async def test_what_is_no_hook_is_refused() -> None:
    for hook in ("on_interrupt", "on_turn_end"):
        with pytest.raises(InvalidRequest, match=hook):
            await cancel_at_every_await(waits, **{hook: "a text"})


# -- How it measures ----------------------------------------------------------------------------------------


async def test_a_loop_that_is_blocked_by_work_is_found_if_it_is_blocked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "SLOW", 0.05)
    stalls = [0.0]

    async def agent(turn: Turn) -> None:
        await asyncio.sleep(1)
        until = time.monotonic() + (stalls.pop() if stalls else 0)
        while time.monotonic() < until:
            pass
        await asyncio.sleep(1)

    stalls[:] = [0.06]
    assert (await cancel_at_every_await(agent)).ok
    stalls[:] = [0.06] * 10
    assert (await cancel_at_every_await(agent)).codes == ("blocked_loop",)


async def test_time_sleep_blocks_only_the_agents_own_loop_and_is_put_back() -> None:
    sleep = time.sleep

    async def agent(turn: Turn) -> None:
        await asyncio.to_thread(time.sleep, 0.001)

    assert (await cancel_at_every_await(agent)).ok
    assert time.sleep is sleep
    assert asyncio.get_running_loop().get_task_factory() is None


async def test_a_task_factory_of_the_hosts_goes_on_making_the_tasks() -> None:
    loop, made = asyncio.get_running_loop(), []

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def agent(turn: Turn) -> None:
        await asyncio.create_task(asyncio.sleep(1))

    loop.set_task_factory(factory)
    try:
        report = await cancel_at_every_await(agent)
        assert loop.get_task_factory() is factory
    finally:
        loop.set_task_factory(None)
    assert (report.ok, report.awaits) == (True, 2)
    assert len(made) >= 2 * len(report.trials) - 1
