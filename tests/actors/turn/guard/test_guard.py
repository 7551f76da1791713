"""Watches one turn, and has it stopped when it has used up what it may."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, names, opened, settle, waiting
from turnkeeper.actors.metrics.meter import (
    BUDGETS_EXCEEDED,
    EVENTS_OVER_BUDGET,
    TURNS_ABANDONED,
    TURNS_STALLED,
)
from turnkeeper.actors.model.exceptions import TurnCancelled, TurnOver
from turnkeeper.actors.model.messages import AwaitTurn, FollowTurn
from turnkeeper.actors.model.records import Reason, TurnRecord
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.guard.budget import LAST_EVENTS
from turnkeeper.actors.turn.turn import Turn


async def ended(agent: Any, **settings: Any) -> tuple[TurnRecord, list[Any], dict[str, int]]:
    """How a turn of this agent's ended, what its readers were given of its own, and what was counted."""
    async with opened(agent, **settings) as registry:
        stream = await registry.subscribe("s1")
        record = await (await registry.send("s1", "hello")).ended()
        events = waiting(stream)
        stream.close()
        assert [event.n for event in events if event.epoch is not None] == list(range(len(events) - 1))
        own = [event.data for event in events if not event.name.startswith(("turn.", "snapshot"))]
        return record, own, dict((await registry.counts()).counters)


# -- Budgets ----------------------------------------------------------------------------------------


async def test_a_turn_that_emits_more_events_than_it_may_is_cancelled() -> None:
    """G7, G8: what it has emitted until then is published, and the numbers of events have no hole."""

    async def agent(turn: Turn) -> None:
        for n in itertools.count():
            turn.emit("word", n)
            await asyncio.sleep(0)

    record, own, counters = await ended(agent, max_events=5)
    assert record.status is TurnStatus.CANCELLED
    assert record.reason == Reason(CancelCode.BUDGET_EXCEEDED, None, "more than 5 events")
    assert own == [0, 1, 2, 3, 4]
    assert counters[BUDGETS_EXCEEDED.name] == 1
    assert EVENTS_OVER_BUDGET.name not in counters


async def test_a_turn_that_emits_more_bytes_than_it_may_is_cancelled() -> None:
    """G8."""

    async def agent(turn: Turn) -> None:
        while True:
            turn.emit("word", "123456")
            await asyncio.sleep(0)

    record, own, _ = await ended(agent, max_event_bytes=20)
    assert record.reason == Reason(CancelCode.BUDGET_EXCEEDED, None, "more than 20 bytes of events")
    assert own == ["123456"] * 2


async def test_a_loop_that_never_awaits_is_stopped_where_it_emits() -> None:
    """G8, G9: nothing else could stop it, and it holds up everything."""

    async def agent(turn: Turn) -> None:
        while True:
            turn.emit("word")

    record, own, _ = await ended(agent, max_events=200)
    assert record.reason is not None
    assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.BUDGET_EXCEEDED)
    assert len(own) == 200


async def test_what_a_generator_yields_counts_too_and_it_is_closed() -> None:
    """G8."""
    closed: list[str] = []

    async def agent(turn: Turn) -> AsyncIterator[str]:
        try:
            while True:
                yield "word"
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    record, own, _ = await ended(agent, max_events=7)
    assert record.reason is not None
    assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.BUDGET_EXCEEDED)
    assert own == [{"text": "word"}] * 7
    assert closed == ["closed"]


async def test_a_turn_that_emits_exactly_what_it_may_completes() -> None:
    async def agent(turn: Turn) -> None:
        for n in range(5):
            turn.emit("word", n)

    record, own, counters = await ended(agent, max_events=5, max_event_bytes=5)
    assert (record.status, record.reason, len(own)) == (TurnStatus.COMPLETED, None, 5)
    assert BUDGETS_EXCEEDED.name not in counters


async def test_what_it_emits_while_it_cleans_up_is_published_up_to_a_little_more() -> None:
    """G7, G8."""

    async def agent(turn: Turn) -> None:
        try:
            for n in itertools.count():
                turn.emit("word", n)
        finally:
            await asyncio.sleep(0)
            for n in range(LAST_EVENTS + 3):
                turn.emit("cleanup", n)
            cleaned.append(turn)

    cleaned: list[Turn] = []
    record, own, counters = await ended(agent, max_events=3)
    assert record.status is TurnStatus.CANCELLED
    assert own == [*range(3), *range(LAST_EVENTS)]
    assert counters[EVENTS_OVER_BUDGET.name] == 3
    assert counters[BUDGETS_EXCEEDED.name] == 1
    assert len(cleaned) == 1


async def test_its_cleanup_is_not_cut_short_by_a_second_cancellation() -> None:
    """Emitting has raised CancelledError: that was the cancellation."""
    steps: list[str] = []

    async def agent(turn: Turn) -> None:
        try:
            turn.emit("word")
            turn.emit("word")
        except asyncio.CancelledError:
            steps.append("cancelled")
            assert turn.cancel_requested
            assert turn.reason is not None
            await asyncio.sleep(1)
            steps.append("cleaned up")
            raise

    record, _, _ = await ended(agent, max_events=1)
    assert steps == ["cancelled", "cleaned up"]
    assert record.status is TurnStatus.CANCELLED


async def test_one_that_goes_on_is_cancelled_again_and_given_up(clock: VirtualClock) -> None:
    """G6."""
    cancels: list[float] = []

    async def agent(turn: Turn) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                turn.emit("word")
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                cancels.append(round(clock.elapsed, 3))
            if turn.over:
                with pytest.raises(TurnOver):
                    turn.emit("word")
                return

    record, own, counters = await ended(agent, max_events=2, cancel_grace=4)
    assert record.status is TurnStatus.UNRESPONSIVE
    assert cancels[0] == 2.2
    assert len(own) == 2 + LAST_EVENTS
    assert counters[EVENTS_OVER_BUDGET.name] > 0
    assert counters[BUDGETS_EXCEEDED.name] == 1


async def test_a_task_of_the_turns_that_exceeds_it_ends_and_the_turn_is_cancelled_once() -> None:
    steps: list[str] = []

    async def pump(turn: Turn) -> None:
        while True:
            turn.emit("word")

    async def agent(turn: Turn) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                pumps = [group.create_task(pump(turn)) for _ in range(2)]
        finally:
            steps.extend("cancelled" if each.cancelled() else "?" for each in pumps)
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    record, own, counters = await ended(agent, max_events=2)
    assert steps == ["cancelled", "cancelled", "cleaned up"]
    assert record.status is TurnStatus.CANCELLED
    assert len(own) == 2
    assert counters[BUDGETS_EXCEEDED.name] == 1


async def test_a_callback_that_exceeds_it_raises_nothing() -> None:
    async def agent(turn: Turn) -> None:
        for _ in range(LAST_EVENTS + 10):
            asyncio.get_running_loop().call_soon(turn.emit, "word")
        await asyncio.Event().wait()

    record, own, counters = await ended(agent, max_events=2)
    assert record.status is TurnStatus.CANCELLED
    assert len(own) == 2 + LAST_EVENTS
    assert counters[EVENTS_OVER_BUDGET.name] == 8


async def test_a_timeout_of_its_own_is_no_cancel_of_the_turns() -> None:
    """A task that cleans up for a reason of its own is not interrupted by what it emits."""

    async def agent(turn: Turn) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                try:
                    await asyncio.Event().wait()
                finally:
                    for n in range(3):
                        turn.emit("cleanup", n)
        await asyncio.Event().wait()
        return "never"

    record, own, _ = await ended(agent, max_events=1)
    assert record.reason is not None
    assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.BUDGET_EXCEEDED)
    assert own == [0, 1, 2]


async def test_a_cancel_that_came_before_keeps_its_reason() -> None:
    async def agent(turn: Turn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for n in range(LAST_EVENTS + 5):
                turn.emit("cleanup", n)

    async with opened(agent, max_events=1) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        answer = await registry.cancel("s1", user="ada")
        assert answer.verdict is Verdict.CANCELLED
        record = await receipt.ended()
        assert record.reason == Reason(CancelCode.USER_REQUEST, "ada")
        assert BUDGETS_EXCEEDED.name not in (await registry.counts()).counters


async def test_each_turn_has_a_budget_of_its_own_and_a_late_stop_never_hits_the_next(
    clock: VirtualClock,
) -> None:
    """G4."""

    async def agent(turn: Turn) -> str:
        for n in range(3):
            turn.emit("word", n)
        return "done"

    async with opened(agent, max_events=3) as registry:
        for _ in range(3):
            assert await (await registry.send("s1", "hello")).result() == "done"


async def test_a_turn_that_returns_all_the_same_has_finished_first() -> None:
    """G3."""

    async def agent(turn: Turn) -> str:
        with suppress(asyncio.CancelledError):
            turn.emit("word")
            turn.emit("word")
        return "done"

    record, own, _ = await ended(agent, max_events=1)
    assert record.status is TurnStatus.COMPLETED
    assert record.reason is not None
    assert record.reason.code is CancelCode.BUDGET_EXCEEDED
    assert len(own) == 1


async def test_what_waits_behind_it_runs_then_and_its_streams_stay_open() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, max_events=1, cancel_grace=60) as registry:
        stream = await registry.subscribe("s1")
        first = await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        run.turn.emit("word")
        run.turn.emit("word")  # from a task that is none of the turn's
        await run.cancelled.wait()
        second = await registry.send("s1", "two", turn_id="t2", wait=False)
        run.fail(asyncio.CancelledError())
        assert (await first.ended()).status is TurnStatus.CANCELLED
        await agent.run()
        agent.last.finish("two is done")
        assert await second.result() == "two is done"
        assert not stream.ended
        assert names(waiting(stream))[-1] == "turn.completed"
        stream.close()


async def test_the_caller_of_a_turn_that_exceeds_its_budget_gets_an_error() -> None:
    async def agent(turn: Turn) -> None:
        while True:
            turn.emit("word")

    async with opened(agent, max_events=1) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnCancelled):
            await receipt.result()


if sys.version_info >= (3, 12):

    async def test_a_turn_may_exceed_its_budget_before_its_first_await_in_an_eager_task() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def agent(turn: Turn) -> None:
            try:
                while True:
                    turn.emit("word")
            finally:
                await asyncio.sleep(0.01)
                cleaned.append(True)

        cleaned: list[bool] = []
        record, own, _ = await ended(agent, max_events=3)
        assert record.reason is not None
        assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.BUDGET_EXCEEDED)
        assert len(own) == 3
        assert cleaned == [True]


async def test_what_it_said_until_then_is_kept_and_cut_off() -> None:
    async def agent(turn: Turn) -> AsyncIterator[str]:
        while True:
            yield "ha"

    async with opened(agent, max_events=3) as registry:
        await (await registry.send("s1", "hello")).ended()
        _, said = (await registry.messages("s1")).messages
        assert (said["content"], said["cut_off"]) == ("hahaha", True)


# -- Stalls -----------------------------------------------------------------------------------------


async def stalled_at(clock: VirtualClock, agent: Any, **settings: Any) -> tuple[TurnRecord, float]:
    """How a turn of this agent's ended, and when its cancel was asked."""
    async with opened(agent, **settings) as registry:
        began = clock.time()
        record = await (await registry.send("s1", "hello")).ended()
        assert record.started_at is not None
        asked = record.ended_at if record.cancel_requested_at is None else record.cancel_requested_at
        assert asked is not None
        counted = (await registry.counts()).counters.get(TURNS_STALLED.name, 0)
        assert counted == int(record.reason is not None and record.reason.code is CancelCode.STALLED)
        assert clock.time() >= began
        return record, round(asked - record.started_at, 3)


def emitting_every(*pauses: float) -> Callable[[Turn], Any]:
    async def agent(turn: Turn) -> str:
        for pause in pauses:
            await asyncio.sleep(pause)
            turn.emit("word")
        return "done"

    return agent


async def test_a_turn_that_emits_nothing_for_too_long_is_cancelled(clock: VirtualClock) -> None:
    """G8."""
    record, at = await stalled_at(clock, emitting_every(FOREVER), stall_timeout=30)
    assert record.status is TurnStatus.CANCELLED
    assert record.reason == Reason(CancelCode.STALLED, None, "no event for 30 s")
    assert at == 30


async def test_silence_counts_from_the_last_event(clock: VirtualClock) -> None:
    record, at = await stalled_at(clock, emitting_every(29, 29, 29, 1000), stall_timeout=30)
    assert record.reason is not None
    assert record.reason.code is CancelCode.STALLED
    assert at == 3 * 29 + 30


async def test_a_turn_that_says_something_now_and_then_goes_on(clock: VirtualClock) -> None:
    record, at = await stalled_at(clock, emitting_every(*[29.0] * 100), stall_timeout=30)
    assert (record.status, record.reason, at) == (TurnStatus.COMPLETED, None, 2900)


async def test_while_the_loop_is_blocked_no_turn_is_silent(clock: VirtualClock) -> None:
    """Whatever blocked it has kept the turn from emitting, too."""

    async def agent(turn: Turn) -> str:
        await asyncio.sleep(20)
        clock.jump(1000)
        await asyncio.sleep(5)
        turn.emit("word")
        return "done"

    record, _ = await stalled_at(clock, agent, stall_timeout=30)
    assert record.status is TurnStatus.COMPLETED


async def test_a_turn_that_was_asked_to_stop_is_silent_for_as_long_as_its_grace_lasts(
    clock: VirtualClock,
) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, stall_timeout=2, cancel_grace=60) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        await clock.advance(1)
        await registry.cancel("s1", user="ada", wait=False)
        await clock.advance(50)
        agent.last.fail(asyncio.CancelledError())
        record = await receipt.ended()
        assert record.reason == Reason(CancelCode.USER_REQUEST, "ada")
        assert TURNS_STALLED.name not in (await registry.counts()).counters


async def test_a_stalled_turn_that_does_not_stop_is_given_up(clock: VirtualClock) -> None:
    """G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, stall_timeout=2, cancel_grace=4) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.UNRESPONSIVE
        assert record.reason is not None
        assert record.reason.code is CancelCode.STALLED
        assert round(clock.elapsed, 3) == 6


async def test_the_time_of_a_turn_is_up_however_much_it_emits(clock: VirtualClock) -> None:
    record, at = await stalled_at(clock, emitting_every(*[1.0] * 100), stall_timeout=30, turn_timeout=50)
    assert (record.status, at) == (TurnStatus.TIMED_OUT, 50)


async def test_the_next_turn_has_its_own_silence(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, stall_timeout=30) as registry:
        await registry.send("s1", "one")
        await clock.advance(20)
        second = await registry.send("s1", "two")
        await clock.advance(20)
        assert (await registry.turn("s1", second.turn_id)).status is TurnStatus.RUNNING
        await clock.advance(20)
        assert (await registry.turn("s1", second.turn_id)).status is TurnStatus.CANCELLED


async def test_no_alarm_is_left_of_a_turn_that_has_ended() -> None:
    loop: Any = asyncio.get_running_loop()
    agent = ScriptedAgent()
    settings = {"stall_timeout": 1000, "on_disconnect": "cancel", "abandon_after": 2000}
    async with opened(agent, **settings) as registry:
        for _ in range(5):
            await registry.send("s1", "hello")
            agent.last.finish()
            await settle()
        live = [each for each in loop._scheduled if not each.cancelled() and "Countdown" in repr(each)]
        assert live == []


# -- Readers ----------------------------------------------------------------------------------------

ALONE = {"on_disconnect": "cancel", "abandon_after": 40}


async def status_of(registry: SessionRegistry, receipt: Any) -> TurnStatus:
    return (await registry.turn(receipt.session_id, receipt.turn_id)).status


async def test_a_turn_that_never_had_a_reader_is_cancelled_in_time(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(39)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING
        await clock.advance(1)
        record = await registry.turn("s1", receipt.turn_id)
        assert record.status is TurnStatus.CANCELLED
        assert record.reason == Reason(CancelCode.CLIENT_DISCONNECTED, None, "no reader for 40 s")
        assert (await registry.counts()).counters[TURNS_ABANDONED.name] == 1


async def test_by_default_it_goes_on_without_a_reader(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        (await registry.subscribe("s1")).close()
        await clock.advance(100_000)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING


@pytest.mark.parametrize("kind", ["session", "turn", "several sessions"])
@pytest.mark.parametrize("moment", [0, 3, 17, 39, 41, 500])
async def test_it_counts_from_the_moment_in_which_the_last_reader_left(
    clock: VirtualClock, kind: str, moment: float
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello")
        reader: Any
        if kind == "session":
            reader = await registry.subscribe("s1")
        elif kind == "turn":
            reader = await registry.follow(FollowTurn("s1", receipt.turn_id))
        else:
            reader = registry.together()
            await reader.add("s2")
            await reader.add("s1")
        await clock.advance(moment)
        reader.close()
        await clock.advance(39)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING
        await clock.advance(1)
        assert await status_of(registry, receipt) is TurnStatus.CANCELLED


async def test_a_reader_that_comes_back_in_time_changes_nothing(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello")
        for _ in range(20):
            reader = await registry.subscribe("s1")
            await clock.advance(7)
            reader.close()
            await clock.advance(39)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING


async def test_a_reader_of_another_turn_of_the_session_is_none(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        first = await registry.send("s1", "one")
        agent.last.finish()
        await settle()
        second = await registry.send("s1", "two")
        third = await registry.send("s1", "three", strategy="enqueue", wait=False)
        readers = [await registry.follow(FollowTurn("s1", turn.turn_id)) for turn in (first, third)]
        await clock.advance(40)
        assert await status_of(registry, second) is TurnStatus.CANCELLED
        for reader in readers:
            reader.close()


async def test_a_reader_that_has_had_the_whole_turn_reads_the_next_one_no_more(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first = await registry.send("s1", "one")
        reader = await registry.follow(FollowTurn("s1", first.turn_id))
        agent.last.finish()
        await settle()
        assert [event.name for event in reader.take()] == ["turn.started", "turn.completed"]
        assert not reader.reads(first.turn_id)
        reader.close()


async def test_with_two_readers_one_may_leave(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello")
        first, second = [await registry.subscribe("s1") for _ in range(2)]
        first.close()
        await clock.advance(1000)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING
        second.close()
        await clock.advance(40)
        assert await status_of(registry, receipt) is TurnStatus.CANCELLED


async def test_one_who_waits_for_its_end_counts_as_a_reader(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        for wait in (receipt.result(), registry.ask(AwaitTurn("s1", "t1"))):
            task = asyncio.ensure_future(wait)
            await clock.advance(1000)
            assert await status_of(registry, receipt) is TurnStatus.RUNNING
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await clock.advance(39)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING
        await clock.advance(11)
        assert await status_of(registry, receipt) is TurnStatus.CANCELLED


async def test_a_result_that_is_waited_for_comes(clock: VirtualClock) -> None:
    async def agent(turn: Turn) -> str:
        await asyncio.sleep(1000)
        return "done"

    async with opened(agent, **ALONE) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done"


async def test_while_the_loop_is_blocked_no_reader_could_come_back(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(20)
        clock.jump(1000)
        await clock.advance(15)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING


async def test_a_late_stop_does_not_hit_the_next_turn(clock: VirtualClock) -> None:
    """G4."""
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        await registry.send("s1", "one")
        await clock.advance(39)
        second = await registry.send("s1", "two")
        await clock.advance(39)
        assert await status_of(registry, second) is TurnStatus.RUNNING
        await clock.advance(1)
        assert await status_of(registry, second) is TurnStatus.CANCELLED


async def test_a_reader_who_was_there_before_the_send_is_there(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **ALONE) as registry:
        reader = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        await clock.advance(1000)
        assert await status_of(registry, receipt) is TurnStatus.RUNNING
        reader.close()
        await clock.advance(40)
        assert await status_of(registry, receipt) is TurnStatus.CANCELLED
