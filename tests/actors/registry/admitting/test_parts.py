"""An agent that says which parts it takes gets no others: a send, or an edit, with another is refused."""

import asyncio
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, done, opened, settle
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import NotWaiting, PartNotTaken, TurnIdReused, UnknownTurn
from turnkeeper.actors.registry.admitting.parts import refuse_parts
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

TEXT, IMAGE = {"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}
TAKES = {"coder": ("text",), "eye": ("text", "image_url"), "blind": ("input_audio",)}


@pytest.mark.parametrize(
    ("agent", "message", "part"),
    [
        ("coder", "hello", None),
        ("coder", [TEXT, TEXT], None),
        ("coder", [{"text": "no type"}], None),
        ("coder", [TEXT, IMAGE, {"type": "file"}], "image_url"),
        ("eye", [TEXT, IMAGE], None),
        ("eye", [IMAGE, {"type": "file"}], "file"),
        ("blind", "hello", "text"),
        ("blind", [{"type": "input_audio"}], None),
        ("coder", [{"type": None}], "None"),
        ("coder", [{"type": ["text"]}], "['text']"),
        ("coder", {"any": "thing"}, None),
        ("coder", 7, None),
        ("anyone", [IMAGE, {"type": 5}], None),
    ],
    ids=str,
)
def test_a_message_is_refused_by_the_first_part_that_its_agent_does_not_take(
    agent: str, message: Any, part: str | None
) -> None:
    if part is None:
        refuse_parts(TAKES, agent, message)
        return
    with pytest.raises(PartNotTaken) as caught:
        refuse_parts(TAKES, agent, message)
    error = caught.value
    assert (error.code, error.field, error.part, error.agent) == ("PART_NOT_TAKEN", "message", part, agent)
    assert repr(agent) in str(error)
    assert repr(part) in str(error)
    assert str(error).endswith(f"but: {', '.join(TAKES[agent])}")


def test_a_long_type_is_not_repeated_whole() -> None:
    with pytest.raises(PartNotTaken) as caught:
        refuse_parts(TAKES, "coder", [{"type": "x" * 10_000}])
    assert len(str(caught.value)) < 300


async def test_a_send_is_refused_before_anything_of_it_is_accepted() -> None:
    agent = ScriptedAgent()
    async with opened({"default": Agent(agent, takes=("text",)), "any": done}) as registry:
        with pytest.raises(PartNotTaken):
            await registry.send("s1", [IMAGE])
        assert (await registry.counts()).sessions == 0
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        with pytest.raises(PartNotTaken):
            await registry.send("s1", [TEXT, IMAGE], turn_id="t2")
        with pytest.raises(UnknownTurn):
            await registry.turn("s1", "t2")
        assert not run.turn.cancel_requested, "what is refused supersedes nothing"
        assert await (await registry.send("s2", [IMAGE], agent="any")).result() == "done: "


async def test_a_turn_that_sends_is_refused_as_well() -> None:
    async def parent(turn: Turn) -> str:
        try:
            await turn.send("s2", [IMAGE], agent="child")
        except PartNotTaken as error:
            return error.part
        return "taken"

    async with opened({"default": parent, "child": Agent(done, takes=("text",))}) as registry:
        assert await (await registry.send("s1", [IMAGE])).result() == "image_url"


@pytest.mark.parametrize("journal", [False, True])
async def test_a_turn_that_waits_is_given_no_part_that_its_agent_does_not_take(journal: bool) -> None:
    agent = ScriptedAgent()
    agents = {"default": Agent(agent, takes=("text",)), "any": agent}
    async with opened(agents, journal=MemoryJournal() if journal else None) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        await registry.send("s1", "next", turn_id="t2", strategy="enqueue")
        await registry.send("s1", "next", turn_id="t3", strategy="enqueue", agent="any")
        with pytest.raises(PartNotTaken):
            await registry.edit("s1", "t2", [TEXT, IMAGE])
        assert [each.message for each in await registry.queue("s1")] == ["next", "next"]
        await registry.edit("s1", "t2", [TEXT])
        await registry.edit("s1", "t3", [IMAGE])
        await registry.move("s1", "t2", "last")
        assert [each.message for each in await registry.queue("s1")] == [[IMAGE], [TEXT]]
        with pytest.raises(NotWaiting):
            await registry.edit("s1", "t1", [IMAGE])
        with pytest.raises(UnknownTurn):
            await registry.edit("s1", "t9", [IMAGE])
        run.finish()


async def test_an_edit_is_looked_at_when_it_is_decided_and_its_send_may_not_be_durable_before() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(Agent(agent, takes=("text",)), journal=journal) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        await agent.run()
        journal.hold()
        send = asyncio.create_task(registry.send("s1", "next", turn_id="t2", strategy="enqueue"))
        await settle()
        edit = asyncio.create_task(registry.edit("s1", "t2", [IMAGE]))
        await settle()
        assert not send.done()
        assert not edit.done()
        journal.let_go()
        await send
        with pytest.raises(PartNotTaken):
            await edit
        assert [each.message for each in await registry.queue("s1")] == ["next"]


async def test_a_retry_is_known_by_its_id_all_the_same() -> None:
    async with opened(Agent(done, takes=("text", "image_url"))) as registry:
        await registry.send("s1", [IMAGE], turn_id="t1")
        assert (await registry.send("s1", [IMAGE], turn_id="t1")).repeated
        with pytest.raises(TurnIdReused):
            await registry.send("s1", "other", turn_id="t1")


def test_the_registry_says_which_parts_its_agents_take() -> None:
    agents: Any = {"any": done, "coder": Agent(done, takes=["text"]), "default": Agent(done, takes={"text"})}
    registry = SessionRegistry(agents)
    assert (registry.takes(), registry.takes("coder"), registry.takes("any")) == (("text",), ("text",), None)
