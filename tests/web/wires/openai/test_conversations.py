"""Conversations, with the official client."""

import asyncio

import openai
import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import by_token, serving, until
from tests.web.wires.openai.official import Conversation, ConversationDeletedResource, object_of


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


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_it_is_unknown_to_other_users(method: str) -> None:
    async with serving(done, speaks=["openai"], authenticate=by_token) as house:
        said = {"input": "hello", "conversation": "c1"}
        await house.post("/v1/responses", json=said, token="ada-token")
        assert (await house.ask(method, "/v1/conversations/c1", token="bob-token")).status == 404
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


async def test_what_a_new_conversation_cannot_have_is_refused_with_the_reason() -> None:
    async with serving(done, speaks=["openai"]) as house:
        for field, why in (("metadata", "each response may have its own"), ("items", "its first response")):
            error = (await house.post("/v1/conversations", json={field: ["x"]})).body["error"]
            assert (error["code"], error["param"]) == ("unsupported_parameter", field)
            assert why in error["message"]
