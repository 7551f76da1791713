"""OpenAI's clients speak to the Chat Completions wire: what they see of a turn, and can do to it."""

import contextlib
from typing import Any

import pytest
from aiohttp import web

from tests.clients.calls import Call, ClientError
from tests.clients.openai_clients import OpenAIClient, OpenAIClients
from tests.clients.scripts import KEPT, MANY, WORDS, many, say
from tests.fakes import FOREVER, Run, ScriptedAgent
from tests.web.fakes_web import PEOPLE, House, by_token, serving
from turnkeeper.web import Principal

ADA, BOB = "ada-token", "bob-token"
SPEAKS = ["openai"]
SESSION = "X-OpenWebUI-Chat-Id"
CREATE = "chat.completions.create"
HELLO = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


async def client_of(clients: OpenAIClients, house: House, token: str = "none") -> OpenAIClient:
    return await clients.client(house.url("/v1"), token)


def words(call: Call) -> list[str]:
    """The words that have come."""
    deltas = [choice["delta"] for chunk in call.events for choice in chunk["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


async def heard(call: Call, n: int) -> None:
    """Wait until it has come to so many words."""
    while len(words(call)) < n:
        await call.until(lambda _: True)


def stream(client: OpenAIClient, session: str | None = None, **more: Any) -> Call:
    headers = {SESSION: session} if session else None
    return client.call(CREATE, **HELLO, stream=True, headers=headers, **more)


async def streaming(
    client: OpenAIClient, agent: ScriptedAgent, session: str | None = None
) -> tuple[Call, Run]:
    """A stream of which two words have come, and its run."""
    call = stream(client, session)
    run = await agent.run()
    say(run, *WORDS[:2])
    await heard(call, 2)
    return call, run


def finish(call: Call) -> str | None:
    """Why the stream has ended, as its last chunk with a choice says."""
    chunks = [chunk for chunk in call.events if chunk["choices"]]
    reason: str | None = chunks[-1]["choices"][0]["finish_reason"]
    return reason


# -- Send ---------------------------------------------------------------------------------------------


async def test_a_completion_is_the_reply_of_a_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call(CREATE, **HELLO)
        run = await agent.run()
        assert run.turn.text == "hello"
        say(run, *WORDS)
        run.turn.report_usage(input_tokens=3, output_tokens=5)
        run.finish()
        completion = await call.result()
        (choice,) = completion["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("one two three", "stop")
        assert completion["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


async def test_a_stream_says_word_by_word_what_the_turn_says(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run = await streaming(client, agent)
        say(run, WORDS[2])
        run.finish()
        await call.result()
        assert words(call) == list(WORDS)
        assert finish(call) == "stop"


async def test_the_clients_own_helper_puts_the_stream_together(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call("chat.completions.stream", **HELLO)
        run = await agent.run()
        say(run, *WORDS)
        run.finish()
        completion = await call.result()
        assert completion["choices"][0]["message"]["content"] == "one two three"


async def test_the_history_of_the_request_is_the_context_of_the_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        past = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
        messages = [*past, {"role": "user", "content": "three"}]
        call = client.call(CREATE, model="default", messages=messages)
        run = await agent.run()
        assert run.turn.text == "three"
        assert list(run.turn.context.messages) == past
        run.finish()
        await call.result()


# -- Others -----------------------------------------------------------------------------------------------


async def test_a_second_client_takes_the_place_of_the_first(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        one, two = await client_of(openai_clients, house), await client_of(openai_clients, house)
        first, run = await streaming(one, agent, "s1")
        second, later = await streaming(two, agent, "s1")
        assert run.cancels == 1
        with pytest.raises(ClientError, match="a newer message took its place"):
            await first.result()
        assert words(first) == ["one ", "two "]
        say(later, WORDS[2])
        later.finish()
        await second.result()
        assert words(second) == list(WORDS)


async def test_a_send_is_refused_where_one_is_in_flight(openai_clients: OpenAIClients) -> None:
    agent, asked = ScriptedAgent(), []

    def anyone(request: web.Request) -> Principal:
        asked.append(request.path)
        return PEOPLE[ADA]

    async with serving(agent, speaks=SPEAKS, multitask_strategy="reject", authenticate=anyone) as house:
        one, two = await client_of(openai_clients, house), await client_of(openai_clients, house)
        first, run = await streaming(one, agent, "s1")
        with pytest.raises(ClientError) as raised:
            await stream(two, "s1").result()
        assert (raised.value.kind, raised.value.code) == ("ConflictError", "conversation_locked")
        assert len(asked) == 2  # a client that is not told otherwise sends such a request again
        run.finish()
        await first.result()
        assert finish(first) == "stop"


async def test_the_session_of_another_user_is_out_of_reach(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, authenticate=by_token) as house:
        ada, bob = await client_of(openai_clients, house, ADA), await client_of(openai_clients, house, BOB)
        first, run = await streaming(ada, agent, "s1")
        with pytest.raises(ClientError) as raised:
            await stream(bob, "s1").result()
        assert raised.value.kind == "ConflictError"
        assert run.cancels == 0
        run.finish()
        await first.result()


# -- Readers ----------------------------------------------------------------------------------------------


async def test_a_slow_reader_gets_every_word(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, log_bytes=KEPT) as house:
        client = await client_of(openai_clients, house)
        call = stream(client, hold=1)
        run = await agent.run()
        every = many()
        say(run, *every)
        run.finish()
        await run.ended.wait()
        call.go_on()
        await call.result()
        assert words(call) == every
        assert len(every) == MANY


async def test_a_hang_up_stops_the_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run = await streaming(client, agent)
        call.abort()
        await call.result()
        await run.cancelled.wait()


async def test_a_hang_up_while_the_answer_is_awaited_stops_the_turn(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call = client.call(CREATE, **HELLO)
        run = await agent.run()
        call.abort()
        with contextlib.suppress(ClientError):
            await call.result()
        await run.cancelled.wait()


# -- Bad ends ---------------------------------------------------------------------------------------------


async def test_a_completion_whose_agent_raises_is_an_error(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        call, run = await streaming(client, agent)
        run.fail(RuntimeError("the model is gone"))
        with pytest.raises(ClientError) as raised:
            await call.result()
        assert raised.value.kind == "APIError"


async def test_a_completion_that_will_not_stop_is_an_error(openai_clients: OpenAIClients) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, speaks=SPEAKS, cancel_grace=0.05) as house:
        one, two = await client_of(openai_clients, house), await client_of(openai_clients, house)
        first, _ = await streaming(one, agent, "s1")
        second = stream(two, "s1")
        with pytest.raises(ClientError) as raised:
            await first.result()
        assert raised.value.kind == "APIError"
        second.abort()


@pytest.mark.parametrize("more", [{"n": 2}, {"tools": [{"type": "function", "function": {"name": "f"}}]}])
async def test_what_cannot_be_done_is_refused(openai_clients: OpenAIClients, more: dict[str, Any]) -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house:
        client = await client_of(openai_clients, house)
        with pytest.raises(ClientError) as raised:
            await client.ask(CREATE, **HELLO, **more)
        assert raised.value.kind == "BadRequestError"
        assert not agent.runs
