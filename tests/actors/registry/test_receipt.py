"""Receipts."""

import asyncio

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle
from turnkeeper.actors.model.exceptions import TurnCancelled, TurnFailed
from turnkeeper.actors.model.words import TurnStatus


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
