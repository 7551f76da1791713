"""What comes along, held to the official clients: they send and read what these adapters do."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web
from openai.types import responses

from tests.clients.calls import ClientError
from tests.clients.node import IN_NODE, driving
from tests.clients.openai_clients import OpenAIClient, in_python
from turnkeeper.web.audit.adapters.adapter import HangUp
from turnkeeper.web.audit.adapters.built_in import NAMES, OURS, built_in
from turnkeeper.web.audit.adapters.verb import Call

ADAPTERS = {name: built_in(name, "m") for name in NAMES}


def test_they_are_known_by_their_names() -> None:
    assert NAMES == (
        "ai-sdk",
        "openai-completions",
        "openai-responses",
        "openai-responses-foreground",
        "turnkeeper",
    )
    assert len({adapter.name for adapter in ADAPTERS.values()}) == len(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("openai")])
def test_openai_s_name_a_model(name: str) -> None:
    call = built_in(name, "mine").send.fill(session="s", message="hi")
    assert call.body is not None
    assert b'"model": "mine"' in call.body


def test_only_ours_answers_a_send_before_the_stream() -> None:
    assert [name for name in NAMES if not ADAPTERS[name].answers_with_stream] == [OURS]


def test_one_can_come_back_to_what_hanging_up_does_not_stop() -> None:
    for name in NAMES:
        adapter = ADAPTERS[name]
        assert adapter.can_come_back is not isinstance(adapter.stop, HangUp)


# -- What official clients send ---------------------------------------------------------------------

Asked = tuple[str, str, dict[str, str], Any]


class Listener:
    """Refuses everything, and keeps what it was asked: method, path, query, body."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []

    async def refuse(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.method, request.path, dict(request.query), json.loads(body or b"null")))
        raise web.HTTPNotFound


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener, app = Listener(), web.Application()
    app.router.add_route("*", "/{path:.*}", listener.refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield listener
    await runner.cleanup()


@pytest.fixture
async def openai_client(listener: Listener) -> AsyncIterator[OpenAIClient]:
    async with in_python() as clients:
        yield await clients.client(f"{listener.url}/v1")


def as_asked(call: Call) -> Asked:
    parts = urlsplit(call.path)
    return call.method, parts.path, dict(parse_qsl(parts.query)), json.loads(call.body or b"null")


async def test_openai_s_client_sends_a_completion_like_that(
    listener: Listener, openai_client: OpenAIClient
) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with suppress(ClientError):
        await openai_client.ask("chat.completions.create", model="m", stream=True, messages=messages)
    assert listener.asked == [as_asked(ADAPTERS["openai-completions"].send.fill(session="s", message="hi"))]


@pytest.mark.parametrize("background", [{"background": True}, {}], ids=["background", "foreground"])
async def test_openai_s_client_sends_a_response_like_that(
    listener: Listener, openai_client: OpenAIClient, background: dict[str, bool]
) -> None:
    name = "openai-responses" if background else "openai-responses-foreground"
    with suppress(ClientError):
        await openai_client.ask(
            "responses.create", model="m", conversation="c", input="hi", stream=True, **background
        )
    assert listener.asked == [as_asked(ADAPTERS[name].send.fill(session="c", message="hi"))]


async def test_openai_s_client_opens_stops_and_comes_back_like_that(
    listener: Listener, openai_client: OpenAIClient
) -> None:
    adapter = ADAPTERS["openai-responses"]
    assert adapter.opening is not None
    assert adapter.stop_turn is not None
    for path, arguments, more in (
        ("conversations.create", (), {}),
        ("responses.cancel", ("r",), {}),
        ("responses.retrieve", ("r",), {"stream": True, "starting_after": 7}),
    ):
        with suppress(ClientError):
            await openai_client.ask(path, *arguments, **more)
    assert listener.asked == [
        as_asked(adapter.opening.request.fill()),
        as_asked(adapter.stop_turn.request.fill(turn="r")),
        as_asked(adapter.read("s", "7", turn="r")),
    ]


def test_openai_s_client_knows_the_events_of_responses() -> None:
    union, *_ = get_args(responses.ResponseStreamEvent)
    kinds = {get_args(event.model_fields["type"].annotation)[0]: event for event in get_args(union)}
    for name in ("openai-responses", "openai-responses-foreground"):
        events = ADAPTERS[name].events
        assert set(events.end) <= set(kinds)
        assert {events.field, "sequence_number"} <= set(kinds[events.event].model_fields)
    created = kinds["response.created"]
    assert created.model_fields["response"].annotation is responses.Response
    stop = ADAPTERS["openai-responses"].stop_turn
    assert stop is not None
    assert set(get_args(responses.ResponseStatus)) == {"in_progress", "queued", *stop.words}


@IN_NODE
async def test_use_chat_sends_and_comes_back_like_that(listener: Listener) -> None:
    adapter = ADAPTERS["ai-sdk"]
    async with driving("ai_sdk.mjs") as driver:
        chat = await driver.make("chat", {"id": "s", "api": f"{listener.url}/api/chat"})
        await chat.ask("sendMessage", {"text": "hi"})
        await chat.ask("resumeStream")
    (method, path, query, body), resumed = listener.asked
    mine = as_asked(adapter.send.fill(session="s", message="hi"))
    assert (method, path, query) == mine[:3]
    (message,) = body["messages"]
    assert body == mine[3] | {"messages": [message]}
    assert message == mine[3]["messages"][0] | {"id": message["id"]}
    assert resumed == as_asked(adapter.read("s", ""))
