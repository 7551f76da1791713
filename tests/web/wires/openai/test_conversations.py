"""Conversations, with the official client."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import House, by_token, serving, until
from tests.web.wires.openai.official import (
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
    object_of,
)
from turnkeeper.actors.journal.contract import Append
from turnkeeper.actors.model.exceptions import JournalDown
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.registry.children import Closing
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

ITEMS = "/v1/conversations/c1/items"


async def say(house: House, text: Any, **more: Any) -> Any:
    """Have a response in the conversation."""
    answer = await house.post("/v1/responses", json={"input": text, "conversation": "c1", **more})
    assert answer.status == 200, answer.text
    return answer.body


async def items(house: House, query: str = "", token: str | None = None) -> Any:
    """A page of the conversation's items, held to its type."""
    answer = await house.get(ITEMS + query, token=token)
    assert answer.status == 200, answer.text
    object_of(ConversationItemList, answer.body)
    return answer.body


def texts(page: Any) -> list[str]:
    return [part["text"] for item in page["data"] for part in item["content"]]


async def all_pages(house: House, query: str) -> list[str]:
    """The texts of all pages, one after the other."""
    page = await items(house, query)
    found = texts(page)
    while page["has_more"]:
        assert page["last_id"] == page["data"][-1]["id"]
        page = await items(house, f"{query}&after={page['last_id']}")
        assert page["data"], "there was to be more"
        found += texts(page)
    return found


async def test_a_conversation_is_a_session_that_begins_with_its_first_response() -> None:
    async with (
        serving(done, speaks=["openai"]) as house,
        openai.AsyncOpenAI(base_url=house.url("/v1"), api_key="none", max_retries=0) as client,
    ):
        made = await client.conversations.create()
        with pytest.raises(openai.NotFoundError, match=f"there is no conversation '{made.id}'"):
            await client.conversations.retrieve(made.id)
        with pytest.raises(openai.NotFoundError, match=f"there is no conversation '{made.id}'"):
            await client.conversations.delete(made.id)
        response = await client.responses.create(model="default", input="hello", conversation=made.id)
        assert response.conversation is not None
        assert response.conversation.id == made.id
        found = await client.conversations.retrieve(made.id)
        assert (found.id, found.created_at) == (made.id, int(response.created_at))
        assert (await client.conversations.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
        # The id is free again, as if nothing had been.
        await client.responses.create(model="default", input="hello", conversation=made.id)


async def test_it_is_what_the_official_types_say() -> None:
    async with serving(done, speaks=["openai"]) as house:
        object_of(Conversation, (await house.post("/v1/conversations")).body)
        await house.post("/v1/responses", json={"input": "hello", "conversation": "c1"})
        object_of(Conversation, (await house.get("/v1/conversations/c1")).body)
        object_of(ConversationDeletedResource, (await house.delete("/v1/conversations/c1")).body)


async def test_its_response_is_stopped_when_it_is_deleted() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house:
        said = {"input": "hello", "conversation": "c1", "background": True}
        await house.post("/v1/responses", json=said)
        run = await agent.run()
        assert (await house.delete("/v1/conversations/c1")).status == 200
        assert run.cancels == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [{"role": "user", "content": "hello"}]}, "items"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"other": 1}, "other"),
    ],
)
async def test_nothing_can_be_kept_of_one_before_it_begins(body: object, param: str) -> None:
    async with serving(done, speaks=["openai"]) as house:
        answer = await house.post("/v1/conversations", json=body)
        assert (answer.status, answer.body["error"]["param"]) == (400, param)
        assert (await house.post("/v1/conversations", json={"items": [], "metadata": None})).status == 200
        assert (await house.post("/v1/conversations", json=[])).status == 400


# -- What was said --------------------------------------------------------------------------------------


async def test_what_was_said_is_there_the_newest_first_unless_it_is_asked_otherwise() -> None:
    async with serving(done, speaks=["openai"]) as house:
        await say(house, "one")
        await say(house, "two")
        newest = await items(house)
        assert [each["role"] for each in newest["data"]] == ["assistant", "user"] * 2
        assert texts(newest) == ["done: two", "two", "done: one", "one"]
        assert (newest["object"], newest["has_more"]) == ("list", False)
        ids = [each["id"] for each in newest["data"]]
        assert (newest["first_id"], newest["last_id"]) == (ids[0], ids[-1])
        assert texts(await items(house, "?order=asc")) == ["one", "done: one", "two", "done: two"]
        await say(house, "three")
        assert [each["id"] for each in (await items(house))["data"][2:]] == ids, "an item keeps its id"


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7, 100])
async def test_pages_have_each_item_once(order: str, limit: int) -> None:
    said = [text for n in range(3) for text in (f"{n}", f"done: {n}")]
    async with serving(done, speaks=["openai"]) as house:
        for n in range(3):
            await say(house, f"{n}")
        first = await items(house, f"?limit={limit}&order={order}")
        assert (len(first["data"]), first["has_more"]) == (min(limit, 6), limit < 6)
        pages = await all_pages(house, f"?limit={limit}&order={order}")
        assert pages == (said if order == "asc" else said[::-1])


async def test_a_page_has_twenty_items_unless_it_is_said() -> None:
    async with serving(done, speaks=["openai"]) as house:
        for n in range(11):
            await say(house, f"{n}")
        page = await items(house)
        assert (len(page["data"]), page["has_more"]) == (20, True)
        assert texts(await items(house, f"?after={page['last_id']}")) == ["done: 0", "0"]


async def test_what_a_stopped_response_has_said_is_kept_as_incomplete() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=["openai"]) as house:
        response = await say(house, "hello", background=True)
        (await agent.run()).turn.emit("delta", {"text": "well "})
        empty = await items(house)
        assert (empty["data"], empty["has_more"]) == ([], False), "what runs has no part in it yet"
        await house.post(f"/v1/responses/{response['id']}/cancel")
        reply, asked = (await items(house))["data"]
        assert (reply["status"], reply["content"][0]["text"]) == ("incomplete", "well ")
        assert (asked["status"], asked["content"][0]["text"]) == ("completed", "hello")


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_what_only_the_journal_has_is_there_too_and_after_a_restart(tmp_path: Path, order: str) -> None:
    said = [text for n in range(6) for text in (f"{n}", f"done: {n}")]
    settings: Any = {"journal": tmp_path / "chats.db", "conversation_messages": 5, "speaks": ["openai"]}
    for attempt in range(2):
        async with serving(done, idle_ttl=0.01, **settings) as house:
            if not attempt:
                for n in range(6):
                    await say(house, f"{n}")

            async def sleeps(house: House = house) -> bool:
                counts = await house.registry.counts()
                return counts.asleep == counts.sessions

            await until(sleeps)
            for limit in (1, 4, 5, 100):
                pages = await all_pages(house, f"?limit={limit}&order={order}")
                assert pages == (said if order == "asc" else said[::-1])


async def test_without_a_journal_it_begins_with_what_is_kept() -> None:
    async with serving(done, speaks=["openai"], conversation_messages=5) as house:
        await say(house, "0")
        oldest = (await items(house, "?order=asc"))["first_id"]
        for n in range(1, 6):
            await say(house, f"{n}")
        kept = await all_pages(house, "?order=asc&limit=100")
        assert 0 < len(kept) <= 5
        for limit in (1, 2, 5):
            assert await all_pages(house, f"?order=asc&limit={limit}") == kept
            assert await all_pages(house, f"?order=desc&limit={limit}") == kept[::-1]
        gone = await house.get(f"{ITEMS}?order=asc&after={oldest}")
        assert (gone.status, gone.body["error"]["param"]) == (400, "after")


async def test_a_page_of_long_texts_ends_early() -> None:
    async with serving(done, speaks=["openai"], log_bytes=2_000) as house:
        for text in "abc":
            await say(house, text * 900)
        page = await items(house)
        assert (len(page["data"]), page["has_more"]) == (1, True)
        found = await all_pages(house, "?order=desc")
        assert [text[-1] for text in found] == list("ccbbaa")
        await say(house, "d" * 5_000)
        assert texts(await items(house, "?order=desc"))[0] == "done: " + "d" * 5_000, (
            "one is given in any case"
        )


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_of_large_messages_no_more_are_read_than_a_page_has_room_for(order: str) -> None:
    journal = SlowJournal()
    settings: Any = {"conversation_messages": 1, "log_bytes": 5_000, "speaks": ["openai"]}
    async with serving(done, journal=journal, **settings) as house:
        for n in range(20):
            await say(house, f"{n} " + "x" * 1_000)
        page = await items(house, f"?limit=100&order={order}")
        assert page["has_more"]
        assert len(page["data"]) < 5
        assert journal.messages_read < 12, "of forty"
        assert len(await all_pages(house, f"?order={order}")) == 40


async def test_large_images_are_there_without_their_addresses() -> None:
    async with serving(done, speaks=["openai"]) as house:
        for size in (100, 100_000):
            image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * size}
            await say(house, [{"role": "user", "content": [image]}])
        shown = [
            each["content"] for each in (await items(house, "?order=asc"))["data"] if each["role"] == "user"
        ]
        assert [content[0]["image_url"] is None for content in shown] == [False, True]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=x", "after"),
        ("after=msg_2.c1", "after"),
        ("after=msg_00.c1", "after"),
        ("after=msg_0.c2", "after"),
        ("after=msg_2.c1&order=asc", "after"),
        ("after=msg_999999999999.c1&order=asc", "after"),
        ("after=msg_" + "9" * 40 + ".c1", "after"),
        ("before=x", "before"),
        ("include[]=message.output_text.logprobs", "include[]"),
    ],
)
async def test_a_page_that_there_is_not_is_refused(query: str, param: str) -> None:
    async with serving(done, speaks=["openai"]) as house:
        await say(house, "hello")
        error = (await house.get(f"{ITEMS}?{query}")).body["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", param)
        assert error["type"] == "invalid_request_error"


async def test_a_conversation_that_the_host_keeps_is_shown_as_the_host_does() -> None:
    async def load(session: str, user: str) -> Context | None:
        messages = [{"role": "user", "content": f"{n}"} for n in range(5)]
        return None if session == "c2" else Context(session, user, messages=messages)

    async with serving(done, speaks=["openai"], hooks={"load_context": load}) as house:
        await say(house, "hello")
        assert await all_pages(house, "?limit=2&order=asc") == list("01234")
        assert await all_pages(house, "?limit=2&order=desc") == list("43210")
        await house.post("/v1/responses", json={"input": "hello", "conversation": "c2"})
        refused = await house.get("/v1/conversations/c2/items")
        assert (refused.status, refused.body["error"]["code"]) == (404, "host_keeps_messages")


async def test_what_is_left_of_a_conversation_is_there_when_its_session_is_forgotten() -> None:
    async with serving(done, speaks=["openai"], idle_ttl=0.01, turn_retention=0.01) as house:
        # Its end is waited for here: for a request the session may be gone before that has come to follow it.
        await (await house.registry.send("c1", "hello", user="local")).result()

        async def is_forgotten() -> bool:
            return (await house.registry.counts()).sessions == 0

        await until(is_forgotten)
        assert texts(await items(house)) == ["done: hello", "hello"]
        found = (await house.get("/v1/conversations/c1")).body
        object_of(Conversation, found)
        assert found["id"] == "c1"
        assert (await house.delete("/v1/conversations/c1")).status == 200
        assert (await house.get("/v1/conversations/c1")).status == 404
        assert (await house.get(ITEMS)).status == 404


async def test_what_an_agent_keeps_itself_is_shown_item_by_item() -> None:
    async def keeps(turn: Turn) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        turn.context.messages += [
            {"role": "system", "content": "Be short."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
            "a note",
        ]

    async with serving(keeps, speaks=["openai"]) as house:
        await say(house, "hello")
        page = await items(house, "?order=asc")
        assert [each["role"] for each in page["data"]] == ["system", "assistant", "tool", "unknown"]
        assert texts(page) == ["Be short.", "42", "a note"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_it_is_unknown_to_other_users(method: str) -> None:
    async with serving(done, speaks=["openai"], authenticate=by_token) as house:
        said = {"input": "hello", "conversation": "c1"}
        await house.post("/v1/responses", json=said, token="ada-token")
        assert (await house.ask(method, "/v1/conversations/c1", token="bob-token")).status == 404
        hidden, missing = [
            await house.get(f"/v1/conversations/{name}/items", token="bob-token") for name in ("c1", "c2")
        ]
        assert hidden.status == missing.status == 404
        assert hidden.text.replace("c1", "c2") == missing.text
        assert texts(await items(house, token="ada-token")) == ["done: hello", "hello"]
        assert (await house.ask(method, "/v1/conversations/c2", token="ada-token")).status == 404
        assert (await house.ask(method, "/v1/conversations/events", token="ada-token")).status == 400
        assert (await house.ask(method, "/v1/conversations/c1", token="ada-token")).status == 200


async def test_what_is_forgotten_at_the_end_of_its_turn_is_forgotten_after_a_crash_too() -> None:
    history = [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "hello"}]
    sent = {
        "/v1/chat/completions": {"model": "default", "messages": history},
        "/v1/responses": {"input": "hello", "store": False},
    }
    journal, agent = SlowJournal(), ScriptedAgent()
    async with serving(agent, speaks=["openai"], journal=journal) as house:
        requests = [asyncio.create_task(house.post(path, json=body)) for path, body in sent.items()]
        stored = await house.post("/v1/responses", json={"input": history, "background": True})
        for _ in range(3):
            await agent.run()
        left = journal.after_a_kill()
        agent.release()
        await asyncio.gather(*requests)
    async with serving(done, speaks=["openai"], journal=left) as house:
        assert len(house.registry.left) == 3

        async def one_is_left() -> bool:
            listed = (await house.get("/chat")).body["sessions"]
            return [each["log_id"] for each in listed] == [stored.body["id"].partition(".")[2]]

        await until(one_is_left)


class Killed(SlowJournal):
    """Keeps what would be found after a kill: behind each append, and before anything is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[SlowJournal] = []

    def append(self, append: Append) -> None:
        super().append(append)
        self.left.append(self.after_a_kill())

    async def forget(self, session_id: SessionId) -> None:
        self.left.append(self.after_a_kill())
        await super().forget(session_id)


ONE_OFF = {
    "/v1/chat/completions": {"model": "default", "messages": [{"role": "user", "content": "hello"}]},
    "/v1/responses": {"input": "hello", "store": False},
}


@pytest.mark.parametrize("path", ONE_OFF)
async def test_a_kill_at_no_moment_leaves_what_was_to_be_forgotten(path: str) -> None:
    journal = Killed()
    async with serving(done, speaks=["openai"], journal=journal) as house:
        assert (await house.post(path, json=ONE_OFF[path])).status == 200
        await until(lambda: not journal._logs)
    assert len(journal.left) >= 3
    for left in journal.left:
        assert await left.named("once_"), "it was there"
        async with serving(done, speaks=["openai"], journal=left):
            await until(lambda left=left: not left._logs)


@pytest.mark.parametrize("path", ONE_OFF)
async def test_a_file_that_a_kill_has_left_is_rid_of_what_was_to_be_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    file = tmp_path / "chats.db"
    with monkeypatch.context() as killed:
        # The turn ends, and the process does not come to more.
        killed.setattr(Closing, "close", lambda *_: None)
        async with serving(done, speaks=["openai"], journal=file) as house:
            assert (await house.post(path, json=ONE_OFF[path])).status == 200
            await say(house, "hello")
    async with serving(done, speaks=["openai"], journal=file) as house:

        async def one_is_left() -> bool:
            assert house.registry.journal is not None
            return await house.registry.journal.named("") == ("c1",)

        await until(one_is_left)


async def test_a_chat_whose_user_has_named_it_like_that_is_kept() -> None:
    name = "once_" + "0" * 32
    journal, agent = SlowJournal(), ScriptedAgent()
    async with serving({"default": done, "slow": agent}, speaks=["openai"], journal=journal) as house:
        await house.sent(name)
        await house.sent(name.replace("0", "1"), agent="slow")
        await agent.run()
        left = journal.after_a_kill()
    async with serving(done, speaks=["openai"], journal=left) as house:
        listed = (await house.get("/chat")).body["sessions"]
        assert sorted(each["log_id"] for each in listed) == [name, name.replace("0", "1")]


async def test_a_server_whose_journal_cannot_be_read_starts_all_the_same() -> None:
    class Unread(SlowJournal):
        async def named(self, prefix: str) -> tuple[SessionId, ...]:
            raise JournalDown("the disk is gone")

    async with serving(done, speaks=["openai"], journal=Unread()) as house:
        assert (await house.post("/v1/responses", json={"input": "hello"})).status == 200


async def test_what_a_new_conversation_cannot_have_is_refused_with_the_reason() -> None:
    async with serving(done, speaks=["openai"]) as house:
        for field, why in (("metadata", "each response may have its own"), ("items", "its first response")):
            error = (await house.post("/v1/conversations", json={field: ["x"]})).body["error"]
            assert (error["code"], error["param"]) == ("unsupported_parameter", field)
            assert why in error["message"]
