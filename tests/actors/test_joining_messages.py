"""Messages that come while a turn is in flight become one: the strategy collapse, from a send to its end."""

import json

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, VirtualClock, opened
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import TurnMerged
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.receipt import Receipt
from turnkeeper.actors.turn.agent import Agent

TWO = [{"type": "text", "text": "two"}, {"type": "text", "text": "\n\nthree"}]


async def sent(registry: SessionRegistry, turn_id: str, message: str, window: float = 0.0) -> Receipt:
    policy = {"collapse_window": window}
    return await registry.send("s1", message, turn_id=turn_id, strategy="collapse", policy=policy)


async def test_what_is_written_meanwhile_is_one_message_to_the_agent() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await sent(registry, "t1", "one")
        first = await agent.run()
        second, third = await sent(registry, "t2", "two"), await sent(registry, "t3", "three")
        assert (second.status, second.merged_into) == (TurnStatus.QUEUED, None)
        assert (third.status, third.merged_into) == (TurnStatus.MERGED, "t2")
        first.finish()
        run = await agent.run()
        assert (run.turn.turn_id, run.turn.message, run.turn.text) == ("t2", TWO, "two\n\nthree")
        run.finish("both")
        assert await second.result() == "both"
        asked = (await registry.messages("s1")).messages[-2]
        assert asked == {"role": "user", "content": "two\n\nthree"}, "as two messages, to the next turn too"


async def test_the_result_of_a_joined_message_names_the_turn_that_has_it() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await sent(registry, "t1", "one")
        await sent(registry, "t2", "two")
        for receipt in (await sent(registry, "t3", "three"), await sent(registry, "t3", "three")):
            record = await receipt.ended()
            assert (record.status, record.merged_into, record.began) == (TurnStatus.MERGED, "t2", False)
            with pytest.raises(TurnMerged, match="turn t2 has its message") as caught:
                await receipt.result()
            assert caught.value.merged_into == "t2"


async def test_readers_hear_of_a_joined_message_once_and_without_an_id() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await sent(registry, "t1", "one")
        await sent(registry, "t2", "two")
        subscription = await registry.subscribe("s1")
        assert [event.name for event in await subscription.read()] == ["snapshot"]
        await sent(registry, "t3", "three")
        read = await subscription.read()
        (merged,) = [event for event in read if event.name == "turn.merged"]
        assert merged.id is None
        data = json.loads(merged.json)
        assert (data["task_id"], data["status"], data["merged_into"]) == ("t3", "merged", "t2")


async def test_a_window_in_an_idle_session_collects_what_comes_until_its_end(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await sent(registry, "t2", "two", window=2.0)
        await clock.advance(1.0)
        assert (await sent(registry, "t3", "three", window=2.0)).merged_into == "t2"
        assert not agent.runs
        await clock.advance(1.0)
        run = await agent.run()
        assert run.turn.message == TWO


@pytest.mark.parametrize("window", [0.0, 50.0])
async def test_what_has_joined_outlives_the_process(clock: VirtualClock, window: float) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(Agent(agent), journal=journal) as registry:
        await sent(registry, "t1", "one")
        first = await agent.run()
        await sent(registry, "t2", "two", window)
        await sent(registry, "t3", "three", window)
        left: MemoryJournal = journal.after_a_kill()
        first.finish()
        agent.release()
    again = ScriptedAgent()
    async with opened(Agent(again), journal=left) as registry:
        assert (await registry.turn("s1", "t3")).merged_into == "t2"
        assert (await sent(registry, "t3", "three")).merged_into == "t2", "a retry is answered as before"
        await clock.advance(window)
        run = await again.run()
        assert (run.turn.turn_id, run.turn.message) == ("t2", TWO)
        again.release()
