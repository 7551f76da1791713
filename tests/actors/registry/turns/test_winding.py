"""What is run at the end of a turn: in which order, for which turns, and what is said of it."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle
from turnkeeper.actors.model.exceptions import InvalidRequest, WaitsForItself
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import CancelCode, Rollback, TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import InterruptedTurn, UndoneTurn

CALLED: list[Any] = []


@pytest.fixture(autouse=True)
def _called() -> None:
    CALLED.clear()


async def agent(turn: Turn) -> str:
    """Registers hooks of each kind, says half of what it is to say, and waits if it is told to."""
    turn.on_rollback(lambda: CALLED.append("on_rollback of the turn, the first"))
    turn.on_rollback(lambda: CALLED.append("on_rollback of the turn, the last"))
    turn.on_cancel(lambda _reason, _partial: CALLED.append("on_cancel, the first"))
    turn.on_cancel(lambda _reason, _partial: CALLED.append("on_cancel, the last"))
    turn.emit("delta", {"text": "half"})
    if turn.text == "wait":
        await asyncio.Event().wait()
    return "done"


async def on_interrupt(turn: InterruptedTurn) -> None:
    await asyncio.sleep(0)
    CALLED.append("on_interrupt")


async def on_rollback(turn: UndoneTurn) -> None:
    await asyncio.sleep(0)
    CALLED.append("on_rollback of the host")


async def on_turn_end(record: TurnRecord) -> None:
    await asyncio.sleep(0)
    CALLED.append(f"on_turn_end of {record.turn_id}")


HOOKS = {"on_interrupt": on_interrupt, "on_rollback": on_rollback, "on_turn_end": on_turn_end}


async def replaced(registry: SessionRegistry, strategy: str) -> None:
    """Send a turn that waits, and another one in its place."""
    await registry.send("s1", "wait", turn_id="t1")
    await settle()
    receipt = await registry.send("s1", "now", turn_id="t2", strategy=strategy)
    CALLED.append("the next one has started")
    await receipt.result()


# -- The order --------------------------------------------------------------------------------------------


async def test_they_run_in_their_order_before_the_next_turn_starts() -> None:
    async with opened(agent, **HOOKS) as registry:
        await replaced(registry, "rollback")
    assert CALLED == [
        "on_cancel, the first",
        "on_cancel, the last",
        "on_interrupt",
        "on_rollback of the turn, the last",
        "on_rollback of the turn, the first",
        "on_rollback of the host",
        "on_turn_end of t1",
        "the next one has started",
        "on_turn_end of t2",
    ]


async def test_of_a_turn_that_is_only_interrupted_nothing_is_undone() -> None:
    async with opened(agent, **HOOKS) as registry:
        await replaced(registry, "interrupt")
    assert [each for each in CALLED if "rollback" in each] == []
    assert "on_cancel, the first" in CALLED


@pytest.mark.parametrize("name", ["on_interrupt", "on_turn_end"])
async def test_one_that_fails_changes_nothing_of_how_a_turn_was_undone(name: str) -> None:
    def fails(_turn: Any) -> None:
        raise ValueError("no")

    async with opened(agent, **{**HOOKS, name: fails}) as registry:
        await replaced(registry, "rollback")
        assert (await registry.turn("s1", "t1")).rollback is Rollback.DONE
        counter = {
            "on_interrupt": "interrupt_hooks_failed_total",
            "on_turn_end": "turn_end_hooks_failed_total",
        }
        assert registry.meter.counts()[counter[name]] == (1 if name == "on_interrupt" else 2)
        assert "on_rollback of the host" in CALLED


@pytest.mark.parametrize(
    ("name", "counters"),
    [
        (
            "on_interrupt",
            {
                "interrupt_hooks_overdue_total": 1,
                "rollback_hooks_overdue_total": 3,
                "turn_end_hooks_overdue_total": 1,
            },
        ),
        ("on_rollback", {"rollback_hooks_overdue_total": 1, "turn_end_hooks_overdue_total": 1}),
        ("on_turn_end", {"turn_end_hooks_overdue_total": 2}),
    ],
)
async def test_one_that_never_returns_is_cut_short_and_those_after_it_are_not_begun(
    name: str, counters: dict[str, int], clock: VirtualClock
) -> None:
    """G8."""

    async def hangs(_turn: Any) -> None:
        await asyncio.Event().wait()

    async with opened(agent, wind_grace=2, **{**HOOKS, name: hangs}) as registry:
        await replaced(registry, "rollback")
        assert clock.elapsed == pytest.approx(4.0 if name == "on_turn_end" else 2.0, abs=0.1)
        counted = registry.meter.counts()
        assert {each: times for each, times in counted.items() if "hooks" in each} == counters
        assert (await registry.turn("s1", "t1")).status is TurnStatus.CANCELLED


async def test_what_it_does_counts_for_its_own_turn_alone() -> None:
    """A hook of a turn that lets go of its session may wait for it afterwards, in a task of its own."""
    answers: list[Any] = []
    tasks: list[asyncio.Task[Any]] = []

    async def ends(record: TurnRecord) -> None:
        if record.turn_id == "t1":
            with pytest.raises(WaitsForItself):
                await registry.cancel("s1")

            async def later() -> None:
                await gate.wait()
                answers.append((await registry.cancel("s1")).verdict)

            tasks.append(asyncio.create_task(later()))

    gate = asyncio.Event()
    async with opened(agent, on_turn_end=ends) as registry:
        await (await registry.send("s1", "now", turn_id="t1")).end()
        gate.set()
        await asyncio.gather(*tasks)
        assert answers == ["not_running"]
        assert "turn_end_hooks_failed_total" not in registry.meter.counts()


# -- Which turns ------------------------------------------------------------------------------------------


async def test_the_host_is_given_what_was_stopped() -> None:
    given: list[InterruptedTurn] = []
    async with opened(Agent(agent, record=False), on_interrupt=given.append) as registry:
        await registry.send("s1", "wait", turn_id="t1", user="ada")
        await settle()
        await registry.cancel("s1", "t1")
    (turn,) = given
    assert (turn.session_id, turn.owner, turn.message, turn.partial) == ("s1", "ada", "wait", "half")
    assert (turn.record.turn_id, turn.record.status, turn.record.user) == ("t1", TurnStatus.CANCELLED, "ada")
    assert turn.record.reason is not None
    assert turn.record.reason.code is CancelCode.USER_REQUEST


async def test_a_turn_that_was_given_up_was_stopped(clock: VirtualClock) -> None:
    given: list[InterruptedTurn] = []
    async with opened(ScriptedAgent(swallows=FOREVER), on_interrupt=given.append) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        await registry.cancel("s1", "t1")
        assert [turn.record.status for turn in given] == [TurnStatus.UNRESPONSIVE]


async def test_a_turn_that_ended_by_itself_was_not_stopped() -> None:
    given: list[Any] = []

    async def fails(turn: Turn) -> None:
        if turn.text == "fail":
            raise ValueError("no")

    async with opened(fails, on_interrupt=given.append) as registry:
        for text in ("fail", "done"):
            await (await registry.send("s1", text)).end()
        assert given == []


async def test_the_end_of_every_turn_that_was_started_is_told() -> None:
    ended: list[TurnRecord] = []

    async def some(turn: Turn) -> str:
        if turn.text == "fail":
            raise ValueError("no")
        if turn.text == "wait":
            await asyncio.Event().wait()
        return "done"

    async with opened(some, on_turn_end=ended.append) as registry:
        for text in ("done", "fail"):
            await (await registry.send("s1", text, turn_id=text)).end()
        await registry.send("s1", "wait", turn_id="wait")
        await registry.send("s1", "never", turn_id="never", strategy="enqueue")
        await registry.cancel("s1", "never")
        await registry.cancel("s1", "wait")
    assert [(record.turn_id, record.status) for record in ended] == [
        ("done", TurnStatus.COMPLETED),
        ("fail", TurnStatus.FAILED),
        ("wait", TurnStatus.CANCELLED),
    ]
    completed, failed, cancelled = ended
    assert completed.result is not None
    assert completed.result.value == "done"
    assert failed.error is not None
    assert failed.error.code == "agent_error"
    assert cancelled.reason is not None
    assert all(record.ended_at is not None for record in ended)


async def test_the_end_of_an_undone_turn_says_how_far_it_was_undone() -> None:
    ended: list[TurnRecord] = []

    def fails(_turn: UndoneTurn) -> None:
        raise ValueError("no")

    async with opened(agent, on_turn_end=ended.append) as registry:
        await replaced(registry, "rollback")
    async with opened(agent, on_turn_end=ended.append, on_rollback=fails) as registry:
        await replaced(registry, "rollback")
    assert [record.rollback for record in ended if record.turn_id == "t1"] == [
        Rollback.DONE,
        Rollback.PARTLY,
    ]


async def test_an_answer_waits_for_the_hook_of_the_end() -> None:
    gate = asyncio.Event()

    async def held(_record: TurnRecord) -> None:
        await gate.wait()

    async with opened(agent, on_turn_end=held) as registry:
        receipt = await registry.send("s1", "now")
        result = asyncio.ensure_future(receipt.result())
        await settle()
        assert not result.done()
        gate.set()
        assert await result == "done"


# -- A restart --------------------------------------------------------------------------------------------


async def killed(journal: SlowJournal, clock: VirtualClock, **policy: Any) -> SlowJournal:
    """What is left of a process that was killed while a turn ran which had said something."""
    async with opened(Agent(agent, **policy), journal=journal) as registry:
        await registry.send("s1", "wait", turn_id="t1", user="ada")
        await clock.advance(1.0)
        return journal.after_a_kill()


async def test_after_a_restart_it_is_called_for_what_had_run(clock: VirtualClock) -> None:
    """G11."""
    left = await killed(SlowJournal(), clock)
    given: list[Any] = []
    hooks = {"on_interrupt": given.append, "on_turn_end": given.append}
    async with opened(agent, journal=left, **hooks) as registry:
        await settle()
        assert (await registry.turn("s1", "t1")).status is TurnStatus.INTERRUPTED
        interrupted, record = given
        assert (interrupted.message, interrupted.partial, interrupted.owner) == ("wait", "half", "ada")
        assert interrupted.record is record
        assert (record.turn_id, record.status) == ("t1", TurnStatus.INTERRUPTED)


async def test_what_is_run_again_was_not_interrupted(clock: VirtualClock) -> None:
    left = await killed(SlowJournal(), clock, on_restart="rerun")
    given: list[InterruptedTurn] = []
    async with opened(Agent(agent, on_restart="rerun"), journal=left, on_interrupt=given.append) as registry:
        await clock.advance(2.0)
        assert (await registry.turn("s1", "t1")).attempt == 2
        assert given == []
        await registry.cancel("s1", "t1")
        assert [turn.partial for turn in given] == ["half"], "once, and not what the first attempt said"


async def test_a_process_that_ends_while_a_hook_runs_calls_it_again(clock: VirtualClock) -> None:
    journal = SlowJournal()

    async def hangs(_turn: InterruptedTurn) -> None:
        CALLED.append("on_interrupt begins")
        await asyncio.Event().wait()

    async with opened(agent, journal=journal, on_interrupt=hangs) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await clock.advance(1.0)
        await registry.cancel("s1", "t1", wait=False)
        await clock.advance(1.0)
        assert "on_interrupt begins" in CALLED
        left = journal.after_a_kill()
    given: list[InterruptedTurn] = []
    async with opened(agent, journal=left, on_interrupt=given.append) as registry:
        await settle()
        assert [turn.record.status for turn in given] == [TurnStatus.INTERRUPTED]


# -- What is handed over ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["on_interrupt", "on_rollback", "on_turn_end"])
@pytest.mark.parametrize("hook", [lambda: None, "no", UndoneTurn])
def test_what_cannot_be_called_is_refused(name: str, hook: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SessionRegistry(agent, **{name: hook})
    assert refused.value.field == name


async def test_a_hook_that_has_failed_is_counted_once_also_when_its_session_ends() -> None:
    def fails(record: TurnRecord) -> None:
        raise ValueError(record.turn_id)

    async with opened(ScriptedAgent(), on_turn_end=fails) as registry:
        receipt = await registry.send("s1", "hello", strategy="reject", wait=False)
        await registry.cancel("s1")
        await receipt.ended()
        counts = registry.meter.counts
        assert counts()["turn_end_hooks_failed_total"] == 1
    assert counts()["turn_end_hooks_failed_total"] == 1


async def test_a_task_that_failed_is_counted_also_where_the_turn_ends_before_its_children(
    clock: VirtualClock,
) -> None:
    async def child(_turn: Turn) -> None:
        for _ in range(2):  # it hears the second cancel
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(FOREVER)

    async def fails() -> None:
        raise ValueError("as it is meant to")

    async def parent(turn: Turn) -> str:
        turn.create_task(fails())
        await settle()
        await turn.begin("s2", "go on", agent="child")
        return "done"

    agents = {"default": Agent(parent, cancel_grace=0.1), "child": Agent(child, cancel_grace=5.0)}
    async with opened(agents) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(1)
        assert (await registry.turn("s1", receipt.turn_id)).ended_at is None, "it waits for its child"
        await clock.advance(4)
        assert (await receipt.ended()).status is TurnStatus.COMPLETED
        assert registry.meter.counts()["tasks_failed_total"] == 1
