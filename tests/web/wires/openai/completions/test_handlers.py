"""``POST /v1/chat/completions`` over HTTP, with OpenAI's own client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fakes import FOREVER, ScriptedAgent, done, settle
from tests.web.fakes_web import House, by_token, serving, until
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

URL = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "hello"}]
BODY = {"model": "default", "messages": HELLO}
#: One session for all requests.
IN_S = {"X-Turnkeeper-Session": "s"}


@asynccontextmanager
async def talking(
    agents: Any = done, *, api_key: str = "ada-token", **more: Any
) -> AsyncIterator[tuple[House, openai.AsyncOpenAI]]:
    """A server that speaks this protocol, and a client of it."""
    async with (
        serving(agents, speaks=["openai"], **more) as house,
        openai.AsyncOpenAI(base_url=house.url("/v1"), api_key=api_key) as client,
    ):
        yield house, client


async def ask(client: openai.AsyncOpenAI, messages: Any = HELLO, **more: Any) -> ChatCompletion:
    """A reply as a whole, of the type that it is said to be."""
    more = {"model": "default", **more}
    completion: ChatCompletion = await client.chat.completions.create(messages=messages, **more)
    ChatCompletion.model_validate(completion.to_dict(mode="json"), strict=True)
    return completion


async def stream(
    client: openai.AsyncOpenAI, messages: Any = HELLO, **more: Any
) -> AsyncIterator[ChatCompletionChunk]:
    """The chunks of a reply, each of the type that it is said to be."""
    more = {"model": "default", **more}
    async with await client.chat.completions.create(messages=messages, stream=True, **more) as chunks:
        async for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk.to_dict(mode="json"), strict=True)
            yield chunk


def text_of(completion: ChatCompletion) -> str | None:
    return completion.choices[0].message.content


def code_of(error: openai.APIError) -> str:
    assert isinstance(error.body, dict)
    return str(error.body["code"])


async def speaking(turn: Turn) -> str:
    """An agent that says each word of the message."""
    for word in turn.text.split():
        turn.emit("delta", {"text": word})
        await asyncio.sleep(0)
    turn.report_usage(input_tokens=1, output_tokens=len(turn.text.split()))
    return turn.text


# -- Replies ----------------------------------------------------------------------------------------


async def test_a_reply_is_streamed() -> None:
    async with talking(speaking) as (_, client):
        said = [chunk async for chunk in stream(client, [{"role": "user", "content": "a b"}])]
        assert [chunk.choices[0].delta.content for chunk in said] == ["", "a", "b", None]
        assert said[0].choices[0].delta.role == "assistant"
        assert said[-1].choices[0].finish_reason == "stop"
        assert len({(chunk.id, chunk.created, chunk.model) for chunk in said}) == 1
        assert said[0].model == "default"


async def test_a_stream_may_end_with_the_usage() -> None:
    async with talking(speaking) as (_, client):
        options = {"include_usage": True}
        *_, last = [chunk async for chunk in stream(client, stream_options=options)]
        assert last.usage is not None
        assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (1, 1, 2)


async def test_a_reply_comes_as_a_whole() -> None:
    async with talking(speaking) as (_, client):
        completion = await ask(client, [{"role": "user", "content": "a b"}])
        assert text_of(completion) == "ab"
        assert completion.choices[0].finish_reason == "stop"
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 2


async def test_what_an_agent_returned_is_its_reply_if_it_emitted_none() -> None:
    async with talking(done) as (_, client):
        assert text_of(await ask(client)) == "done: hello"
        said = [chunk.choices[0].delta.content async for chunk in stream(client)]
        assert said == ["", "done: hello", None]


async def test_the_agent_is_given_what_the_client_sent() -> None:
    before = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    asked = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:,x"}},
    ]
    turns: list[Turn] = []

    async def agent(turn: Turn) -> None:
        turns.append(turn)
        assert turn.context.messages == before
        assert turn.message == asked
        assert turn.params == {"temperature": 0.2, "max_tokens": 5}
        assert (turn.agent, turn.user, turn.session_id) == ("coder", "ada", "s")

    async with talking({"default": done, "coder": agent}, authenticate=by_token) as (house, client):
        for _ in range(2):  # nothing is recorded: it would be there twice
            messages = [*before, {"role": "user", "content": asked}]
            await ask(client, messages, model="coder", temperature=0.2, max_tokens=5, extra_headers=IN_S)
        assert len(turns) == 2
        assert (await house.registry.messages("s")).messages == ()


async def test_what_a_client_brings_counts_as_kept_while_its_turn_runs() -> None:
    """G8."""
    agent = ScriptedAgent()
    async with talking(agent, authenticate=by_token, max_kept=800_000) as (house, client):
        long = [{"role": "assistant", "content": "x" * 900_000}, *HELLO]
        first = asyncio.ensure_future(ask(client, long))
        run = await agent.run()
        assert (await house.registry.counts()).kept > 900_000
        with pytest.raises(openai.RateLimitError) as raised:
            await ask(client.with_options(max_retries=0), long)
        assert code_of(raised.value) == "too_much_kept"
        run.finish("hello")
        await first
        await until(lambda: not house.registry.directory.entries)
        assert (await house.registry.counts()).kept == 0


async def test_a_slow_reader_gets_all_of_it() -> None:
    async def agent(turn: Turn) -> None:
        for n in range(1_200):
            turn.emit("delta", {"text": f"{n} "})

    async with talking(agent) as (house, client):
        said = stream(client)
        first = await anext(said)
        await until(lambda: not house.registry.directory.entries)
        rest = "".join([chunk.choices[0].delta.content or "" async for chunk in said])
        assert first.choices[0].delta.content == ""
        assert rest.split() == [str(n) for n in range(1_200)]


# -- Ends that are no replies -----------------------------------------------------------------------


async def test_an_agent_that_fails_within_a_stream_is_an_error_there() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "so far"})
        await asyncio.sleep(0)
        raise ValueError("not for clients")

    async with talking(agent) as (house, client):
        said = []

        async def listen() -> None:
            async for chunk in stream(client):
                said.extend(choice.delta.content for choice in chunk.choices)

        with pytest.raises(openai.APIError, match="agent_error") as raised:
            await listen()
        assert said == ["", "so far"]
        assert code_of(raised.value) == "agent_error"
        async with house.client.post(house.url(URL), json={**BODY, "stream": True}) as answer:
            text = await answer.text()
        assert "[DONE]" not in text
        assert "not for clients" not in text


@pytest.mark.parametrize("streams", [False, True])
async def test_what_an_agent_is_refused_is_not_said_to_be_wrong_with_the_request(streams: bool) -> None:
    async def agent(turn: Turn) -> None:
        await turn.send("no such id", "hello")

    async with talking(agent) as (_, client):
        with pytest.raises(openai.APIError) as raised:
            _ = [chunk async for chunk in stream(client)] if streams else await ask(client)
        assert (code_of(raised.value), raised.value.type) == ("agent_error", "server_error")
        assert "invalid" not in raised.value.message


async def test_an_agent_that_fails_is_not_asked_again() -> None:
    runs = 0

    async def agent(_turn: Turn) -> None:
        nonlocal runs
        runs += 1
        raise ValueError

    async with talking(agent) as (_, client):
        with pytest.raises(openai.InternalServerError) as raised:
            await ask(client)
        assert (code_of(raised.value), runs) == ("agent_error", 1)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_turn_that_is_stopped_is_an_error_with_what_it_had_said(streams: bool) -> None:
    agent = ScriptedAgent()
    async with talking(agent) as (house, client):
        if streams:
            said = stream(client, extra_headers=IN_S)
            request = asyncio.ensure_future(asyncio.wait_for(_drain(said), 60))
        else:
            request = asyncio.ensure_future(ask(client, extra_headers=IN_S))
        run = await agent.run()
        run.turn.emit("delta", {"text": "so far"})
        answer = await house.post("/chat/s/cancel_send_task")
        assert answer.body["status"] == "cancelled"
        with pytest.raises(openai.APIError) as raised:
            await request
        assert code_of(raised.value) == "user_request"
        assert isinstance(raised.value.body, dict)
        assert raised.value.body["turn"]["reason"]["code"] == "user_request"
        assert raised.value.body.get("text") == (None if streams else "so far")
        assert isinstance(raised.value, openai.ConflictError) is not streams
        assert len(agent.runs) == 1


async def _drain(said: AsyncIterator[Any]) -> None:
    async for _ in said:
        pass


async def test_a_second_request_in_a_session_takes_the_place_of_the_first() -> None:
    agent = ScriptedAgent()
    async with talking(agent) as (_, client):
        first = asyncio.ensure_future(ask(client, extra_headers=IN_S))
        await agent.run()
        second = asyncio.ensure_future(ask(client, extra_headers=IN_S))
        with pytest.raises(openai.ConflictError) as raised:
            await first
        assert code_of(raised.value) == "superseded"
        (await agent.run()).finish("the second")
        assert text_of(await second) == "the second"


async def test_a_session_that_rejects_says_so_and_is_not_asked_again() -> None:
    agent = ScriptedAgent()
    async with talking(agent, multitask_strategy="reject") as (house, client):
        first = asyncio.ensure_future(ask(client, extra_headers=IN_S))
        run = await agent.run()
        for streams in (True, False):
            with pytest.raises(openai.ConflictError) as raised:
                await client.chat.completions.create(
                    model="default", messages=HELLO, stream=streams, extra_headers=IN_S
                )
            assert code_of(raised.value) == "conversation_locked"
        assert house.registry.meter.refusals["SESSION_BUSY"] == 2
        run.finish("the first")
        assert text_of(await first) == "the first"


async def test_a_turn_that_does_not_stop_is_an_error_and_the_next_one_runs() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with talking(agent, cancel_grace=0.05) as (_, client):
        first = asyncio.ensure_future(ask(client, extra_headers=IN_S))
        await agent.run()
        second = asyncio.ensure_future(_drain(stream(client, extra_headers=IN_S)))
        with pytest.raises(openai.InternalServerError) as raised:
            await first
        assert code_of(raised.value) == "unresponsive"
        (await agent.run()).finish()
        await second
        agent.release()


async def test_a_turn_whose_time_is_up_is_an_error() -> None:
    async with talking(ScriptedAgent(), turn_timeout=0.02) as (_, client):
        with pytest.raises(openai.InternalServerError) as raised:
            await ask(client)
        assert (raised.value.status_code, code_of(raised.value)) == (504, "timed_out")


@pytest.mark.parametrize("strategy", ["enqueue", "collapse"])
async def test_requests_that_wait_are_answered_one_by_one(strategy: str) -> None:
    agent = ScriptedAgent()
    async with talking(agent, multitask_strategy=strategy) as (house, client):
        requests = [asyncio.ensure_future(ask(client, extra_headers=IN_S))]
        run = await agent.run()
        entry = house.registry.directory.entries["s"]
        for n in (2, 3):  # each brings its own conversation, so that none joins another
            requests.append(asyncio.ensure_future(ask(client, extra_headers=IN_S)))
            await until(lambda n=n: entry.subscribers == n)
        run.finish("0")
        for text in "12":
            (await agent.run()).finish(text)
        assert [text_of(await request) for request in requests] == ["0", "1", "2"]


async def test_a_stream_that_the_server_ends_first_is_an_error() -> None:
    agent = ScriptedAgent()
    async with talking(agent) as (house, client):
        request = asyncio.ensure_future(_drain(stream(client)))
        await agent.run()
        await house.runner.shutdown()
        with pytest.raises(openai.APIError) as raised:
            await request
        assert code_of(raised.value) == "shutdown"


async def test_a_whole_reply_has_a_bound() -> None:
    """G8."""
    agent = ScriptedAgent()
    async with talking(agent, conversation_bytes=100) as (_, client):
        request = asyncio.ensure_future(ask(client))
        run = await agent.run()
        run.turn.emit("delta", {"text": "x" * 101})
        with pytest.raises(openai.InternalServerError) as raised:
            await request
        assert code_of(raised.value) == "reply_too_long"
        await run.cancelled.wait()  # nothing reads it any more
        assert len(agent.runs) == 1


# -- Hanging up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("headers", [{}, IN_S], ids=["once", "in a session"])
async def test_a_turn_is_cancelled_when_its_client_hangs_up(
    streams: bool, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent()
    records = []
    async with talking(agent, hooks={"on_turn_end": records.append}) as (house, client):
        request = asyncio.ensure_future(
            _drain(stream(client, extra_headers=headers)) if streams else ask(client, extra_headers=headers)  # type: ignore[arg-type]
        )
        run = await agent.run()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        await run.cancelled.wait()
        run.finish()
        await until(lambda: records)
        assert records[0].cancellation.reason.code is CancelCode.CLIENT_DISCONNECTED
        if not headers:
            await until(lambda: not house.registry.directory.entries)
    assert not caplog.records


async def test_a_turn_goes_on_where_the_host_says_so_and_leaves_nothing_even_so() -> None:
    agent = ScriptedAgent()
    records: list[Any] = []
    users = {"local": {"on_disconnect": "continue"}}
    async with talking(agent, users=users, hooks={"on_turn_end": records.append}) as (house, client):
        request = asyncio.ensure_future(_drain(stream(client)))
        run = await agent.run()
        request.cancel()
        (entry,) = house.registry.directory.entries.values()
        await until(lambda: not entry.subscribers)
        run.finish()
        await until(lambda: not house.registry.directory.entries)
        assert records[0].status is TurnStatus.COMPLETED


# -- Sessions ---------------------------------------------------------------------------------------


async def test_a_thousand_requests_leave_nothing_behind(tmp_path: Path) -> None:
    """G8."""
    async with talking(speaking, journal=tmp_path / "journal.db", max_sessions=20, max_in_flight=20) as (
        house,
        _,
    ):
        body, headers = json.dumps(BODY).encode(), {"Authorization": f"Bearer {house.token}"}
        gate = asyncio.Semaphore(10)

        async def one(n: int) -> int:
            async with gate:
                sent = json.dumps({**BODY, "stream": True}).encode() if n % 2 else body
                async with house.client.post(house.url(URL), data=sent, headers=headers) as answer:
                    await answer.read()
                    return answer.status

        assert set(await asyncio.gather(*map(one, range(1_000)))) == {200}
        registry = house.registry
        await until(lambda: not registry.directory.entries)
        assert (await registry.sessions()).sessions == ()
        counts = await registry.counts()
        assert (counts.sessions, counts.turns_in_flight, counts.subscribers, counts.kept) == (0, 0, 0, 0)
        assert len(registry.directory.ledger) == 0
        assert registry._shared is not None
        assert len(registry._shared.contexts) == 0


async def test_a_retry_with_the_same_key_joins_the_turn() -> None:
    agent = ScriptedAgent()
    async with talking(agent) as (house, client):
        keyed = {"Idempotency-Key": "k1"}
        first = asyncio.ensure_future(ask(client, extra_headers=keyed))
        run = await agent.run()
        second = asyncio.ensure_future(ask(client, extra_headers=keyed))
        (entry,) = house.registry.directory.entries.values()
        await until(lambda: entry.subscribers == 2)
        with pytest.raises(openai.BadRequestError) as raised:
            await ask(client, [{"role": "user", "content": "another"}], extra_headers=keyed)
        assert code_of(raised.value) == "idempotency_key_reused"
        run.finish("once")
        assert [text_of(await first), text_of(await second)] == ["once", "once"]
        assert len(agent.runs) == 1
        await until(lambda: not house.registry.directory.entries)


async def test_a_session_is_its_users_own() -> None:
    agent = ScriptedAgent()
    async with talking(agent, authenticate=by_token) as (house, ada):
        request = asyncio.ensure_future(ask(ada, extra_headers=IN_S))
        run = await agent.run()
        bob = ada.with_options(api_key="bob-token")
        with pytest.raises(openai.ConflictError) as raised:
            await ask(bob, extra_headers=IN_S)
        assert code_of(raised.value) == "session_id_taken"
        assert (await house.post("/chat/s/cancel_send_task", token="bob-token")).body[
            "status"
        ] == "not_running"
        run.finish("for ada")
        assert text_of(await request) == "for ada"
        nobody = ada.with_options(api_key="none")
        with pytest.raises(openai.AuthenticationError):
            await ask(nobody)


async def test_a_task_of_the_front_end_does_not_disturb_its_chat() -> None:
    agent = ScriptedAgent()
    async with talking(agent) as (_, client):
        chat = {"X-OpenWebUI-Chat-Id": "c1", "X-OpenWebUI-Task": ""}
        request = asyncio.ensure_future(_drain(stream(client, extra_headers=chat)))
        run = await agent.run()
        task = asyncio.ensure_future(
            ask(client, extra_headers={**chat, "X-OpenWebUI-Task": "title_generation"})
        )
        (await agent.run()).finish("a title")
        assert text_of(await task) == "a title"
        assert run.turn.session_id == "c1"
        assert not run.cancels
        run.finish()
        await request


# -- Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("later", [[], [{"role": "assistant", "content": "a cat"}, *HELLO]])
async def test_an_agent_refuses_the_images_that_it_does_not_take(later: list[Any], streams: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}, *later]
    began: list[Turn] = []

    async def blind(turn: Turn) -> None:
        began.append(turn)

    async with talking({"default": Agent(blind, takes=["text"]), "any": done}) as (house, client):
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model="default", messages=messages, stream=streams)
        assert (code_of(raised.value), raised.value.param) == ("part_not_taken", "messages")
        assert "takes no parts of type 'image_url'" in raised.value.message
        assert not began
        assert not house.registry.directory.entries
        assert text_of(await ask(client, messages, model="any"))


@pytest.mark.parametrize(
    ("sent", "headers", "status", "code", "param"),
    [
        (b"{", {}, 400, "invalid_json", None),
        ({}, {}, 400, "invalid_request", "messages"),
        ({**BODY, "model": "gpt"}, {}, 404, "model_not_found", "model"),
        ({**BODY, "n": 2}, {}, 400, "unsupported_parameter", "n"),
        ({**BODY, "n": 2, "stream": True}, {}, 400, "unsupported_parameter", "n"),
        (BODY, {"X-Turnkeeper-Session": "a b"}, 400, "invalid_request", "X-Turnkeeper-Session"),
        (BODY, {"Idempotency-Key": "a b"}, 400, "invalid_request", "Idempotency-Key"),
        (
            {**BODY, "messages": [{"role": "user", "content": "x" * 101}]},
            {},
            400,
            "message_too_large",
            "messages",
        ),
        (
            {**BODY, "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            {},
            400,
            "invalid_request",
            "messages",
        ),
    ],
)
async def test_what_is_refused_is_said_as_that_api_does(
    sent: Any, headers: dict[str, str], status: int, code: str, param: str | None
) -> None:
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    async with talking(done, message_text=100) as (house, _):
        answer = await house.post(URL, data=data, headers=headers)
        error = answer.body["error"]
        assert (answer.status, error["code"], error["param"]) == (status, code, param)
        await settle()
        assert not house.registry.directory.entries
