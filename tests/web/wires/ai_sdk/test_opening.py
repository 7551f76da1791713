"""What a page opens a chat with, over HTTP, while its turns come and go."""

import asyncio
from typing import Any

import pytest

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import by_token, serving
from tests.web.wires.ai_sdk.chats import ChatApi
from turnkeeper.actors import Agent, Context
from turnkeeper.actors.model.messages import Conversation, GetMessages
from turnkeeper.web.http.call import Call
from turnkeeper.web.wires.ai_sdk import opening

SPEAKS: dict[str, Any] = {"speaks": ["ai-sdk"]}
IMAGE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64," + "A" * 70_000}


def told(opened: dict[str, Any]) -> list[tuple[str, str]]:
    """Who has said what."""
    messages = opened["messages"]
    return [(each["role"], "".join(part.get("text", "") for part in each["parts"])) for each in messages]


async def test_a_chat_that_no_one_has_written_in_is_opened_empty() -> None:
    async with serving(ScriptedAgent(), **SPEAKS) as house:
        assert await ChatApi(house).opened() == {"messages": [], "omitted": 0, "activeStreamId": None}
        assert (await house.get("/api/chat/a%20b")).status == 422


async def test_the_message_whose_reply_is_on_its_way_is_shown_and_names_the_reply() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent("first") as reply:
            (await agent.run()).finish("done")
            await reply.whole()
        async with chat.sent("second", "m2") as reply:
            run = await agent.run()
            run.turn.emit("delta", {"text": "so far"})
            await reply.of_kind("text-delta")
            during = await chat.opened()
            async with chat.resumed(query=f"?activeStreamId={during['activeStreamId']}") as resumed:
                run.finish()
                assert (await resumed.whole()).text == (await reply.whole()).text == "so far"
        after = await chat.opened()
    assert during["activeStreamId"] == reply.turn_id
    assert told(during) == [("user", "first"), ("assistant", "done"), ("user", "second")]
    assert [each["id"] for each in during["messages"]] == ["before-0", "before-1", "before-2"]
    assert during["messages"][-1]["metadata"] == {"activeStreamId": reply.turn_id}
    assert told(after) == [*told(during), ("assistant", "so far")]
    assert (after["messages"][2]["id"], after["activeStreamId"]) == ("before-2", None)
    assert not any("metadata" in each for each in after["messages"])


async def test_a_message_that_waits_for_room_is_shown_before_it_has_started() -> None:
    agent = ScriptedAgent()
    async with serving(agent, max_in_flight_in_all=1, on_cap="wait", **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent("elsewhere", chat="c2") as elsewhere:
            first = await agent.run()
            async with chat.sent("here") as here:
                opened = await chat.opened()
                first.finish()
                await elsewhere.whole()
                (await agent.run()).finish()
                await here.whole()
    assert (told(opened), opened["activeStreamId"]) == ([("user", "here")], here.turn_id)


async def test_of_those_that_wait_behind_the_reply_nothing_is_shown_yet() -> None:
    agent = ScriptedAgent()
    async with serving({"default": Agent(agent, strategy="enqueue")}, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent("one") as first, chat.sent("two", "m2") as second:
            run = await agent.run()
            opened = await chat.opened()
            assert (told(opened), opened["activeStreamId"]) == ([("user", "one")], first.turn_id)
            run.finish("done")
            await first.whole()
            run = await agent.run()
            opened = await chat.opened()
            assert told(opened) == [("user", "one"), ("assistant", "done"), ("user", "two")]
            assert opened["activeStreamId"] == second.turn_id
            run.finish()
            await second.whole()


async def test_a_reply_that_makes_way_is_shown_as_far_as_it_has_come() -> None:
    agent = ScriptedAgent(swallows=1)
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent("one") as first:
            old = await agent.run()
            old.turn.emit("delta", {"text": "so far"})
            await first.of_kind("text-delta")
            async with chat.sent("two", "m2") as second:
                await old.cancelled.wait()
                opened = await chat.opened()
                old.fail(asyncio.CancelledError())
                (await agent.run()).finish("done")
                await second.whole()
        after = await chat.opened()
    assert told(opened) == [("user", "one"), ("assistant", "so far"), ("user", "two")]
    assert opened["messages"][1]["metadata"] == {"cutOff": True}
    assert opened["activeStreamId"] == second.turn_id
    assert told(after) == [*told(opened), ("assistant", "done")]
    assert after["messages"][1]["metadata"] == {"cutOff": True}


async def test_a_large_image_is_named_and_not_sent_back() -> None:
    agent = ScriptedAgent()
    async with serving(agent, shown_part=50_000, **SPEAKS) as house:
        chat = ChatApi(house)
        message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "see"}, IMAGE]}
        async with house.client.post(house.url("/api/chat"), json={"id": "c1", "message": message}) as sent:
            run = await agent.run()
            during = await chat.opened()
            run.finish()
            await sent.read()
        after = await chat.opened()
    for opened in (during, after):
        one, two = opened["messages"][0]["parts"]
        assert (one, two["type"], two["data"]["type"]) == (message["parts"][0], "data-elided", "image_url")
        assert two["data"]["bytes"] > 70_000


async def test_earlier_messages_are_asked_for_by_their_number() -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        for n, text in enumerate(("one", "two")):
            async with chat.sent(text, f"m{n}") as reply:
                (await agent.run()).finish(text.upper())
                await reply.whole()
        async with chat.sent("three", "m3"):
            run = await agent.run()
            last = await chat.opened(query="?limit=1")
            before = await chat.opened(query=f"?before={last['omitted']}")
            run.finish()
        refused = await house.get("/api/chat/c1?limit=0")
    assert (told(last), last["omitted"]) == ([("assistant", "TWO"), ("user", "three")], 3)
    assert (told(before), before["omitted"]) == ([("user", "one"), ("assistant", "ONE"), ("user", "two")], 0)
    assert before["activeStreamId"] is None
    assert [each["id"] for each in (*before["messages"], *last["messages"])] == [
        f"before-{n}" for n in range(5)
    ]
    assert refused.status == 422


async def test_a_chat_of_another_user_is_opened_empty() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, **SPEAKS) as house:
        async with ChatApi(house, "ada-token").sent("private") as reply:
            run = await agent.run()
            assert told(await ChatApi(house, "ada-token").opened()) == [("user", "private")]
            assert (await ChatApi(house, "bob-token").opened())["messages"] == []
            run.finish()
            await reply.whole()
        assert (await ChatApi(house, "bob-token").opened())["messages"] == []


async def test_where_the_host_keeps_the_conversation_it_says_what_was_said() -> None:
    agent = ScriptedAgent()

    async def load(session_id: str, user: str) -> Context:
        kept = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "then"}]
        return Context(session_id, user, messages=kept)

    async with (
        serving(agent, hooks={"load_context": load}, **SPEAKS) as house,
        ChatApi(house).sent("now") as reply,
    ):
        run = await agent.run()
        opened = await ChatApi(house).opened()
        run.finish()
        await reply.whole()
    assert told(opened) == [("user", "before"), ("assistant", "then"), ("user", "now")]


async def test_where_the_beginning_of_a_reply_is_gone_its_message_is_not_shown() -> None:
    agent = ScriptedAgent()
    async with serving(agent, log_events=3, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent() as reply:
            run = await agent.run()
            for word in ("one ", "two ", "three "):
                run.turn.emit("delta", {"text": word})
                await reply.of_kind("text-delta")
            opened = await chat.opened()
            run.finish()
        assert (opened["messages"], opened["activeStreamId"]) == ([], reply.turn_id)


async def test_a_turn_that_ends_while_it_is_looked_at_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ScriptedAgent()
    async with serving(agent, **SPEAKS) as house:
        chat = ChatApi(house)
        async with chat.sent("hello") as reply:
            run = await agent.run()
            ask, asked = Call.ask, list[Conversation]()

            async def meanwhile(call: Call, query: Any) -> Any:
                found = await ask(call, query)
                if isinstance(query, GetMessages) and not asked:
                    asked.append(found)
                    run.finish("hi")
                    await reply.whole()
                return found

            monkeypatch.setattr(Call, "ask", meanwhile)
            opened = await chat.opened()
    assert not asked[0].messages
    assert (told(opened), opened["activeStreamId"]) == ([("user", "hello"), ("assistant", "hi")], None)


async def test_what_goes_on_is_looked_at_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ScriptedAgent()
    async with serving({"default": Agent(agent, strategy="interrupt")}, **SPEAKS) as house:
        chat, looks = ChatApi(house), 0
        ask = Call.ask

        async def meanwhile(call: Call, query: Any) -> Any:
            nonlocal looks
            if isinstance(query, GetMessages):
                looks += 1
                await house.send("c1", f"{looks}")
                await agent.run()
            return await ask(call, query)

        monkeypatch.setattr(Call, "ask", meanwhile)
        opened = await chat.opened()
        monkeypatch.undo()
        assert looks == opening._LOOKS
        assert told(opened)[-1] == ("user", f"{looks}")
        agent.last.finish()
