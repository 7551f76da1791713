"""Hooks that undo a turn: registered, called in their order, and what is said of how that went."""

import asyncio
from typing import Any

import pytest

from tests.fakes import VirtualClock, opened, settle
from turnkeeper.actors.model.exceptions import TurnOver, WaitsForItself
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.words import Rollback, TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import UndoneTurn

CALLED: list[Any] = []


@pytest.fixture(autouse=True)
def _called() -> None:
    CALLED.clear()


async def agent(turn: Turn) -> str:
    """Remembers what it is sent, and registers two hooks."""
    turn.context.messages.append({"role": "user", "content": turn.text})
    turn.context.data["last"] = turn.text

    @turn.on_rollback
    def first() -> None:
        CALLED.append(f"first of {turn.turn_id}")

    @turn.on_rollback
    async def second() -> None:
        await asyncio.sleep(0)
        CALLED.append(f"second of {turn.turn_id}")

    if turn.text == "wait":
        await asyncio.Event().wait()
    return "done"


async def undo(registry: SessionRegistry) -> Any:
    """Send a turn that waits, and roll it back; the receipt of the second one."""
    await registry.send("s1", "wait", turn_id="t1")
    await settle()
    receipt = await registry.send("s1", "now", turn_id="t2", strategy="rollback")
    await receipt.result()
    return receipt


async def test_hooks_run_in_reverse_order_after_the_turn_and_the_hosts_own_comes_last() -> None:
    undone: list[UndoneTurn] = []

    async def host(turn: UndoneTurn) -> None:
        CALLED.append("host")
        undone.append(turn)

    async with opened(agent, on_rollback=host) as registry:
        receipt = await undo(registry)
        assert CALLED == ["second of t1", "first of t1", "host"]
        (turn,) = undone
        assert (turn.session_id, turn.turn_id, turn.message, turn.status) == (
            "s1",
            "t1",
            "wait",
            TurnStatus.CANCELLED,
        )
        assert receipt.superseded.rolled_back is True
        assert (await registry.turn("s1", "t1")).rollback is Rollback.DONE


async def test_the_conversation_is_as_it_was_when_the_turn_began() -> None:
    async with opened(agent) as registry:
        await (await registry.send("s1", "before")).result()
        await undo(registry)
        said = [message["content"] for message in (await registry.messages("s1")).messages]
        assert said == ["before", "now"]


async def test_what_a_recorder_would_keep_of_it_is_not_kept_either() -> None:
    async def speaks(turn: Turn) -> str:
        turn.emit("delta", {"text": "half"})
        if turn.text == "wait":
            await asyncio.Event().wait()
        return "done"

    async with opened(speaks) as registry:
        await undo(registry)
        said = [message["content"] for message in (await registry.messages("s1")).messages]
        assert said == ["now", "half"]


async def test_a_hook_that_fails_makes_it_undone_in_part() -> None:
    async def fails(turn: UndoneTurn) -> None:
        raise ValueError("no")

    async with opened(agent, on_rollback=fails) as registry:
        receipt = await undo(registry)
        assert receipt.superseded.rolled_back is False
        assert receipt.superseded.rollback is Rollback.PARTLY
        assert registry.meter.counts()["rollback_hooks_failed_total"] == 1


async def test_a_hook_that_hangs_is_cancelled_when_its_time_is_up(clock: VirtualClock) -> None:
    async def hangs(turn: UndoneTurn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            CALLED.append("host is cancelled")

    async with opened(agent, on_rollback=hangs) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        sending = asyncio.ensure_future(registry.send("s1", "now", strategy="rollback"))
        await clock.advance(4.9)
        assert not sending.done()
        await clock.advance(0.2)
        receipt = await sending
        assert "host is cancelled" in CALLED
        assert receipt.superseded.rollback is Rollback.PARTLY
        assert registry.meter.counts()["rollback_hooks_overdue_total"] == 1


async def test_a_hook_may_neither_emit_nor_wait_for_its_own_session() -> None:
    raised: list[type[Exception]] = []

    async def tries(turn: Turn) -> str:
        async def hook() -> None:
            for attempt in (
                lambda: turn.emit("x"),
                lambda: turn.on_rollback(lambda: None),
            ):
                try:
                    attempt()
                except TurnOver as error:
                    raised.append(type(error))
            try:
                await registry.cancel("s1")
            except WaitsForItself as error:
                raised.append(type(error))

        turn.on_rollback(hook)
        if turn.text == "wait":
            await asyncio.Event().wait()
        return "done"

    async with opened(tries) as registry:
        receipt = await undo(registry)
        assert raised == [TurnOver, TurnOver, WaitsForItself]
        assert receipt.superseded.rolled_back is True


async def test_a_hook_may_send_into_its_own_session_but_not_wait_for_that() -> None:
    """What it sends takes its place as any send does, and starts when all is undone."""
    answers: list[Any] = []

    async def sends(_turn: UndoneTurn) -> None:
        try:
            await registry.send("s1", "never")
        except WaitsForItself as error:
            answers.append(error)
        answers.append(await registry.send("s1", "sorry", strategy="enqueue", wait=False))

    async with opened(agent, on_rollback=sends) as registry:
        receipt = await undo(registry)
        assert receipt.superseded.rolled_back is True
        refused, sent = answers
        assert isinstance(refused, WaitsForItself)
        assert (sent.status, await sent.result()) == (TurnStatus.QUEUED, "done")
        assert await contents(registry) == ["now", "sorry"]


async def contents(registry: SessionRegistry) -> list[str]:
    return [message["content"] for message in (await registry.messages("s1")).messages]


async def test_a_rollback_that_comes_due_later_undoes_what_runs_then(clock: VirtualClock) -> None:
    async with opened(agent) as registry:
        await (await registry.send("s1", "before")).result()
        later = await registry.send("s1", "now", turn_id="t2", strategy="rollback", after=10)
        await registry.send("s1", "wait", turn_id="t1")
        await clock.advance(9.9)
        assert CALLED == []
        await clock.advance(0.2)
        assert CALLED == ["second of t1", "first of t1"]
        assert (await registry.turn("s1", "t1")).rollback is Rollback.DONE
        assert await later.result() == "done"
        assert [message["content"] for message in (await registry.messages("s1")).messages] == [
            "before",
            "now",
        ]


async def test_a_rollback_that_comes_due_where_nothing_runs_undoes_nothing(clock: VirtualClock) -> None:
    async with opened(agent) as registry:
        later = await registry.send("s1", "now", strategy="rollback", after=10)
        await (await registry.send("s1", "before")).result()
        await clock.advance(10)
        assert await later.result() == "done"
        assert CALLED == []
        assert [message["content"] for message in (await registry.messages("s1")).messages] == [
            "before",
            "now",
        ]


async def test_the_context_of_a_turn_that_is_undone_is_not_saved() -> None:
    saved: list[Any] = []

    async def save(context: Any) -> None:
        saved.append(context.data["last"])

    async with opened(agent, save_context=save) as registry:
        await undo(registry)
        assert saved == ["now"]


async def test_no_hook_is_called_of_a_turn_that_is_only_interrupted() -> None:
    async with opened(agent) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        receipt = await registry.send("s1", "now")
        await receipt.result()
        assert CALLED == []
        assert receipt.superseded is not None
        assert receipt.superseded.rolled_back is False


async def test_a_cancel_while_it_is_undone_is_answered_after_that() -> None:
    gate = asyncio.Event()

    async def held(turn: UndoneTurn) -> None:
        await gate.wait()

    async with opened(agent, on_rollback=held) as registry:
        await registry.send("s1", "wait", turn_id="t1")
        await settle()
        await registry.send("s1", "now", strategy="rollback", wait=False)
        await settle()
        asking = asyncio.ensure_future(registry.cancel("s1", "t1"))
        await settle()
        assert not asking.done()
        gate.set()
        answer: CancelAnswer = await asking
        assert answer.turn is not None
        assert answer.turn.rollback is Rollback.DONE
