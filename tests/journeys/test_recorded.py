"""Journeys over real HTTP: what was said is there later, though the agent does nothing but talk."""

from typing import Any

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import House, serving
from turnkeeper.actors.model.exceptions import AgentError
from turnkeeper.actors.turn.turn import Turn


async def messages(house: House) -> list[Any]:
    said: list[Any] = (await house.get("/chat/s/messages")).body["messages"]
    return said


async def talk(house: House, message: Any, **more: Any) -> str:
    """Send a message, follow its turn to the end, and give the turn's status."""
    task = await house.sent("s", message, **more)
    await house.get(f"/chat/s/turns/{task}/events")
    return str((await house.get(f"/chat/s/turns/{task}")).body["status"])


async def parrots(turn: Turn) -> str:
    """Say what there was before this message, and the message; it writes nothing down."""
    for each in [*turn.context.messages, {"content": turn.text}]:
        turn.emit("delta", {"text": f"<{each['content']}>"})
    return "done"


async def test_a_second_agent_sees_what_the_first_one_said_and_a_page_that_comes_later_too() -> None:
    async with serving(parrots) as house:
        await talk(house, "grüße 😀")
        await talk(house, [{"type": "text", "text": "and"}, {"type": "text", "text": " again"}])
        assert await messages(house) == [
            {"role": "user", "content": "grüße 😀"},
            {"role": "assistant", "content": "<grüße 😀>"},
            {"role": "user", "content": "and again"},
            {"role": "assistant", "content": "<grüße 😀><<grüße 😀>><and again>"},
        ]


async def test_after_a_stop_the_next_agent_learns_what_the_user_really_got() -> None:
    agent = ScriptedAgent()
    async with serving({"default": agent, "parrots": parrots}) as house:
        await house.sent("s", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        assert (await house.post("/chat/s/cancel_send_task")).body["verdict"] == "cancelled"
        said = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "one ", "cut_off": True},
        ]
        assert await messages(house) == said
        await talk(house, "go on", agent="parrots")
        reply = {"role": "assistant", "content": "<hello><one ><go on>"}
        assert await messages(house) == [*said, {"role": "user", "content": "go on"}, reply]


async def test_a_long_reply_is_kept_up_to_a_mebibyte_and_read_over_http() -> None:
    """G8."""

    async def agent(turn: Turn) -> None:
        for _ in range(33):
            turn.emit("delta", {"text": "ä" * 16_384})
            await turn.checkpoint()

    async with serving(agent) as house:
        await (await house.registry.send("s", "go on and on", user="local")).ended()
        kept = (await house.registry.messages("s")).messages[-1]
        assert (kept["content"], kept["cut_off"]) == ("ä" * 524_288, True)
        assert await house.counted("replies_cut_off_total") == 1
        asked, shown = await messages(house)
        assert asked == {"role": "user", "content": "go on and on"}
        assert shown["cut_off"] is True
        assert shown["content"][0].keys() == {"type", "bytes", "elided"}, "in quotes it is more than is shown"


async def test_a_message_that_is_tried_again_after_a_failure_is_there_once() -> None:
    class Overloaded(AgentError):
        code = "OVERLOADED"
        expected = True

    async def agent(turn: Turn) -> str:
        if fails:
            raise Overloaded
        return "hi"

    async with serving(agent) as house:
        fails = True
        assert await talk(house, "hello") == "failed"
        failed = {"role": "assistant", "content": "", "cut_off": True, "error": "overloaded"}
        assert await messages(house) == [{"role": "user", "content": "hello"}, failed]
        fails = False
        assert await talk(house, "hello") == "completed"
        assert await messages(house) == [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "hi"},
        ]


async def test_what_was_said_is_there_after_the_session_slept() -> None:
    async with serving(parrots) as house:
        await talk(house, "hello")
        assert (await house.post("/chat/cleanup_completed_tasks")).body["cleaned_up"] == ["s"]
        await talk(house, "again")
        assert [each["content"] for each in await messages(house)] == [
            "hello",
            "<hello>",
            "again",
            "<hello><<hello>><again>",
        ]
