"""SessionActor: performs what the session decides (G1-G8 with real coroutines)."""

import asyncio
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    Run,
    ScriptedAgent,
    VirtualClock,
    done,
    names,
    opened,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.model.exceptions import (
    SessionBusy,
    SessionClosed,
    TurnCancelled,
    TurnIdReused,
    TurnOver,
    UnknownTurn,
)
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TERMINAL, CancelCode, Strategy, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


async def started(registry: SessionRegistry, agent: ScriptedAgent, **keywords: Any) -> tuple[Any, Run]:
    """A turn of s1 that runs: its receipt and its run."""
    receipt = await registry.send("s1", "hello", **keywords)
    return receipt, await agent.run()


async def record_of(registry: SessionRegistry, receipt: Any) -> TurnRecord:
    return await registry.turn(receipt.session_id, receipt.turn_id)


# -- One turn ---------------------------------------------------------------------------------------


async def test_a_replacement_starts_only_after_its_predecessor_has_returned() -> None:
    """G1."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, first = await started(registry, agent)
        second = asyncio.create_task(registry.send("s1", "second"))
        await first.cancelled.wait()
        await settle()
        assert len(agent.runs) == 1
        assert not second.done()
        first.finish()
        receipt = await second
        assert (await agent.run()).turn.turn_id == receipt.turn_id
        assert agent.most_at_once == 1


async def test_the_answer_to_a_send_says_what_became_of_its_predecessor(clock: VirtualClock) -> None:
    """G3."""
    agent = ScriptedAgent()
    async with opened({"default": agent, "stubborn": ScriptedAgent(swallows=FOREVER)}) as registry:
        first, _ = await started(registry, agent)
        second = await registry.send("s1", "second", agent="stubborn")
        assert second.superseded is not None
        assert (second.superseded.turn_id, second.superseded.verdict) == (first.turn_id, Verdict.CANCELLED)
        third = await registry.send("s1", "third")
        assert third.superseded is not None
        assert third.superseded.verdict is Verdict.UNRESPONSIVE
        assert third.superseded.settled_after_ms == pytest.approx(5_000, abs=50)
        assert first.superseded is None
        assert (await record_of(registry, first)).superseded_by == second.turn_id


async def test_of_three_quick_sends_the_last_one_runs_and_all_are_answered() -> None:
    """G1, G2, G3: one turn waits at most, the newest."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipts = await asyncio.gather(*(registry.send("s1", n, turn_id=f"t{n}") for n in (1, 2, 3)))
        assert [receipt.status for receipt in receipts] == ["running", "cancelled", "running"]
        assert receipts[2].superseded is not None
        assert receipts[2].superseded.turn_id == "t1"
        with pytest.raises(TurnCancelled):
            await receipts[1].result()
        records = [await record_of(registry, receipt) for receipt in receipts]
        assert [record.status for record in records] == ["cancelled", "cancelled", "running"]
        assert [record.superseded_by for record in records] == ["t3", "t3", None]
        assert records[1].epoch is None
        assert [run.turn.turn_id for run in agent.runs] in (["t1", "t3"], ["t3"])
        await settle()
        assert agent.last.turn.turn_id == "t3"


async def test_a_send_that_does_not_wait_is_answered_at_once() -> None:
    """G3."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, first = await started(registry, agent)
        second = await registry.send("s1", "second", wait=False)
        assert (second.status, second.epoch) == (TurnStatus.QUEUED, None)
        assert second.superseded is not None
        assert second.superseded.verdict is Verdict.REQUESTED
        assert second.superseded.settled_after_ms is None
        seen = await registry.session("s1")
        assert [turn.turn_id for turn in seen.queue] == [second.turn_id]
        first.finish()
        (await agent.run()).finish("here")
        assert await second.result() == "here"


async def test_a_waiting_turn_that_is_cancelled_never_starts() -> None:
    """G2, G4."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, first = await started(registry, agent)
        second = await registry.send("s1", "second", wait=False)
        answer = await registry.cancel("s1", second.turn_id)
        assert answer.verdict is Verdict.CANCELLED
        assert answer.turn is not None
        assert (answer.turn.turn_id, answer.turn.started_at) == (second.turn_id, None)
        with pytest.raises(TurnCancelled):
            await second.result()
        first.finish()
        await settle()
        assert len(agent.runs) == 1


async def test_reject_refuses_while_a_turn_is_in_flight_and_names_it() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first, run = await started(registry, agent, strategy="reject")
        for strategy in ("reject", Strategy.REJECT):
            with pytest.raises(SessionBusy) as caught:
                await registry.send("s1", "second", strategy=strategy)
            assert caught.value.turn_id == first.turn_id
            assert caught.value.code == "SESSION_BUSY"
        assert not run.turn.cancel_requested
        run.finish()
        await first.result()
        await registry.send("s1", "third", strategy="reject")


async def test_the_strategy_can_be_a_setting() -> None:
    agent = ScriptedAgent()
    async with opened(agent, multitask_strategy="reject") as registry:
        await started(registry, agent)
        with pytest.raises(SessionBusy):
            await registry.send("s1", "second")
        assert (await registry.send("s1", "third", strategy="interrupt")).status is TurnStatus.RUNNING


# -- Retries ----------------------------------------------------------------------------------------


async def test_a_send_that_is_repeated_starts_nothing_and_finds_the_same_turn() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first, run = await started(registry, agent, turn_id="t1")
        again = await registry.send("s1", "hello", turn_id="t1")
        assert (again.repeated, again.turn_id, again.epoch) == (True, "t1", first.epoch)
        assert not first.repeated
        waits = asyncio.create_task(again.result())
        await settle()
        run.finish("here")
        assert await waits == "here"
        late = await registry.send("s1", "hello", turn_id="t1")
        assert (late.repeated, late.status) == (True, TurnStatus.COMPLETED)
        assert await late.result() == "here"
        assert len(agent.runs) == 1


async def test_a_turn_id_that_stands_for_another_message_is_refused() -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "other": agent}) as registry:
        _, run = await started(registry, agent, turn_id="t1")
        for message, name in (("other", "default"), ("hello", "other"), (["hello"], None)):
            with pytest.raises(TurnIdReused) as caught:
                await registry.send("s1", message, agent=name, turn_id="t1")
            assert caught.value.code == "TURN_ID_REUSED"
        assert not run.turn.cancel_requested


async def test_the_same_turn_id_in_another_session_is_another_turn() -> None:
    async with opened(done) as registry:
        for session in ("s1", "s2"):
            receipt = await registry.send(session, session, turn_id="t1")
            assert await receipt.result() == f"done: {session}"


# -- One ending -------------------------------------------------------------------------------------


async def test_every_way_to_end_is_one_status_one_terminal_event_and_nothing_after_it(
    clock: VirtualClock,
) -> None:
    """G2."""

    async def agent(turn: Turn) -> None:
        match turn.text:
            case "completed":
                return
            case "failed":
                raise KeyError
            case "unresponsive":
                while True:
                    try:
                        await release.wait()
                        return
                    except asyncio.CancelledError:
                        pass
            case _:
                await asyncio.Event().wait()

    release = asyncio.Event()
    async with opened(agent, log_events=100) as registry:
        stream = await registry.subscribe("s1")
        for status in TurnStatus:
            if status not in TERMINAL or status in (TurnStatus.INTERRUPTED, TurnStatus.MERGED):
                continue  # the end of a process, and of a turn that never started
            receipt = await registry.send("s1", status.value, timeout=9 if status == "timed_out" else None)
            if status in ("cancelled", "unresponsive"):
                await registry.cancel("s1", code=CancelCode.POLICY)
            assert (await receipt.ended()).status is status
            events = [event for event in waiting(stream) if event.id is not None]
            assert names(events) == ["turn.started", f"turn.{status.value}"]
            assert events[-1].data["status"] == status.value
            assert events[-1].data["task_id"] == receipt.turn_id
        release.set()
        await settle()
        assert waiting(stream) == []
        stream.close()


async def test_how_a_cancelled_coroutine_ends_decides_status_and_verdict() -> None:
    """G3: the first terminal message wins, and no answer says cancelled before the coroutine returned."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        ends = [(None, "completed"), (KeyError(), "failed"), (asyncio.CancelledError(), "cancelled")]
        for error, status in ends:
            receipt, run = await started(registry, agent)
            answer = asyncio.create_task(registry.cancel("s1"))
            await run.cancelled.wait()
            await settle()
            assert not answer.done()
            run.finish("late") if error is None else run.fail(error)
            verdict = Verdict.CANCELLED if status == "cancelled" else Verdict.FINISHED_FIRST
            assert (await answer).verdict is verdict
            record = await receipt.ended()
            assert record.status == status
            assert record.cancel_requested_at is not None


async def test_a_result_that_came_in_spite_of_a_cancel_is_not_lost() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        receipt, run = await started(registry, agent)
        await registry.cancel("s1", wait=False)
        await run.cancelled.wait()
        run.finish("late")
        assert await receipt.result() == "late"


async def test_the_answer_to_a_cancel_says_after_how_many_milliseconds_the_turn_had_settled(
    clock: VirtualClock,
) -> None:
    """G3."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        answer = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        await clock.advance(1.25)
        run.finish()
        assert (await answer).settled_after_ms == pytest.approx(1_250, abs=5)


# -- Aimed cancels ----------------------------------------------------------------------------------


async def test_a_late_stop_cannot_kill_the_successor() -> None:
    """G4."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first, run = await started(registry, agent)
        run.finish()
        await first.result()
        _, second = await started(registry, agent)
        answer = await registry.cancel("s1", first.turn_id)
        assert answer.verdict is Verdict.FINISHED_FIRST
        assert answer.turn is not None
        assert (answer.turn.turn_id, answer.turn.status) == (first.turn_id, TurnStatus.COMPLETED)
        await settle()
        assert not second.turn.cancel_requested


async def test_a_stop_of_the_predecessor_while_it_settles_spares_the_waiting_turn() -> None:
    """G4."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        first, run = await started(registry, agent)
        sending = asyncio.create_task(registry.send("s1", "second"))
        await run.cancelled.wait()
        answer = asyncio.create_task(registry.cancel("s1", first.turn_id))
        await settle()
        run.fail(asyncio.CancelledError())
        assert (await answer).verdict is Verdict.CANCELLED
        assert (await sending).status is TurnStatus.RUNNING
        assert not (await agent.run()).turn.cancel_requested


async def test_a_cancel_before_its_send_in_a_known_session_still_counts(clock: VirtualClock) -> None:
    """G4."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        answer = await registry.cancel("s1", "t2", text="too late")
        assert (answer.verdict, answer.remembered_for) == (Verdict.NOT_RUNNING, 30.0)
        await clock.advance(29)
        receipt = await registry.send("s1", "second", turn_id="t2")
        assert receipt.status is TurnStatus.CANCELLED
        record = await receipt.ended()
        assert (record.started_at, record.reason and record.reason.text) == (None, "too late")
        assert not run.turn.cancel_requested
        assert len(agent.runs) == 1


async def test_a_cancel_before_its_send_is_forgotten_after_thirty_seconds(clock: VirtualClock) -> None:
    """G4, G8."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        await registry.cancel("s1", "t2")
        await clock.advance(30.5)
        assert await (await registry.send("s1", "second", turn_id="t2")).result() == "done: second"


async def test_a_session_remembers_only_the_last_few_early_cancels() -> None:
    """G8."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        for n in range(20):
            await registry.cancel("s1", f"t{n}")
        early = [(await registry.send("s1", n, turn_id=f"t{n}")).status for n in range(20)]
        assert early.count(TurnStatus.CANCELLED) == 8
        assert early[-8:] == [TurnStatus.CANCELLED] * 8


async def test_a_turn_that_was_cancelled_before_its_send_is_published_without_an_id() -> None:
    """G7: what never started has no number."""
    async with opened(done) as registry:
        stream = await registry.subscribe("s1")
        await registry.cancel("s1", "t1")
        await registry.send("s1", "hello", turn_id="t1")
        events = waiting(stream)
        stream.close()
        assert [(event.name, event.id) for event in events] == [("snapshot", None), ("turn.cancelled", None)]


# -- The ladder -------------------------------------------------------------------------------------


async def test_a_coroutine_that_swallows_one_cancel_meets_another_at_half_the_grace(
    clock: VirtualClock,
) -> None:
    """G6."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=4) as registry:
        receipt, run = await started(registry, agent)
        before = clock.elapsed
        answer = await registry.cancel("s1")
        assert clock.elapsed - before == pytest.approx(2, abs=0.01)
        assert answer.verdict is Verdict.CANCELLED
        assert run.cancels == 2
        record = await receipt.ended()
        assert record.cancelled_again_at is not None
        assert record.cancel_requested_at is not None
        assert record.cancelled_again_at - record.cancel_requested_at == pytest.approx(2, abs=0.01)


async def test_a_coroutine_that_swallows_for_ever_is_quarantined_and_the_session_goes_on(
    clock: VirtualClock,
) -> None:
    """G1, G3, G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened({"default": agent, "done": done}, cancel_grace=4) as registry:
        stream = await registry.subscribe("s1")
        receipt, run = await started(registry, agent)
        run.turn.context.messages.append("mine")
        before = clock.elapsed
        answer = await registry.cancel("s1")
        assert clock.elapsed - before == pytest.approx(4, abs=0.01)
        assert answer.verdict is Verdict.UNRESPONSIVE
        assert run.cancels == 2
        with pytest.raises(TurnCancelled, match="unresponsive"):
            await receipt.result()
        assert names(await read_to_end(stream))[-2:] == ["turn.unresponsive", "close"]

        # Fenced, listed and counted.
        with pytest.raises(TurnOver):
            run.turn.emit("late")
        with pytest.raises(TurnOver):
            _ = run.turn.context
        seen = await registry.session("s1")
        assert seen.state == "idle"
        assert [record.turn_id for record in seen.quarantined] == [receipt.turn_id]
        assert (await registry.counts()).unresponsive == 1
        assert (await registry.counts()).counters["unresponsive_total"] == 1
        assert (await registry.cancel("s1", receipt.turn_id)).verdict is Verdict.UNRESPONSIVE

        # The session goes on, and the late end is noted but not published.
        live = await registry.subscribe("s1")
        assert await (await registry.send("s1", "next", agent="done")).result() == "done: next"
        assert not run.ended.is_set()
        await clock.advance(10)
        waiting(live)
        run.finish("too late")
        await run.ended.wait()
        await settle()
        assert waiting(live) == []
        live.close()
        record = await record_of(registry, receipt)
        assert record.status is TurnStatus.UNRESPONSIVE
        assert record.ended_late is not None
        assert record.ended_late.outcome is TurnStatus.COMPLETED
        assert record.ended_at is not None
        assert record.ended_late.at > record.ended_at
        assert (await registry.counts()).unresponsive == 0
        assert (await registry.cancel("s1", receipt.turn_id)).verdict is Verdict.FINISHED_FIRST


async def test_a_quarantined_turn_cannot_write_into_its_successors_conversation(clock: VirtualClock) -> None:
    """G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        _, stubborn = await started(registry, agent)
        kept = stubborn.turn.context
        kept.messages.append("of the stubborn one")
        second, run = await started(registry, agent)
        assert run.turn.context.messages == []
        kept.messages.append("later")
        run.turn.context.messages.append("second")
        run.finish()
        await second.result()
        stubborn.finish()
        await stubborn.ended.wait()
        _, third = await started(registry, agent)
        assert third.turn.context.messages == ["second"]


async def test_how_a_quarantined_turn_ended_late_is_noted_whatever_it_was(clock: VirtualClock) -> None:
    """G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        for error, outcome in ((KeyError(), "failed"), (asyncio.CancelledError(), "cancelled")):
            receipt, run = await started(registry, agent)
            await registry.cancel("s1")
            run.fail(error)
            await run.ended.wait()
            await settle()
            late = (await record_of(registry, receipt)).ended_late
            assert late is not None
            assert late.outcome == outcome


@pytest.mark.parametrize("swallows", [0, FOREVER])
async def test_the_first_event_is_on_the_record_in_flight_and_when_it_is_over(
    clock: VirtualClock, swallows: float
) -> None:
    agent = ScriptedAgent(swallows=swallows)
    async with opened(agent) as registry:
        receipt, run = await started(registry, agent)
        assert (await record_of(registry, receipt)).first_event_at is None
        await clock.advance(1.0)
        run.turn.emit("word")
        first = run.turn.first_event_at
        assert first is not None
        await clock.advance(1.0)
        run.turn.emit("word")
        in_flight = await record_of(registry, receipt)
        assert in_flight.started_at is not None
        assert in_flight.first_event_at == first == pytest.approx(in_flight.started_at + 1.0)
        seen = (await registry.session("s1")).turn
        assert seen is not None
        assert seen.first_event_at == first
        await registry.cancel("s1")
        assert (await record_of(registry, receipt)).first_event_at == first
        assert (await receipt.ended()).first_event_at == first
        run.finish()
        await settle()
        late = await record_of(registry, receipt)
        assert (late.first_event_at, late.ended_late is None) == (first, swallows == 0)


async def test_an_agent_that_emits_before_it_fails_at_once_has_a_first_event_too() -> None:
    def agent(turn: Turn) -> Any:
        turn.emit("word")
        raise ValueError

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        record = await receipt.ended()
        assert (record.status, record.first_event_at is None) == (TurnStatus.FAILED, False)


async def test_a_turn_that_emits_nothing_has_no_first_event() -> None:
    async with opened(done) as registry:
        assert (await (await registry.send("s1", "hello")).ended()).first_event_at is None


async def test_two_stops_are_one_stop() -> None:
    """G3: the cleanup that the first one started is not interrupted; both get a true answer."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        answers = [asyncio.create_task(registry.cancel("s1")) for _ in range(3)]
        await run.cancelled.wait()
        await settle()
        assert run.cancels == 1
        run.finish()
        assert {(await answer).verdict for answer in answers} == {Verdict.FINISHED_FIRST}


async def test_a_turn_whose_time_is_up_is_cancelled_and_says_so(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, turn_timeout=60) as registry:
        before = clock.elapsed
        receipt, _ = await started(registry, agent)
        record = await receipt.ended()
        assert clock.elapsed - before == pytest.approx(60, abs=0.01)
        assert record.status is TurnStatus.TIMED_OUT
        assert record.reason is not None
        assert record.reason.code is CancelCode.TIMEOUT
        receipt, run = await started(registry, agent, timeout=30)
        await clock.advance(29)
        run.finish("in time")
        assert await receipt.result() == "in time"


async def test_a_loop_that_was_blocked_through_the_whole_grace_skips_no_rung(clock: VirtualClock) -> None:
    """G6: the coroutine was blocked as well, so it still gets its second cancel and time to act on it."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=4) as registry:
        _, run = await started(registry, agent)
        answer = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        clock.jump(100)
        assert (await answer).verdict is Verdict.CANCELLED
        assert run.cancels == 2


# -- Ordered events ---------------------------------------------------------------------------------


async def test_events_are_numbered_from_zero_without_holes_and_epochs_only_grow() -> None:
    """G7."""

    async def agent(turn: Turn) -> None:
        for n in range(3):
            turn.emit("word", n)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        epochs = [(await registry.send("s1", "hello")).epoch for _ in range(3)]
        await settle()
        events = [event for event in waiting(stream) if event.id is not None]
        stream.close()
    assert epochs == sorted(set(epochs))
    started_, ended = "turn.started", "turn.completed"
    by_epoch = {epoch: [event for event in events if event.epoch == epoch] for epoch in epochs}
    for of_turn in by_epoch.values():
        if names(of_turn)[-1] == ended:
            assert names(of_turn) == [started_, "word", "word", "word", ended]
        assert [event.n for event in of_turn] == list(range(len(of_turn)))


async def test_epochs_are_the_time_of_the_start_in_milliseconds_or_one_more_than_the_last(
    clock: VirtualClock,
) -> None:
    """G7."""
    async with opened(done) as registry:
        first = await registry.send("s1", "1")
        second = await registry.send("s1", "2")
        assert first.epoch is not None
        assert second.epoch == first.epoch + 1
        await clock.advance(10)
        third = await registry.send("s1", "3")
        assert third.epoch is not None
        assert 9_900 < third.epoch - second.epoch < 10_100


async def test_the_first_event_of_a_turn_has_its_message_or_null_if_that_is_not_json() -> None:
    async with opened(done) as registry:
        for message, shown in (({"a": [1]}, {"a": [1]}), (object(), None), ("\ud800", None)):
            stream = await registry.subscribe("s1")
            await (await registry.send("s1", message)).ended()
            event = waiting(stream)[1]
            stream.close()
            assert event.name == "turn.started"
            assert event.data["message"] == shown
            assert event.data["agent"] == "default"


async def test_large_messages_do_not_pile_up_in_the_log() -> None:
    """G8."""
    async with opened(done, log_bytes=100_000) as registry:
        for _ in range(50):
            await (await registry.send("s1", "x" * 30_000)).ended()
        stream = await registry.subscribe("s1", after="0")
        events = [event for event in waiting(stream) if event.name == "turn.started"]
        stream.close()
        assert len(events) <= 3


async def test_only_the_last_finished_turns_are_remembered() -> None:
    """G8."""
    async with opened(done, kept_turns=3) as registry:
        receipts = [await registry.send("s1", n, turn_id=f"t{n}") for n in range(6)]
        await receipts[-1].ended()
        assert [record.turn_id for record in (await registry.session("s1")).recent] == ["t3", "t4", "t5"]
        with pytest.raises(UnknownTurn) as caught:
            await registry.turn("s1", "t2")
        assert caught.value.code == "UNKNOWN_TURN"


# -- Closing ----------------------------------------------------------------------------------------


async def test_closing_cancels_what_runs_and_refuses_what_comes() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt, _ = await started(registry, agent)
        seen = await registry.close("s1")
        assert seen.state == "closed"
        record = await receipt.ended()
        assert record.status is TurnStatus.CANCELLED
        assert record.reason is not None
        assert record.reason.code is CancelCode.SESSION_CLOSED
        events = await read_to_end(stream)
        assert names(events)[-2:] == ["turn.cancelled", "close"]
        with pytest.raises(SessionClosed) as caught:
            await registry.send("s1", "more")
        assert caught.value.code == "SESSION_CLOSED"
        assert (await registry.close("s1")).state == "closed"
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.CANCELLED


async def test_closing_drops_the_turn_that_waits_and_answers_its_sender() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        sending = asyncio.create_task(registry.send("s1", "second"))
        await run.cancelled.wait()
        closing = [asyncio.create_task(registry.close("s1")) for _ in range(2)]
        assert (await sending).status is TurnStatus.CANCELLED
        run.finish()
        assert [(await each).state for each in closing] == ["closed", "closed"]
        assert len(agent.runs) == 1


async def test_a_closed_sessions_conversation_is_forgotten_also_that_of_the_turn_in_flight(
    clock: VirtualClock,
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, idle_ttl=10) as registry:
        _, run = await started(registry, agent, user="ada")
        run.turn.context.messages.append("secret")
        await registry.close("s1")
        await clock.advance(30)
        _, run = await started(registry, agent, user="bob")
        assert run.turn.context.messages == []
        assert run.turn.context.username == "bob"
