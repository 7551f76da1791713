"""What one can ask of a registry, from code on its event loop."""

import asyncio
import copy
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, opened, remembering, settle
from turnkeeper.actors.model.exceptions import ReadOnlyMessage
from turnkeeper.actors.model.messages import GetCounts
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


async def test_the_messages_of_a_session_are_those_that_are_kept_and_read_only() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append({"role": "user", "content": [turn.text]})

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        (said,) = (await registry.messages("s1")).messages
        with pytest.raises(ReadOnlyMessage):
            said["content"].append("changed")
        assert (await registry.messages("s1")).messages[0] is said
        mine = copy.deepcopy(said)
        mine["content"].append("changed")
        assert said == {"role": "user", "content": ["hello"]}


async def test_a_conversation_is_bounded_and_the_registry_counts_what_was_dropped() -> None:
    """G8."""
    bounds = {"conversation_messages": 3, "contexts": 1}
    async with opened(remembering, **bounds) as registry:
        for word in "abcde":
            await (await registry.send("s1", word)).ended()
        conversation = await registry.messages("s1")
        assert (conversation.messages, conversation.omitted) == (("c", "d", "e"), 2)
        assert await (await registry.send("s1", "f")).result() == ["c", "d", "e"]
        await (await registry.send("s2", "g")).ended()
        counted = (await registry.counts()).counters
        assert (counted["messages_omitted_total"], counted["conversations_forgotten_total"]) == (3, 1)


async def test_a_conversation_is_bounded_in_bytes_and_its_newest_message_is_kept() -> None:
    """G8."""
    async with opened(remembering, conversation_bytes=10_000) as registry:
        for size in (4_000, 5_000, 6_000, 20_000):
            await (await registry.send("s1", "x" * size)).ended()
        conversation = await registry.messages("s1")
        assert ([len(text) for text in conversation.messages], conversation.omitted) == ([20_000], 3)


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
