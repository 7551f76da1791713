"""What is still to be done when a session's actor has failed: tell the ends, and wait for the coroutine."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    ScriptedAgent,
    VirtualClock,
    done,
    names,
    opened,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.exceptions import SessionClosed, SessionLost, ShuttingDown
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    ChangeQueued,
    Close,
    GetSession,
    Send,
    TurnEnded,
)
from turnkeeper.actors.model.records import TurnId
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry import decisions
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.registry.recovery import when_ended
from turnkeeper.actors.turn.turn import Turn


class Odd:
    """No message that a session knows what to do with."""


def crash(registry: SessionRegistry, session: str = "s1") -> None:
    """Let the session's actor fail at its next message."""
    registry.directory.entries[session].actor.tell(TurnEnded(Odd(), Odd()))  # type: ignore[index,arg-type]


@pytest.fixture(autouse=True)
def _a_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    step = decisions.step

    def fail_at_odd(state: Any, message: Any, now: float, to: Any = None) -> Any:
        if isinstance(getattr(message, "outcome", None), Odd):
            raise ZeroDivisionError("a bug of ours")
        return step(state, message, now, to)

    monkeypatch.setattr(decisions, "step", fail_at_odd)


async def test_after_a_failure_no_turn_begins_before_the_last_ones_coroutine_has_ended() -> None:
    """G1."""
    cleaned_up = asyncio.Event()
    began: list[bool] = []

    async def agent(turn: Turn) -> None:
        began.append(cleaned_up.is_set())
        if len(began) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await settle(5)
                cleaned_up.set()

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        crash(registry)
        await (await registry.send("s1", "again")).ended()
        assert began == [False, True]


async def test_after_a_failure_a_stubborn_coroutine_has_its_grace_and_no_more(clock: VirtualClock) -> None:
    """G1, G6: cancelled again at half of it, like any other."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=4) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        before = clock.elapsed
        crash(registry)
        await registry.send("s1", "again")
        assert clock.elapsed - before == pytest.approx(4, abs=0.01)
        assert run.cancels == 2
        assert run.turn.cancel_requested


async def test_the_session_is_listed_as_long_as_the_coroutine_runs(clock: VirtualClock) -> None:
    """G3."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        crash(registry)
        await run.cancelled.wait()
        await settle()
        assert len(await registry.active()) == 1
        run.finish()
        await settle()
        assert await registry.active() == ()


async def test_a_turn_whose_session_failed_has_its_terminal_event_and_it_can_be_had_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """G2, G7. The log has one record for each."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.emit("word", "a")
        waits = await registry.send("s1", "waits", wait=False)
        crash(registry)
        events = await read_to_end(stream)
        assert names(events)[1:] == [
            "turn.started",
            "word",
            "turn.queued",
            "turn.interrupted",
            "turn.interrupted",
            "close",
        ]
        assert [event.id for event in events[4:6]] == [None, f"{receipt.epoch}-2"]
        ran, waited = await registry.turn("s1", receipt.turn_id), await registry.turn("s1", waits.turn_id)
        assert (ran.status, ran.began) == (TurnStatus.INTERRUPTED, True)
        assert ran.first_event_at is not None
        assert (waited.status, waited.began) == (TurnStatus.INTERRUPTED, False)
        assert (await registry.counts()).counters["turn.interrupted"] == 2
        again = await registry.subscribe("s1", after=f"{receipt.epoch}-1")
        assert [event.id for event in again.take()] == [None, None, f"{receipt.epoch}-2"]
        again.close()
    ends = [record for record in caplog.records if vars(record).get("status") == "interrupted"]
    assert [vars(record)["turn"] for record in ends] == [waits.turn_id, receipt.turn_id]


async def test_a_quarantined_turn_is_remembered_when_its_session_fails(clock: VirtualClock) -> None:
    """G2, G6."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        crash(registry)
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.UNRESPONSIVE
        assert (await registry.counts()).unresponsive == 0


async def test_a_turn_that_was_given_up_long_ago_has_no_second_end_when_its_session_fails(
    clock: VirtualClock,
) -> None:
    """G2, G7: also where so few turns are remembered that it is the newest of them."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, kept_turns=1, cancel_grace=1) as registry:
        for _ in range(2):
            await registry.send("s1", "hello")
        agent.last.finish()
        await settle()
        crash(registry)
        await settle()
        subscription = await registry.subscribe("s1", after="0")
        events = [(event.id, event.name) for event in waiting(subscription)]
        assert [name for _, name in events] == [
            "turn.started",
            "turn.queued",
            "turn.unresponsive",
            "turn.started",
            "turn.completed",
        ]
        subscription.close()


async def _edited(registry: SessionRegistry, turn_id: str, times: int) -> None:
    """The turn that waits is edited so often, each of which is an event without an id."""
    for number in range(times):
        await registry.ask(ChangeQueued("s1", TurnId(turn_id), message=str(number)))


async def test_a_turn_of_which_no_event_is_kept_ends_with_the_next_id_when_its_session_fails() -> None:
    """G7: what was published of those that wait has taken the room of its events."""
    agent = ScriptedAgent()
    async with opened(agent, log_events=4) as registry:
        receipt = await registry.send("s1", "hello")
        (await agent.run()).turn.emit("word", "a")
        waits = await registry.send("s1", "waits", strategy="enqueue")
        await _edited(registry, waits.turn_id, 4)
        stream = await registry.subscribe("s1", after=f"{receipt.epoch}-1")
        crash(registry)
        events = await read_to_end(stream)
        assert [event.id for event in events if event.id is not None] == [f"{receipt.epoch}-2"]
        assert events[-2].data["kept"] == f"{receipt.epoch}-1"


async def test_a_turn_whose_terminal_event_is_not_kept_has_no_second_one_when_its_session_fails() -> None:
    """G2, G7: what was published of those that wait has taken its room."""
    async with opened(done, log_events=4) as registry:
        receipt = await registry.send("s1", "hello")
        await receipt.result()
        waits = await registry.send("s1", "waits", after=60)
        await _edited(registry, waits.turn_id, 4)
        stream = await registry.subscribe("s1", after=f"{receipt.epoch}-1")
        crash(registry)
        events = await read_to_end(stream)
        assert [(event.name, event.id) for event in events[-2:]] == [
            ("turn.interrupted", None),
            ("close", None),
        ]
        assert not any(event.id for event in events)


async def test_a_coroutine_that_was_given_up_is_not_collected(clock: VirtualClock) -> None:
    """The loop holds tasks weakly, and the actor is gone."""
    cancels = 0

    async def agent(turn: Turn) -> None:
        nonlocal cancels
        while cancels < 3:
            try:
                await asyncio.get_running_loop().create_future()  # which nothing else holds
            except asyncio.CancelledError:
                cancels += 1

    async with opened(agent, cancel_grace=4) as registry:
        await registry.send("s1", "hello")
        await settle()
        crash(registry)
        await registry.session("s1")
        gc.collect()
        orphaned = registry._shared.orphaned_tasks  # type: ignore[union-attr]
        (task,) = orphaned
        assert cancels == 2
        task.cancel()
        await settle()
        assert cancels == 3
        assert not orphaned


async def test_an_effect_that_fails_leaves_no_asker_waiting(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    """G10: they are not in the session's state any more, and have not been answered yet."""

    def fail(*_: Any) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug of ours")

    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        cancelling = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        monkeypatch.setattr(Performer, "_end_turn", fail)
        for waiting in (cancelling, asyncio.create_task(receipt.ended())):
            with pytest.raises(SessionLost):
                await waiting


async def test_an_end_that_could_not_be_published_is_published_as_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G2: the record says so already."""

    def fail(*_: Any) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug of ours")

    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        monkeypatch.setattr(Performer, "_end_turn", fail)
        (await agent.run()).finish()
        assert names(await read_to_end(stream))[1:] == ["turn.started", "turn.completed", "close"]
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.COMPLETED


async def test_a_session_that_fails_once_it_is_closed_stays_closed() -> None:
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        await registry.close("s1")
        crash(registry)
        assert (await registry.session("s1")).state == "closed"
        with pytest.raises(SessionClosed):
            await registry.send("s1", "again")


async def test_a_cancel_that_came_before_its_send_survives_a_failure() -> None:
    """G4."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        await registry.cancel("s1", "mine")
        crash(registry)
        assert (await registry.send("s1", "hello", turn_id="mine")).status is TurnStatus.CANCELLED


async def test_a_cancel_without_an_asker_is_not_lost_on_a_session_that_has_just_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """G4: no asker is there to be told that it was."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        crash(registry)
        registry.ref.tell(Cancel("s1", "mine"))
        assert (await registry.send("s1", "hello", turn_id="mine")).status is TurnStatus.CANCELLED
    assert "could not be handled" not in caplog.text


async def test_all_that_wait_for_the_end_of_a_turn_are_answered_when_its_session_fails() -> None:
    """G10: of the turn in flight and of the one that waits, however often it was asked for."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        running = await registry.send("s1", "hello")
        run = await agent.run()
        queued = await registry.send("s1", "next", wait=False)
        waits = [registry.ask(AwaitTurn("s1", each.turn_id)) for each in (running, running, queued)]
        await run.cancelled.wait()
        await settle()
        assert not any(each.done() for each in waits)
        crash(registry)
        await settle()
        assert all(each.done() for each in waits)
        told = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(each) for each in told] == [SessionLost] * 3


async def test_mail_behind_the_message_that_fails_a_session_is_answered_as_lost() -> None:
    """G10: the server goes on, so this is no shutdown to those who asked."""
    async with opened(ScriptedAgent()) as registry:
        await registry.send("s1", "hello")
        crash(registry)
        entry = registry.directory.entries["s1"]  # type: ignore[index]
        assert entry.actor is not None
        asked = [entry.actor.ask(each, block=False) for each in (GetSession("s1"), AwaitTurn("s1", "a turn"))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in answers] == [SessionLost] * 2
        view = await registry.session("s1")
        assert [turn.status for turn in view.recent] == [TurnStatus.INTERRUPTED]


async def test_a_close_that_meets_a_failure_is_answered() -> None:
    """G10."""
    async with opened(ScriptedAgent()) as registry:
        await registry.send("s1", "hello")
        crash(registry)
        closing = registry.ask(Close("s1"))
        sending = registry.ask(Send("s1", "too late"))
        assert [type(each) for each in await asyncio.gather(closing, sending, return_exceptions=True)]
        assert closing.done()
        assert sending.done()


async def test_a_session_that_failed_and_whose_coroutine_does_not_end_holds_up_no_shutdown(
    clock: VirtualClock,
) -> None:
    """G10: its report would come when the grace is over, which is long after the deadline."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=100, shutdown_deadline=2) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        crash(registry)
        await settle()
        parked = registry.ask(Cancel("s1"))
        before = clock.elapsed
        await registry.stop()
        assert clock.elapsed - before == pytest.approx(2)
        with pytest.raises(ShuttingDown):
            await parked


async def test_a_stop_leaves_no_timer_of_a_session_that_failed_and_cancels_its_coroutine_again(
    clock: VirtualClock,
) -> None:
    """G10: what its timers hold would stay for the rest of the grace. G6: it is cancelled twice as ever."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=100, shutdown_deadline=2) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        crash(registry)
        await settle()
        assert run.cancels == 1
        await registry.stop()
        await settle()
        assert run.cancels == 2
        scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009
        assert [timer for timer in scheduled if not timer.cancelled()] == []


async def test_without_a_task_nothing_is_waited_for() -> None:
    events: list[str] = []
    when_ended(None, 5.0, lambda: events.append("at once"), set())
    assert events == ["at once"]


async def test_a_turn_that_a_failure_interrupts_is_followed_to_its_end_and_so_is_one_that_waits() -> None:
    """G2, G7."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        first = await registry.send("s1", "one", turn_id="t1")
        (await agent.run()).turn.emit("word", 1)
        second = await registry.send("s1", "two", turn_id="t2", wait=False)
        following = [asyncio.create_task(everything(receipt.events())) for receipt in (first, second, first)]
        await settle()
        crash(registry)
        await settle()
        agent.release()
        started, waiting, again = await asyncio.gather(*following)
        assert names(started) == names(again) == ["turn.started", "word", "turn.interrupted"]
        assert [event.n for event in started] == [0, 1, 2]
        assert names(waiting) == ["turn.interrupted"]


async def everything(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]
