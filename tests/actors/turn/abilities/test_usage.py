"""What a turn says that it has used."""

import asyncio
import threading
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle, waiting
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics.meter import BUDGETS_EXCEEDED
from turnkeeper.actors.model.exceptions import InvalidUsage, TurnOver
from turnkeeper.actors.model.records import Reason, TurnRecord, Usage
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn


async def used(agent: Any, **settings: Any) -> TurnRecord:
    async with opened(agent, **settings) as registry:
        return await (await registry.send("s1", "hello")).ended()


async def test_reports_add_up_and_what_none_has_said_is_not_known() -> None:
    async def agent(turn: Turn) -> None:
        turn.report_usage(input_tokens=10)
        turn.report_usage(input_tokens=5, output_tokens=3, cached_tokens=0)
        turn.report_usage()

    record = await used(agent)
    assert record.usage == Usage(15, 3, 0, None)
    assert record.usage.total_tokens == 18


async def test_a_turn_that_reports_nothing_has_no_usage_and_not_zero() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("word")

    record = await used(agent)
    assert record.usage is None
    assert record.extras is None


async def test_a_total_takes_the_place_of_what_was_reported_of_each_kind() -> None:
    async def agent(turn: Turn) -> None:
        turn.report_usage(input_tokens=10, output_tokens=1, total=True)
        turn.report_usage(output_tokens=2, total=True)
        turn.report_usage(output_tokens=7, reasoning_tokens=4, total=True)
        turn.report_usage(output_tokens=1)

    assert (await used(agent)).usage == Usage(10, 8, None, 4)


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, 2**53, [1]])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"])
async def test_what_is_no_number_of_tokens_is_refused_and_changes_nothing(name: str, count: Any) -> None:
    async def agent(turn: Turn) -> None:
        turn.report_usage(input_tokens=1)
        with pytest.raises(InvalidUsage, match=f"{name} must be a whole number from 0"):
            turn.report_usage(**{name: count})

    record = await used(agent)
    assert (record.status, record.usage) == (TurnStatus.COMPLETED, Usage(1))


async def test_a_sum_stays_a_number_that_every_reader_can_read() -> None:
    async def agent(turn: Turn) -> None:
        for _ in range(2):
            turn.report_usage(input_tokens=2**53 - 1)

    assert (await used(agent)).usage == Usage(2**53 - 1)


async def test_a_thread_may_report_as_well() -> None:
    async def agent(turn: Turn) -> None:
        def work() -> None:
            for _ in range(100):
                turn.report_usage(output_tokens=1)

        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(3)))

    assert (await used(agent)).usage == Usage(None, 300)


async def test_a_turn_that_is_over_reports_nothing_more_from_wherever() -> None:
    late = threading.Event()
    turns = list[Turn]()

    async def agent(turn: Turn) -> None:
        turns.append(turn)
        turn.report_usage(output_tokens=1)

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        await receipt.ended()
        (turn,) = turns
        with pytest.raises(TurnOver):
            turn.report_usage(output_tokens=1)
        turn.over = False  # as a thread saw it a moment ago
        work = asyncio.get_running_loop().run_in_executor(None, lambda: turn.report_usage(output_tokens=1))
        turn.over = True
        late.set()
        await asyncio.wait([work])
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).usage == Usage(None, 1)


# -- However it ends ---------------------------------------------------------------------------------


async def test_a_turn_in_flight_says_what_it_has_used_so_far_and_so_does_a_snapshot() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        (await agent.run()).turn.report_usage(input_tokens=4)
        assert (await registry.turn("s1", receipt.turn_id)).usage == Usage(4)
        view = await registry.session("s1")
        assert view.turn is not None
        assert view.turn.usage == Usage(4)
        stream = await registry.subscribe("s1")
        snapshot = waiting(stream)[0]
        assert snapshot.data["turn"]["usage"]["input_tokens"] == 4
        stream.close()


@pytest.mark.parametrize("how", ["cancelled", "failed", "timed_out", "unresponsive", "completed"])
async def test_its_record_and_last_event_say_it_however_it_ends(how: str, clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=FOREVER if how == "unresponsive" else 0)
    async with opened(agent, turn_timeout=60, cancel_grace=2) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.report_usage(input_tokens=7, output_tokens=2)
        if how == "failed":
            run.fail(ValueError("no"))
        elif how == "completed":
            run.finish()
        elif how == "timed_out":
            await clock.advance(61)
        else:
            answer = await registry.cancel("s1", wait=True)
            assert answer.turn is not None
            assert answer.turn.usage == Usage(7, 2)
        record = await receipt.ended()
        assert (record.status, record.usage) == (how, Usage(7, 2))
        (last,) = (event for event in waiting(stream) if event.name == f"turn.{how}")
        assert last.data["usage"] == {
            "input_tokens": 7,
            "output_tokens": 2,
            "cached_tokens": None,
            "reasoning_tokens": None,
            "total_tokens": 9,
        }
        stream.close()
        assert dict(registry.meter.agents["default"].tokens) == {"input": 7, "output": 2}


async def test_a_journal_keeps_it() -> None:
    async def agent(turn: Turn) -> None:
        turn.report_usage(input_tokens=7)
        turn.report_usage(cached_tokens=3)

    journal = MemoryJournal()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        await receipt.ended()
    async with opened(agent, journal=journal) as registry:
        assert (await registry.turn("s1", "t1")).usage == Usage(7, None, 3)


# -- A budget ----------------------------------------------------------------------------------------


async def test_a_turn_that_uses_more_tokens_than_it_may_is_cancelled() -> None:
    """G8: what it has used is said, also what was beyond the budget."""
    log = list[int]()

    async def agent(turn: Turn) -> None:
        for n in range(100):
            turn.report_usage(input_tokens=4, output_tokens=2, reasoning_tokens=2)
            log.append(n)

    async with opened(agent, max_tokens=20) as registry:
        receipt = await registry.send("s1", "hello", policy={"max_tokens": 11})
        record = await receipt.ended()
        assert record.status is TurnStatus.CANCELLED
        assert record.reason == Reason(CancelCode.BUDGET_EXCEEDED, None, "more than 11 tokens")
        assert record.usage == Usage(8, 4, None, 4)
        assert log == [0]
        assert (await registry.counts()).counters[BUDGETS_EXCEEDED.name] == 1
        wider = await registry.send("s2", "hello", policy={"max_tokens": 1000})
        record = await wider.ended()
        assert record.reason is not None
        assert record.reason.text == "more than 20 tokens"


async def test_a_thread_that_uses_too_many_has_its_turn_cancelled() -> None:
    async def agent(turn: Turn) -> None:
        await asyncio.to_thread(turn.report_usage, output_tokens=5)
        await asyncio.sleep(FOREVER)

    record = await used(agent, max_tokens=4)
    assert record.status is TurnStatus.CANCELLED
    assert record.reason is not None
    assert record.reason.text == "more than 4 tokens"


async def test_a_step_that_must_not_be_interrupted_may_use_more() -> None:
    log = list[str]()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            turn.report_usage(output_tokens=9)
            await settle()
            turn.report_usage(output_tokens=9)
            log.append("saved")
        log.append("beyond")

    record = await used(agent, max_tokens=4)
    assert (record.status, record.usage) == (TurnStatus.CANCELLED, Usage(None, 18))
    assert log == ["saved"]


async def test_a_turn_that_cleans_up_may_report_and_emit_a_little_more() -> None:
    async def agent(turn: Turn) -> None:
        try:
            turn.report_usage(output_tokens=9)
        finally:
            turn.emit("last", 1)
            turn.report_usage(output_tokens=1)

    async with opened(agent, max_tokens=4) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        record = await receipt.ended()
        assert (record.status, record.usage) == (TurnStatus.CANCELLED, Usage(None, 10))
        assert "last" in [event.name for event in waiting(stream)]
        stream.close()


async def test_a_cancel_that_was_asked_before_keeps_its_reason() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, max_tokens=4) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        asked = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        run.turn.report_usage(output_tokens=9)
        run.finish()
        answer = await asked
        assert answer.verdict is Verdict.FINISHED_FIRST
        assert answer.turn is not None
        assert answer.turn.reason is not None
        assert answer.turn.reason.code is CancelCode.USER_REQUEST


async def test_a_thread_of_the_turns_own_hears_at_once_that_it_has_used_too_many() -> None:
    """As `Turn.emit` says it there."""
    rounds = list[int]()

    def agent(turn: Turn) -> None:
        for n in range(9):
            rounds.append(n)
            turn.report_usage(output_tokens=3)

    record = await used(agent, max_tokens=4)
    assert (record.status, record.usage) == (TurnStatus.CANCELLED, Usage(None, 6))
    assert rounds == [0, 1]
