"""The drivers, tried on a server that says the same to all: each steers its client as the tests need it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.clients.calls import Call, ClientError
from tests.clients.node import HERE, IN_NODE, Driver, Made, driving

pytestmark = IN_NODE
EVENTS = 5
WRITTEN = json.loads((HERE / "package.json").read_text())["dependencies"]


class Parrot:
    """Says the same words to all, one after the other, and notices who hangs up."""

    def __init__(self) -> None:
        self.url = ""
        self.left = asyncio.Event()
        self.go_on = asyncio.Event()

    async def completions(self, request: web.Request) -> web.StreamResponse:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "parrot"}
        words = [{**chunk, "choices": [{"index": 0, "delta": {"content": f"{n} "}}]} for n in range(EVENTS)]
        end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        return await self._say(request, [*words, end])

    async def chat(self, request: web.Request) -> web.StreamResponse:
        words = [{"type": "text-delta", "id": "t", "delta": f"{n} "} for n in range(EVENTS)]
        begun, ended = {"type": "text-start", "id": "t"}, {"type": "text-end", "id": "t"}
        return await self._say(request, [{"type": "start"}, begun, *words, ended, {"type": "finish"}])

    async def _say(self, request: web.Request, events: list[object]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in map(json.dumps, events):
                await response.write(f"data: {event}\n\n".encode())
            if request.query:  # it is to stay open
                await self.go_on.wait()
            await response.write(b"data: [DONE]\n\n")
        except asyncio.CancelledError:
            self.left.set()
            raise
        return response


@pytest.fixture
async def parrot() -> AsyncIterator[Parrot]:
    parrot, app = Parrot(), web.Application()
    app.router.add_post("/v1/chat/completions", parrot.completions)
    app.router.add_post("/api/chat", parrot.chat)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    parrot.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield parrot
    parrot.go_on.set()
    await runner.cleanup()


async def client(driver: Driver, parrot: Parrot) -> Made:
    return await driver.make("client", {"baseURL": f"{parrot.url}/v1", "apiKey": "none"})


def said(made: Made, query: dict[str, str] | None = None, **ways: int) -> Call:
    params = {"model": "parrot", "messages": [], "stream": True}
    return made.call("chat.completions.create", params, {"query": query or {}}, **ways)


@pytest.mark.parametrize("script", ["openai.mjs", "ai_sdk.mjs", "ag_ui.mjs"])
async def test_the_clients_are_those_that_are_written_down(script: str) -> None:
    async with driving(script) as driver:
        told = await driver.call("hello").result()
    assert told.pop("node").startswith("v")
    assert told == WRITTEN, "run: npm ci --prefix tests/clients"


async def test_events_come_one_by_one_and_then_the_end(openai_node: Driver, parrot: Parrot) -> None:
    call = said(await client(openai_node, parrot))
    words = [each["choices"][0]["delta"].get("content", "") async for each in call]
    assert "".join(words) == "0 1 2 3 4 "
    assert await call.result() is None


@pytest.mark.parametrize("n", range(1, EVENTS + 2))
async def test_a_call_that_is_cut_reads_no_more_and_hangs_up(
    openai_node: Driver, parrot: Parrot, n: int
) -> None:
    call = said(await client(openai_node, parrot), {"stay": "open"}, cut=n)
    assert await call.result() is None
    assert len(call.events) == n
    await parrot.left.wait()


async def test_a_call_that_is_held_goes_on_when_it_may(openai_node: Driver, parrot: Parrot) -> None:
    held = said(await client(openai_node, parrot), hold=2)
    await held.until(lambda _: len(held.events) == 2)
    # One that was begun later has ended, and the held one has not moved.
    await said(await client(openai_node, parrot)).result()
    assert len(held.events) == 2
    held.go_on()
    await held.result()
    assert len(held.events) == EVENTS + 1


async def test_a_call_can_be_aborted(openai_node: Driver, parrot: Parrot) -> None:
    call = said(await client(openai_node, parrot), {"stay": "open"})
    await call.until(lambda _: True)
    call.abort()
    await call.result()
    await parrot.left.wait()


async def test_an_error_is_told_as_the_client_tells_it(openai_node: Driver, parrot: Parrot) -> None:
    made = await client(openai_node, parrot)
    with pytest.raises(ClientError, match="404") as raised:
        await made.ask("responses.create", {"model": "parrot", "input": "hello"})
    assert (raised.value.kind, raised.value.status) == ("NotFoundError", 404)


async def test_what_waits_for_a_driver_hears_that_it_has_ended(parrot: Parrot) -> None:
    async with driving("openai.mjs") as driver:
        call = said(await client(driver, parrot), {"stay": "open"})
        await call.until(lambda _: True)
    with pytest.raises(ClientError, match="has ended"):
        await call.result()


async def test_a_chat_tells_its_state_with_each_change(ai_sdk: Driver, parrot: Parrot) -> None:
    chat = await ai_sdk.make("chat", {"id": "c1", "api": f"{parrot.url}/api/chat"})
    end = await chat.ask("sendMessage", {"text": "hello"})
    assert [message["role"] for message in end["messages"]] == ["user", "assistant"]
    assert end["messages"][1]["parts"] == [{"type": "text", "text": "0 1 2 3 4 ", "state": "done"}]
    assert (end["status"], end["error"]) == ("ready", None)
    assert end["finished"] == [{"isAbort": False, "isDisconnect": False, "isError": False}]
    assert "submitted" in [state["status"] for state in chat.by.events[1:]]


async def test_a_chat_can_lose_its_network(ai_sdk: Driver, parrot: Parrot) -> None:
    chat = await ai_sdk.make("chat", {"id": "c1", "api": f"{parrot.url}/api/chat?stay=open"}, cut=4)
    end = await chat.ask("sendMessage", {"text": "hello"})
    assert end["messages"][1]["parts"] == [{"type": "text", "text": "0 1 ", "state": "streaming"}]
    assert end["status"] == "error"
    assert end["finished"][0]["isDisconnect"]
    await parrot.left.wait()


async def test_a_chat_that_is_held_reads_on_when_it_may(ai_sdk: Driver, parrot: Parrot) -> None:
    chat = await ai_sdk.make("chat", {"id": "c1", "api": f"{parrot.url}/api/chat"}, hold=3)
    sending = chat.call("sendMessage", {"text": "hello"})
    held = await chat.by.until(lambda state: len(state["messages"]) == 2)
    assert held["messages"][1]["parts"] == [{"type": "text", "text": "0 ", "state": "streaming"}]
    chat.by.go_on()
    assert (await sending.result())["messages"][1]["parts"][0]["text"] == "0 1 2 3 4 "
