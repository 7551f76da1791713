"""Receipts, and what a turn's end is to those who want its result."""

import asyncio
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle
from tests.turns import record
from turnkeeper.actors.model.exceptions import ResultNotKept, TurnCancelled, TurnFailed, TurnMerged
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import Raised, Returned, TurnError
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.actors.registry.receipt import failure_of, result_of


async def test_a_receipt_names_its_turn() -> None:
    async with opened() as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        assert (receipt.session_id, receipt.turn_id) == ("s1", "t1")
        assert (receipt.status, receipt.repeated) == (TurnStatus.RUNNING, False)
        assert "t1" in repr(receipt)
        other = await registry.send("s2", "hello")
        assert other.turn_id.startswith(registry.incarnation)


async def test_many_may_wait_for_one_end_and_giving_up_leaves_the_turn_alone() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        waits = [asyncio.create_task(receipt.result()) for _ in range(3)]
        await settle()
        waits[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits[0]
        assert not run.turn.cancel_requested
        run.finish("here")
        assert await asyncio.gather(*waits[1:]) == ["here", "here"]
        assert await receipt.result() == "here"


async def test_a_result_that_did_not_come_is_an_error_that_says_why(clock: VirtualClock) -> None:
    agent = ScriptedAgent(FOREVER)
    async with opened(agent, turn_timeout=60) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(TurnCancelled) as caught:
            await receipt.result()
        assert (caught.value.status, caught.value.turn_id) == ("unresponsive", receipt.turn_id)
        failing = await registry.send("s2", "hello")
        error = KeyError("x")
        agent.last.fail(error)
        with pytest.raises(TurnFailed) as failed:
            await failing.result()
        assert failed.value.__cause__ is error


async def test_giving_up_a_send_or_a_cancel_does_not_take_it_back() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "one")
        run = await agent.run()
        for call in (registry.cancel("s1"), registry.send("s1", "two", turn_id="t2")):
            task = asyncio.create_task(call)
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        run.finish()
        assert (await agent.run()).turn.turn_id == "t2"


def ended(status: TurnStatus, outcome: Any = None, error: TurnError | None = None) -> TurnEnd:
    return TurnEnd(record("t1", status=status, error=error), outcome)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_every_end_but_completed_is_a_failure_that_says_how_the_turn_ended(status: TurnStatus) -> None:
    failure = failure_of(ended(status))
    if status is TurnStatus.COMPLETED:
        assert failure is None
    else:
        assert failure is not None
        assert (failure.turn_id, failure.status) == ("t1", status)
        kinds = {TurnStatus.FAILED: TurnFailed, TurnStatus.MERGED: TurnMerged}
        assert type(failure) is kinds.get(status, TurnCancelled)


@pytest.mark.parametrize("status", sorted(set(TurnStatus) - TERMINAL))
def test_what_is_no_end_has_no_failure(status: TurnStatus) -> None:
    with pytest.raises(ValueError, match="no end"):
        failure_of(ended(status))


def test_the_failure_names_the_turns_code_and_what_the_agent_raised() -> None:
    error = KeyError("x")
    failure = failure_of(ended(TurnStatus.FAILED, Raised(error, "agent_error"), TurnError("agent_error")))
    assert str(failure) == "turn t1 failed: agent_error"
    assert failure is not None
    assert failure.__cause__ is error


def test_the_result_is_what_the_agent_returned_if_that_is_still_known() -> None:
    assert result_of(ended(TurnStatus.COMPLETED, Returned(7))) == 7
    with pytest.raises(ResultNotKept):
        result_of(ended(TurnStatus.COMPLETED))
    with pytest.raises(TurnCancelled):
        result_of(ended(TurnStatus.CANCELLED))
