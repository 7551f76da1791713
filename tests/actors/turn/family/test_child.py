"""One turn that another one has sent for, as that one holds it."""

from typing import Any

from tests.fakes import ScriptedAgent, opened, settle
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.turn.family.child import Child
from turnkeeper.actors.turn.turn import Turn


class Parent:
    """An agent that begins one child, and returns what the scripted one does."""

    def __init__(self) -> None:
        self.scripted = ScriptedAgent()
        self.children: list[Child] = []

    async def __call__(self, turn: Turn) -> Any:
        self.children.append(await turn.begin("s2", turn.text, agent="child"))
        return await self.scripted(turn)


async def test_a_child_says_which_turn_it_is() -> None:
    parent, agent = Parent(), ScriptedAgent()
    async with opened({"default": parent, "child": agent}) as registry:
        await registry.send("s1", "go")
        run = await agent.run()
        (child,) = parent.children
        assert (child.session_id, child.turn_id) == ("s2", run.turn.turn_id)
        assert (child.ref.session_id, child.ref.turn_id) == ("s2", run.turn.turn_id)
        assert repr(child) == f"<Child {child.turn_id} in s2>"
        parent.scripted.release()
        agent.release()


async def test_its_end_is_there_for_all_who_ask_also_later() -> None:
    parent, agent = Parent(), ScriptedAgent()
    async with opened({"default": parent, "child": agent}) as registry:
        await registry.send("s1", "go")
        (await agent.run()).finish(7)
        await settle()
        (child,) = parent.children
        assert (await child.ended()).status is TurnStatus.COMPLETED
        assert (await child.end()).turn == await child.ended()
        assert await child.result() == 7
        assert (await child.cancel()).verdict is Verdict.FINISHED_FIRST
        parent.scripted.release()


async def test_what_has_ended_is_given_up_without_a_word() -> None:
    parent, agent = Parent(), ScriptedAgent()
    async with opened({"default": parent, "child": agent}) as registry:
        await registry.send("s1", "go")
        (await agent.run()).finish(7)
        await settle()
        parent.children[0].give_up()
        assert registry.ref.actor_inbox.empty()
        parent.scripted.release()


async def test_a_child_whose_session_is_lost_is_over_for_its_parent() -> None:
    parent, agent = Parent(), ScriptedAgent()
    async with opened({"default": parent, "child": agent}) as registry:
        receipt = await registry.send("s1", "go")
        await agent.run()
        entry = registry.directory.entries[parent.children[0].session_id]
        assert entry.actor is not None
        entry.actor.tell("what no session understands")
        await settle()
        parent.scripted.release()
        assert (await receipt.ended()).status is TurnStatus.COMPLETED
