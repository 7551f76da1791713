"""SessionRegistry and Receipt: the friendly front, on the loop."""

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, chatty, done, opened, plain, settle
from turnkeeper.actors.model.exceptions import (
    AlreadyStarted,
    BlockingCallOnLoop,
    ContextNotCopyable,
    InvalidRequest,
    LoopClosed,
    NoRegistry,
    TurnCancelled,
    TurnFailed,
    UnknownSession,
)
from turnkeeper.actors.model.messages import Cancel, GetCounts
from turnkeeper.actors.model.records import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry, open_registry
from turnkeeper.actors.turn.turn import Turn

# -- Life -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agents", [None, "agent", {}, {"a": None}, {1: done}, [done]], ids=plain)
def test_what_is_no_agent_is_refused_before_anything_opens(agents: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SessionRegistry(agents)
    assert caught.value.field == "agents"


async def test_the_agent_called_default_is_the_default_else_the_first() -> None:
    for names, default in ((("a", "default"), "default"), (("b", "a"), "b")):
        async with opened(dict.fromkeys(names, done)) as registry:
            receipt = await registry.send("s1", "hello")
            assert (await receipt.ended()).agent == default
            assert registry.agents[0] == default
            assert set(registry.agents) == set(names)


async def test_a_registry_is_started_once() -> None:
    registry = SessionRegistry(done)
    await registry.start()
    with pytest.raises(AlreadyStarted) as caught:
        await registry.start()
    assert caught.value.code == "ALREADY_STARTED"
    await registry.stop()
    with pytest.raises(AlreadyStarted):
        await registry.start()


async def test_a_registry_that_was_not_started_says_so_and_stops_harmlessly() -> None:
    registry = SessionRegistry(done)
    for use in (registry.send("s1", "hello"), registry.cancel("s1"), registry.counts()):
        with pytest.raises(LoopClosed, match="not been started"):
            await use
    assert not registry.accepting
    await registry.stop()


async def test_a_stop_may_be_given_up_and_repeated(clock: VirtualClock) -> None:
    """G10."""
    agent = ScriptedAgent(swallows=1)
    registry = await SessionRegistry(agent).start()
    await registry.send("s1", "hello")
    run = await agent.run()
    stopping = asyncio.create_task(registry.stop())
    await run.cancelled.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    run.finish()
    await registry.stop()
    await registry.stop()
    assert not registry.accepting


async def test_the_registry_that_is_open_on_the_loop_is_found() -> None:
    with pytest.raises(NoRegistry) as caught:
        open_registry()
    assert caught.value.code == "NO_REGISTRY"
    async with opened() as registry:
        assert open_registry() is registry
        with pytest.raises(NoRegistry, match="no event loop"):
            await asyncio.to_thread(open_registry)
    with pytest.raises(NoRegistry):
        open_registry()


async def test_a_registry_that_was_stopped_from_another_thread_is_not_open_any_more() -> None:
    async with opened() as registry:
        assert await asyncio.to_thread(registry.ref.stop)
        with pytest.raises(NoRegistry):
            open_registry()


async def test_of_several_registries_on_a_loop_the_one_opened_last_is_found_and_then_the_other_one() -> None:
    async with opened() as first:
        async with opened() as second:
            assert open_registry() is second
        assert open_registry() is first


async def test_every_loop_has_its_own_registry() -> None:
    async def elsewhere() -> Any:
        with pytest.raises(NoRegistry):
            open_registry()
        async with opened() as other:
            assert open_registry() is other
            return await (await other.send("s1", "there")).result()

    async with opened() as registry:
        assert await asyncio.to_thread(asyncio.run, elsewhere()) == "done: there"
        assert open_registry() is registry
        with pytest.raises(UnknownSession):
            await registry.session("s1")


async def test_a_blocking_ask_on_the_loop_is_refused_before_anything_is_sent() -> None:
    """G9."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        with pytest.raises(BlockingCallOnLoop, match="await"):
            registry.ref.ask(Cancel("s1"))
        await settle()
        assert not run.turn.cancel_requested


# -- Receipts ---------------------------------------------------------------------------------------


async def test_a_receipt_tells_which_turn_it_is() -> None:
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


# -- What was said ----------------------------------------------------------------------------------


async def test_the_messages_of_a_session_are_the_askers_own_copy() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append({"role": "user", "content": [turn.text]})

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        (mine,) = (await registry.messages("s1")).messages
        mine["content"].append("changed")
        (kept,) = (await registry.messages("s1")).messages
        assert kept == {"role": "user", "content": ["hello"]}


async def test_messages_that_cannot_be_copied_are_said_to_be() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append(threading.Lock())

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        with pytest.raises(ContextNotCopyable):
            await registry.messages("s1")


# -- Events -----------------------------------------------------------------------------------------


async def test_events_are_followed_until_the_loop_is_left() -> None:
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "3")
        await receipt.ended()
        seen: list[Any] = []
        async with aclosing(registry.events("s1", after=f"{receipt.epoch}-0")) as events:
            async for event in events:
                seen.append((event.name, event.n))
                if event.name == "turn.completed":
                    break
        assert seen == [("word", 1), ("word", 2), ("word", 3), ("turn.completed", 4)]
        await settle()
        assert (await registry.counts()).subscribers == 0


async def test_events_end_with_the_streams() -> None:
    async with opened(ScriptedAgent()) as registry:
        following = asyncio.create_task(collect(registry))
        await settle()
        await registry.send("s1", "hello")
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert (await following)[-2:] == ["turn.cancelled", "close"]


async def collect(registry: SessionRegistry) -> list[str]:
    return [event.name async for event in registry.events("s1")]


async def test_a_follower_that_is_cancelled_unsubscribes() -> None:
    async with opened() as registry:
        following = asyncio.create_task(collect(registry))
        await settle()
        assert (await registry.counts()).subscribers == 1
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        await settle()
        assert (await registry.counts()).subscribers == 0


async def test_a_follower_that_is_cancelled_twice_leaves_nothing_behind() -> None:
    """G8: nothing that is awaited on the way out may be needed for it."""
    async with opened() as registry:
        for _ in range(2_000):  # so that the answer takes a few passes
            registry.ref.tell(GetCounts())
        asked = asyncio.create_task(registry.subscribe("s1"))
        for _ in range(2):
            await asyncio.sleep(0)
            asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await settle()
        assert (await registry.counts()).subscribers == 0


@pytest.mark.parametrize("passes", range(6))
async def test_a_subscription_that_nobody_waits_for_any_more_is_given_back(passes: int) -> None:
    async with opened() as registry:
        asked = asyncio.create_task(registry.subscribe("s1"))
        await settle(passes)
        if asked.cancel():
            with pytest.raises(asyncio.CancelledError):
                await asked
        else:
            asked.result().close()
        await settle()
        assert (await registry.counts()).subscribers == 0
