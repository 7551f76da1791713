"""What is called when a turn was stopped: `on_cancel`."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, inside, opened, settle
from turnkeeper.actors.model.exceptions import InvalidRequest, TurnOver, WaitsForItself
from turnkeeper.actors.model.records import Reason, TurnOptions
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

Setup = Callable[[Turn], None]


def agent_with(setup: Setup, *said: str, writes: bool = False) -> Callable[[Turn], Any]:
    """An agent that sets itself up, says something, and waits if it is told to; or it returns."""

    async def agent(turn: Turn) -> str:
        setup(turn)
        if writes:
            turn.context.messages.append({"role": "user", "content": turn.text})
        for text in said:
            turn.emit("delta", {"text": text})
        if turn.text == "wait":
            await asyncio.Event().wait()
        if turn.text == "fail":
            raise ValueError("no")
        return "done"

    return agent


async def contents(registry: SessionRegistry) -> list[Any]:
    return [message["content"] for message in (await registry.messages("s1")).messages]


async def stopped(registry: SessionRegistry) -> TurnStatus:
    await registry.send("s1", "wait", turn_id="t1")
    await settle()
    await registry.cancel("s1", "t1")
    return (await registry.turn("s1", "t1")).status


async def test_it_is_called_with_why_and_what_was_published_in_the_order_of_registration() -> None:
    called: list[Any] = []

    def setup(turn: Turn) -> None:
        @turn.on_cancel
        async def first(reason: Reason, partial: str) -> None:
            await asyncio.sleep(0)
            called.append(("first", reason.code, partial))

        turn.on_cancel(lambda _reason, partial: called.append(("second", partial)))

    async with opened(agent_with(setup, "one ", "two")) as registry:
        assert await stopped(registry) is TurnStatus.CANCELLED
    assert called == [("first", CancelCode.USER_REQUEST, "one two"), ("second", "one two")]


@pytest.mark.parametrize("text", ["done", "fail"])
async def test_it_is_not_called_of_a_turn_that_was_not_cancelled(text: str) -> None:
    called: list[str] = []

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, partial: called.append(partial))

    async with opened(agent_with(setup)) as registry:
        end = await (await registry.send("s1", text)).end()
        assert end.turn.status is (TurnStatus.COMPLETED if text == "done" else TurnStatus.FAILED)
    assert called == []


async def test_it_is_not_called_of_a_turn_that_finished_first() -> None:
    called: list[str] = []
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        inside(run.turn).run(run.turn.on_cancel, lambda _reason, partial: called.append(partial))
        asking = asyncio.ensure_future(registry.cancel("s1", "t1"))
        await run.cancelled.wait()
        run.finish("done")
        assert (await asking).verdict is Verdict.FINISHED_FIRST
    assert called == []


async def test_it_is_called_of_a_turn_that_failed_when_it_cleaned_up() -> None:
    called: list[str] = []
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        inside(run.turn).run(run.turn.on_cancel, lambda reason, _partial: called.append(reason.code))
        asking = asyncio.ensure_future(registry.cancel("s1", "t1"))
        await run.cancelled.wait()
        run.fail(ValueError("no"))
        assert (await asking).turn.status is TurnStatus.FAILED
    assert called == [CancelCode.USER_REQUEST]


async def test_it_is_called_of_a_turn_whose_time_was_up(clock: VirtualClock) -> None:
    called: list[str] = []

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda reason, _partial: called.append(reason.code))

    async with opened(agent_with(setup), turn_timeout=3) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await clock.advance(3.1)
        assert (await registry.turn("s1", "t1")).status is TurnStatus.TIMED_OUT
    assert called == [CancelCode.TIMEOUT]


# -- The conversation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", [False, True], ids=["recorded", "written by the agent"])
async def test_it_finds_the_conversation_as_it_will_be_kept_and_may_change_it(writes: bool) -> None:
    found: list[Any] = []

    def setup(turn: Turn) -> None:
        def hook(_reason: Reason, partial: str) -> None:
            found.extend(message["content"] for message in turn.context.messages)
            turn.context.messages.append({"role": "assistant", "content": f"{partial} (stopped)"})

        turn.on_cancel(hook)

    async with opened(agent_with(setup, "half", writes=writes)) as registry:
        await stopped(registry)
        assert found == (["wait"] if writes else ["wait", "half"])
        assert await contents(registry) == [*found, "half (stopped)"]


async def test_after_its_hooks_the_context_is_closed(clock: VirtualClock) -> None:
    turns: list[Turn] = []

    def setup(turn: Turn) -> None:
        turns.append(turn)
        turn.on_cancel(lambda _reason, _partial: turn.context.messages.append("a note"))

    async with opened(agent_with(setup)) as registry:
        await stopped(registry)
        with pytest.raises(TurnOver):
            turns[0].context.messages.append("too late")
        assert (await registry.messages("s1")).messages[-1] == "a note"


async def test_after_its_hooks_were_cut_short_the_context_is_closed(clock: VirtualClock) -> None:
    turns: list[Turn] = []

    def setup(turn: Turn) -> None:
        turns.append(turn)

        @turn.on_cancel
        async def hook(_reason: Reason, _partial: str) -> None:
            turn.context.messages.append("a note")
            try:
                await asyncio.Event().wait()
            finally:
                with pytest.raises(TurnOver):
                    turn.context.messages.append("too late")
                turns.append(turn)

    async with opened(agent_with(setup)) as registry:
        await stopped(registry)
        assert len(turns) == 2
        assert (await registry.messages("s1")).messages[-1] == "a note"


async def test_of_a_turn_that_was_given_up_the_conversation_may_not_be_changed(clock: VirtualClock) -> None:
    called: list[str] = []
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        turn = (await agent.run()).turn
        turn.emit("delta", {"text": "half"})

        def hook(_reason: Reason, partial: str) -> None:
            called.append(partial)
            with pytest.raises(TurnOver):
                turn.context.messages.append("a note")

        inside(turn).run(turn.on_cancel, hook)
        answer = await registry.cancel("s1", "t1")
        assert (answer.verdict, called) == (Verdict.UNRESPONSIVE, ["half"])
        assert await contents(registry) == ["hello", "half"]


async def test_its_late_end_may_come_while_its_hooks_run(clock: VirtualClock) -> None:
    """G6: it is noted, and changes nothing of how the turn has ended."""
    agent, gate = ScriptedAgent(swallows=FOREVER), asyncio.Event()
    async with opened(agent, cancel_grace=2) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        inside(run.turn).run(run.turn.on_cancel, lambda _reason, _partial: gate.wait())
        asking = asyncio.ensure_future(registry.cancel("s1", "t1"))
        await clock.advance(2.5)
        run.finish("late")
        await clock.advance(0.1)
        assert not asking.done()
        gate.set()
        answer = await asking
        assert answer.verdict is Verdict.UNRESPONSIVE
        record = await registry.turn("s1", "t1")
        assert record.ended_late is not None
        assert record.ended_late.outcome is TurnStatus.COMPLETED
        assert not run.turn.own.winds_up


async def test_what_a_host_keeps_is_saved_again_after_the_hooks() -> None:
    saved: list[list[Any]] = []

    async def save(context: Any) -> None:
        saved.append(list(context.messages))

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: turn.context.messages.append("a note"))

    async with opened(agent_with(setup, writes=True), save_context=save) as registry:
        await stopped(registry)
    asked = {"role": "user", "content": "wait"}
    assert saved == [[asked], [asked, "a note"]]


async def test_a_context_that_the_caller_has_brought_is_not_saved() -> None:
    saved: list[Any] = []

    async def save(context: Any) -> None:
        saved.append(context)

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: None)

    async with opened(agent_with(setup), save_context=save) as registry:
        options = TurnOptions(35, Context("s1", "local"))
        await registry.send("s1", "wait", turn_id="t1", options=options)
        await settle()
        await registry.cancel("s1", "t1")
    assert saved == []


async def test_of_what_a_journal_cannot_write_nothing_is_kept_but_the_record(clock: VirtualClock) -> None:
    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: turn.context.messages.append(object()))

    async with opened(agent_with(setup, "half"), journal=SlowJournal()) as registry:
        assert await stopped(registry) is TurnStatus.CANCELLED
        assert await contents(registry) == ["wait", "half"]
        assert registry.meter.counts()["cancel_hooks_failed_total"] == 1


# -- The text ---------------------------------------------------------------------------------------------


async def test_the_text_is_whole_where_nothing_is_recorded_and_the_hook_comes_late() -> None:
    called: list[str] = []

    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": f"{turn.text}: one "})
        if turn.text == "wait":
            turn.on_cancel(lambda _reason, partial: called.append(partial))
            turn.emit("delta", {"text": "two"})
            await asyncio.Event().wait()

    async with opened(Agent(agent, record=False)) as registry:
        await (await registry.send("s1", "before")).end()
        await stopped(registry)
    assert called == ["wait: one two"]


# -- Hooks that misbehave ---------------------------------------------------------------------------------


async def test_one_that_fails_stops_none_of_the_others_and_changes_no_status() -> None:
    called: list[str] = []

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: 1 // 0)
        turn.on_cancel(lambda _reason, _partial: called.append("second"))

    async with opened(agent_with(setup)) as registry:
        assert await stopped(registry) is TurnStatus.CANCELLED
        assert called == ["second"]
        assert registry.meter.counts()["cancel_hooks_failed_total"] == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_one_that_would_end_the_process_fails_like_any_other(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """G14."""
    monkeypatch.setattr("turnkeeper.actors.turn.exits.is_operators", lambda _error: False)

    def setup(turn: Turn) -> None:
        def hook(_reason: Reason, _partial: str) -> None:
            raise error

        turn.on_cancel(hook)

    async with opened(agent_with(setup)) as registry:
        assert await stopped(registry) is TurnStatus.CANCELLED
        assert registry.meter.counts()["cancel_hooks_failed_total"] == 1


@pytest.mark.parametrize("swallows", [False, True])
async def test_one_that_never_returns_is_cut_short_and_its_successor_starts_then(
    swallows: bool, clock: VirtualClock
) -> None:
    """G6."""

    def setup(turn: Turn) -> None:
        @turn.on_cancel
        async def hook(_reason: Reason, _partial: str) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not swallows:
                    raise

        turn.on_cancel(lambda _reason, _partial: None)

    async with opened(agent_with(setup), wind_grace=2) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        sending = asyncio.ensure_future(registry.send("s1", "next", turn_id="t2"))
        await clock.advance(1.9)
        assert not sending.done()
        await clock.advance(0.2)
        receipt = await sending
        assert receipt.superseded.verdict is Verdict.CANCELLED
        assert registry.meter.counts()["cancel_hooks_overdue_total"] == 2


async def test_one_may_neither_emit_nor_register_nor_wait_for_its_own_session() -> None:
    raised: list[type[Exception]] = []

    def setup(turn: Turn) -> None:
        @turn.on_cancel
        async def hook(_reason: Reason, _partial: str) -> None:
            for attempt in (
                lambda: turn.emit("x"),
                lambda: turn.set_title("x"),
                lambda: turn.on_cancel(lambda _reason, _partial: None),
            ):
                with pytest.raises(TurnOver) as refused:
                    attempt()
                raised.append(refused.type)
            with pytest.raises(WaitsForItself) as itself:
                await registry.cancel("s1")
            raised.append(itself.type)

    async with opened(agent_with(setup)) as registry:
        await stopped(registry)
        assert raised == [TurnOver, TurnOver, TurnOver, WaitsForItself]
        assert "cancel_hooks_failed_total" not in registry.meter.counts()


async def test_one_may_send_into_its_own_session() -> None:
    sent: list[Any] = []

    def setup(turn: Turn) -> None:
        if turn.text != "wait":
            return

        @turn.on_cancel
        async def hook(_reason: Reason, _partial: str) -> None:
            sent.append(await registry.send("s1", "next", strategy="enqueue", wait=False))

    async with opened(agent_with(setup)) as registry:
        await stopped(registry)
        assert await sent[0].result() == "done"


@pytest.mark.parametrize("hook", [lambda: None, lambda reason: None, "no", None])
async def test_what_cannot_be_called_with_a_reason_and_a_text_is_refused(hook: Any) -> None:
    refused: list[str] = []

    def setup(turn: Turn) -> None:
        with pytest.raises(InvalidRequest) as error:
            turn.on_cancel(hook)
        refused.append(str(error.value))

    async with opened(agent_with(setup)) as registry:
        await (await registry.send("s1", "hello")).end()
    assert len(refused) == 1
    assert refused[0].startswith("on_cancel cannot be called")


# -- The ends of more than a turn -------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["shutdown", "close"])
async def test_it_is_called_at_a_shutdown_and_at_a_close(end: str, clock: VirtualClock) -> None:
    called: list[Any] = []

    def setup(turn: Turn) -> None:
        @turn.on_cancel
        async def hook(reason: Reason, _partial: str) -> None:
            await asyncio.sleep(0.1)
            called.append(reason.code)

    async with opened(agent_with(setup)) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        if end == "close":
            await registry.close("s1")
    assert called == [CancelCode.SHUTDOWN if end == "shutdown" else CancelCode.SESSION_CLOSED]


async def test_one_that_never_returns_does_not_hold_up_a_shutdown(clock: VirtualClock) -> None:
    """G10."""

    def setup(turn: Turn) -> None:
        turn.on_cancel(lambda _reason, _partial: asyncio.Event().wait())

    async with opened(agent_with(setup), wind_grace=60, shutdown_deadline=4) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        began = clock.elapsed
        await registry.stop()
        assert clock.elapsed - began <= 4
