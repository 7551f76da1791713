"""What one can ask of a registry, from code on its event loop."""

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, opened, settle
from turnkeeper.actors.model.exceptions import ContextNotCopyable
from turnkeeper.actors.model.messages import GetCounts
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


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
