"""LangChain's `ChatOpenAI` speaks to the Chat Completions wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.scripts import KEPT, MANY, WORDS, many, say
from tests.fakes import ScriptedAgent
from tests.web.fakes_web import House, by_token, serving

if TYPE_CHECKING:  # it takes a second
    from langchain_openai import ChatOpenAI

SPEAKS = ["openai"]
SESSION = "X-OpenWebUI-Chat-Id"


@asynccontextmanager
async def chatting(
    house: House, session: str | None = None, token: str = "none"
) -> "AsyncIterator[ChatOpenAI]":
    """A model with a connection of its own: LangChain keeps its own ones open for good."""
    from langchain_openai import ChatOpenAI

    async with openai.DefaultAsyncHttpxClient() as http:
        yield ChatOpenAI(
            model="default",
            api_key=token,
            base_url=house.url("/v1"),
            max_retries=0,
            http_async_client=http,
            default_headers={SESSION: session} if session else None,
        )


async def streaming(model: "ChatOpenAI", agent: ScriptedAgent) -> tuple[Any, Any]:
    """A stream of which two words have come, and its run."""
    stream = model.astream("hello")
    first = asyncio.ensure_future(anext(stream))
    run = await agent.run()
    say(run, *WORDS[:2])
    text = (await first).content
    while text != "one two ":
        text += (await anext(stream)).content
    return stream, run


async def rest(stream: Any) -> str:
    return "".join([chunk.content async for chunk in stream])


async def test_a_message_is_answered_with_the_reply_of_a_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as model:
        answer = asyncio.create_task(model.ainvoke([("human", "one"), ("ai", "two"), ("human", "three")]))
        run = await agent.run()
        assert run.turn.text == "three"
        assert [message["content"] for message in run.turn.context.messages] == ["one", "two"]
        say(run, *WORDS)
        run.turn.report_usage(input_tokens=3, output_tokens=5)
        run.finish()
        message = await answer
        assert message.content == "one two three"
        assert message.usage_metadata is not None
        assert message.usage_metadata["total_tokens"] == 8


async def test_a_stream_says_word_by_word_what_the_turn_says() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as model:
        stream, run = await streaming(model, agent)
        say(run, WORDS[2])
        run.finish()
        assert await rest(stream) == "three"


async def test_a_slow_reader_gets_every_word() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS, log_bytes=KEPT) as house, chatting(house) as model:
        stream, run = await streaming(model, agent)
        words = many()
        assert len(words) == MANY
        say(run, *words)
        run.finish()
        await run.ended.wait()
        assert await rest(stream) == "".join(words)


async def test_a_stream_that_is_left_stops_the_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as model:
        stream, run = await streaming(model, agent)
        await stream.aclose()
        await run.cancelled.wait()


async def test_an_answer_that_is_not_awaited_any_more_stops_the_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as model:
        answer = asyncio.create_task(model.ainvoke("hello"))
        run = await agent.run()
        answer.cancel()
        await asyncio.wait([answer])
        assert answer.cancelled()
        await run.cancelled.wait()


async def test_a_second_model_takes_the_place_of_the_first() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=SPEAKS) as house,
        chatting(house, "s1") as one,
        chatting(house, "s1") as two,
    ):
        first, run = await streaming(one, agent)
        second, later = await streaming(two, agent)
        assert run.cancels == 1
        with pytest.raises(openai.APIError, match="a newer message took its place"):
            await rest(first)
        later.finish()
        await rest(second)


async def test_a_message_is_refused_where_one_is_in_flight() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=SPEAKS, multitask_strategy="reject") as house,
        chatting(house, "s1") as one,
        chatting(house, "s1") as two,
    ):
        stream, run = await streaming(one, agent)
        with pytest.raises(openai.ConflictError, match="in flight"):
            await two.ainvoke("me too")
        run.finish()
        await rest(stream)
        assert len(agent.runs) == 1


async def test_the_session_of_another_user_is_out_of_reach() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=SPEAKS, authenticate=by_token) as house,
        chatting(house, "s1", "ada-token") as ada,
        chatting(house, "s1", "bob-token") as bob,
    ):
        stream, run = await streaming(ada, agent)
        with pytest.raises(openai.ConflictError):
            await bob.ainvoke("mine")
        run.finish()
        await rest(stream)
        assert run.cancels == 0


async def test_tools_of_the_client_are_refused() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as model:
        tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
        with pytest.raises(openai.BadRequestError, match="tools"):
            await model.bind_tools([tool]).ainvoke("look")
        assert not agent.runs
