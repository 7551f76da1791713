"""Who may move a turn that waits, and who may have it say something else."""

import pytest

from tests.fakes import ScriptedAgent, opened
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import NotYoursToEdit, PolicyNotAllowed
from turnkeeper.actors.model.messages import ChangeQueued, Send
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.words import MoveTo
from turnkeeper.actors.turn.agent import Agent

ROOT = Asker("root", sees_all=True)


@pytest.mark.parametrize("journal", [False, True])
async def test_a_message_is_changed_by_its_sender_an_admin_or_the_host_only(journal: bool) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=MemoryJournal() if journal else None) as registry:
        await registry.send("s1", "hello", user="ada", turn_id="t1")
        run = await agent.run()
        await registry.ask(Send("s1", "of root", ROOT, strategy="enqueue", turn_id="t2"))
        await registry.send("s1", "of ada", user="ada", strategy="enqueue", turn_id="t3")
        with pytest.raises(NotYoursToEdit) as refused:
            await registry.edit("s1", "t2", "in the name of root", user="ada")
        assert refused.value.turn_id == "t2"
        await registry.edit("s1", "t3", "rather this", user="ada")
        await registry.move("s1", "t2", "last", user="ada")
        assert [each.message for each in await registry.queue("s1")] == ["rather this", "of root"]
        await registry.ask(ChangeQueued("s1", "t3", ROOT, None, "an admin's"))
        await registry.edit("s1", "t2", "the host's")
        assert [each.message for each in await registry.queue("s1")] == ["an admin's", "the host's"]
        run.finish()


async def test_no_turn_is_moved_over_one_that_no_send_may_interrupt() -> None:
    agent = ScriptedAgent()
    async with opened(Agent(agent, strategy="enqueue", deny=("strategy",))) as registry:
        await registry.send("s1", "hello", user="ada", turn_id="t1")
        run = await agent.run()
        await registry.send("s1", "next", user="ada", turn_id="t2")
        await registry.send("s1", "later", user="ada", turn_id="t3", after=60)
        with pytest.raises(PolicyNotAllowed) as refused:
            await registry.move("s1", "t3", "now", user="ada")
        assert refused.value.field == "move"
        assert not run.turn.cancel_requested
        await registry.move("s1", "t3", "first", user="ada")
        await registry.ask(ChangeQueued("s1", "t3", ROOT, MoveTo.NOW))
        assert run.turn.cancel_requested, "an admin may"


async def test_a_turn_that_interrupts_by_its_policy_is_moved_whatever_a_send_may_say() -> None:
    agent = ScriptedAgent()
    async with opened(Agent(agent, deny=("strategy",))) as registry:
        await registry.send("s1", "hello", user="ada", turn_id="t1")
        run = await agent.run()
        await registry.send("s1", "later", user="ada", turn_id="t2", after=60)
        await registry.move("s1", "t2", "now", user="ada")
        assert run.turn.cancel_requested


async def test_a_turn_in_whose_way_nothing_is_may_always_start() -> None:
    agent = ScriptedAgent()
    async with opened(Agent(agent, strategy="reject", deny=("strategy",))) as registry:
        await registry.send("s1", "later", user="ada", turn_id="t1", after=60)
        await registry.move("s1", "t1", "now", user="ada")
        assert (await agent.run()).turn.turn_id == "t1"
