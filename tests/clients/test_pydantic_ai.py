"""Pydantic AI's `OpenAIChatModel` speaks to the Chat Completions wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import openai
import pytest

from tests.clients.scripts import KEPT, MANY, WORDS, many, say
from tests.fakes import ScriptedAgent
from tests.web.fakes_web import House, serving

if TYPE_CHECKING:  # it takes a second
    from pydantic_ai import Agent

SPEAKS = ["openai"]
SESSION = "X-OpenWebUI-Chat-Id"


@asynccontextmanager
async def chatting(house: House, session: str | None = None) -> "AsyncIterator[Agent[None, str]]":
    """An agent whose model is ours."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    headers = {SESSION: session} if session else None
    async with openai.AsyncOpenAI(
        api_key="none", base_url=house.url("/v1"), max_retries=0, default_headers=headers
    ) as client:
        yield Agent(OpenAIChatModel("default", provider=OpenAIProvider(openai_client=client)))


async def test_a_prompt_is_answered_with_the_reply_of_a_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as chat:
        answer = asyncio.create_task(chat.run("hello"))
        run = await agent.run()
        assert run.turn.text == "hello"
        say(run, *WORDS)
        run.turn.report_usage(input_tokens=3, output_tokens=5)
        run.finish()
        result = await answer
        assert result.output == "one two three"
        assert result.usage.total_tokens == 8
        again = asyncio.create_task(chat.run("more", message_history=result.all_messages()))
        run = await agent.run()
        assert [message["content"] for message in run.turn.context.messages] == ["hello", "one two three"]
        say(run, "four")
        run.finish()
        assert (await again).output == "four"


async def test_a_stream_says_word_by_word_what_the_turn_says() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as chat:
        said = asyncio.ensure_future(agent.run())
        said.add_done_callback(lambda run: (say(run.result(), *WORDS), run.result().finish()))
        async with chat.run_stream("hello") as stream:
            assert [text async for text in stream.stream_text(delta=True, debounce_by=None)] == list(WORDS)


async def test_a_slow_reader_gets_every_word() -> None:
    agent = ScriptedAgent()
    words = many(2_000)  # it puts what has come together anew with each
    async with serving(agent, speaks=SPEAKS, log_bytes=KEPT) as house, chatting(house) as chat:
        said = asyncio.ensure_future(agent.run())
        said.add_done_callback(lambda run: say(run.result(), *words))
        async with chat.run_stream("hello") as stream:
            texts = stream.stream_text(delta=True, debounce_by=None)
            came = [await anext(texts)]
            run = await said
            run.finish()
            await run.ended.wait()
            came += [text async for text in texts]
    assert came == words
    assert len(came) == MANY


async def test_a_stream_that_is_left_stops_the_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as chat:
        said = asyncio.ensure_future(agent.run())
        said.add_done_callback(lambda run: say(run.result(), WORDS[0]))
        async with chat.run_stream("hello") as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                break
        await (await said).cancelled.wait()


async def test_an_answer_that_is_not_awaited_any_more_stops_the_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent, speaks=SPEAKS) as house, chatting(house) as chat:
        answer = asyncio.create_task(chat.run("hello"))
        run = await agent.run()
        answer.cancel()
        await asyncio.wait([answer])
        assert answer.cancelled()
        await run.cancelled.wait()


async def test_a_second_agent_takes_the_place_of_the_first() -> None:
    from pydantic_ai.exceptions import ModelHTTPError

    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=SPEAKS) as house,
        chatting(house, "s1") as one,
        chatting(house, "s1") as two,
    ):
        first = asyncio.create_task(one.run("hello"))
        run = await agent.run()
        second = asyncio.create_task(two.run("hello"))
        later = await agent.run()
        with pytest.raises(ModelHTTPError) as raised:
            await first
        assert raised.value.status_code == 409
        assert run.cancels == 1
        say(later, *WORDS)
        later.finish()
        assert (await second).output == "one two three"


async def test_a_prompt_is_refused_where_one_is_in_flight() -> None:
    from pydantic_ai.exceptions import ModelHTTPError

    agent = ScriptedAgent()
    async with (
        serving(agent, speaks=SPEAKS, multitask_strategy="reject") as house,
        chatting(house, "s1") as one,
        chatting(house, "s1") as two,
    ):
        answer = asyncio.create_task(one.run("hello"))
        run = await agent.run()
        with pytest.raises(ModelHTTPError) as raised:
            await two.run("me too")
        assert raised.value.status_code == 409
        say(run, *WORDS)
        run.finish()
        assert (await answer).output == "one two three"
