"""The streams of a registry, for code on its event loop."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, opened, settle
from turnkeeper.actors.model.messages import GetCounts
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


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
async def test_a_subscription_whose_asker_has_given_up_is_closed(passes: int) -> None:
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


# -- At once ------------------------------------------------------------------------------------------


async def test_a_turns_coroutine_makes_its_first_step_before_its_sender_goes_on() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await settle()  # at rest, so that the send is answered at once
        for word in "first", "second":  # the second one supersedes
            receipt = await registry.send("s1", word)
            assert agent.last.turn.text == word
            assert receipt.status is TurnStatus.RUNNING


async def test_a_cancel_reaches_the_coroutine_before_the_loop_makes_a_pass() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        seen: list[bool] = []
        cancelling = asyncio.ensure_future(registry.cancel("s1"))
        asyncio.get_running_loop().call_soon(lambda: seen.append(agent.last.turn.cancel_requested))
        assert (await cancelling).verdict is Verdict.CANCELLED
        assert seen == [True]


@pytest.mark.parametrize("call", ["cancel", "send"])
async def test_what_a_turn_asks_is_not_handled_on_its_own_stack(call: str) -> None:
    """It may be deep, and what a handler meets there would be the end of a session."""

    async def agent(turn: Turn) -> None:
        turns.append(turn)
        if turn.text == "wait":
            await asyncio.Event().wait()
        elif turn.text == "ask":
            asking = (
                registry.cancel("s1", wait=False)
                if call == "cancel"
                else registry.send("s1", "hi", wait=False)
            )
            coroutine: Any = asking
            coroutine.send(None)  # as far as it gets by itself
            coroutine.close()
            seen.append(turns[0].cancel_requested)

    turns: list[Turn] = []
    seen: list[bool] = []
    async with opened(agent) as registry:
        await registry.send("s1", "wait")
        await (await registry.send("s2", "ask")).ended()
        assert seen == [False]
        await settle()
        assert turns[0].cancel_requested


async def test_asking_and_asking_for_what_is_answered_at_once_lets_the_loop_go_on() -> None:
    """G9."""
    async with opened(chatty) as registry:
        passes: list[int] = []

        def count() -> None:
            passes.append(1)
            loop.call_soon(count)

        loop = asyncio.get_running_loop()
        loop.call_soon(count)
        for _ in range(1_000):
            await registry.cancel("s1")
        assert len(passes) >= 3
