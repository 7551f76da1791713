"""Requests whose turn ends with them, and what their clients do to that: in both kinds of servers."""

import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import EventSourceParser, until
from turnkeeper.actors import SessionRegistry, Turn
from turnkeeper.actors.model.words import TERMINAL, CancelCode, TurnStatus
from turnkeeper.web import REGISTRY, Call, WebSettings, create_app, route, setup
from turnkeeper.web.http.line import LINE
from turnkeeper.web.http.mount import MOUNTS
from turnkeeper.web.http.stream import Streams
from turnkeeper.web.server.connections import Phase
from turnkeeper.web.server.run import _serve
from turnkeeper.web.wires import JsonEvents, Said, StreamClosed, Text

#: Within how many seconds a hang-up has reached the agent, also on a machine that is busy with other things.
IN_TIME = 2.0
CERTIFICATE = Path(__file__).parents[1] / "web" / "localhost.pem"


def fold(said: Said | StreamClosed) -> list[Any]:
    return [said.text if isinstance(said, Text) else type(said).__name__]


async def run(call: Call) -> Any:
    """The reader that a request asks for."""
    body = await call.json()
    ways = {name: body[name] for name in ("turn_id", "strategy") if name in body}
    return await call.run(body["chat"], body.get("text", "hello"), **ways)


async def stream(call: Call) -> web.StreamResponse:
    return await call.stream(await run(call), JsonEvents(fold))


async def answer(call: Call) -> web.StreamResponse:
    batches = [batch async for batch in call.events(await run(call))]
    return web.json_response(sum(map(len, batches)))


WAYS = {"/stream": stream, "/answer": answer}


@dataclass
class House:
    """A server, whichever it is."""

    port: int
    registry: SessionRegistry
    streams: Streams
    clients: list["Client"] = field(default_factory=list)

    async def client(self, tls: ssl.SSLContext | None = None, buffer: int | None = None) -> "Client":
        plain = socket.socket()
        if buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
        name = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection(
            sock=plain, ssl=tls, server_hostname=name, limit=1 << 14
        )
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    async def over(self, turn_id: str, chat: str = "s") -> Any:
        """The record of a turn, once it has ended. Waiting for that does not count as reading it."""

        async def ended() -> bool:
            return (await self.registry.turn(chat, turn_id)).status in TERMINAL

        await until(ended)
        return await self.registry.turn(chat, turn_id)


@dataclass
class Client:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    parser: EventSourceParser = field(default_factory=EventSourceParser)

    def post(self, path: str, version: str = "1.1", **body: Any) -> None:
        data = json.dumps({"chat": "s", **body}).encode()
        head = f"POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)

    async def until(self, text: str) -> str:
        return (await self.reader.readuntil(text.encode())).decode()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        plain = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


LEAVING: dict[str, Callable[[Client], None]] = {
    "closes": Client.close,
    "resets": Client.reset,
    "half closes": Client.half_close,
}


@asynccontextmanager
async def mounted(agent: Any, tls: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[House]:
    app = web.Application()
    owner_of = settings.pop("owner_of", None)
    registry = setup(app, agent, settings=WebSettings(slow_loop=0, **settings), owner_of=owner_of)
    for path, way in WAYS.items():
        route(app, "POST", path, way)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    house = House(runner.addresses[0][1], registry, app[MOUNTS][""].streams)
    try:
        yield house
    finally:
        await leave(house, agent)
        await runner.cleanup()


@asynccontextmanager
async def served(agent: Any, **settings: Any) -> AsyncIterator[House]:
    chosen = WebSettings(port=0, slow_loop=0, **settings)
    app = create_app(agent, settings=chosen, pages=False, docs=False)
    for path, way in WAYS.items():
        route(app, "POST", path, way)
    stop, addresses = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(_serve(app, chosen, addresses.put_nowait, stop, 0.2))
    port = int((await addresses.get()).rpartition(":")[2].strip("/"))
    house = House(port, app[REGISTRY], app[MOUNTS][""].streams)
    try:
        yield house
    finally:
        await leave(house, agent)
        stop.set()
        await task


async def leave(house: House, agent: Any) -> None:
    for client in house.clients:
        client.writer.transport.abort()
    if isinstance(agent, ScriptedAgent):
        agent.release()
    await asyncio.sleep(0)


both = pytest.mark.parametrize("house_of", [mounted, served], ids=["mounted", "served"])
each_way = pytest.mark.parametrize("path", WAYS)


def has_left(request: web.Request) -> bool:
    """Whether the server has heard of it, whoever else has."""
    line: Any = request.get(LINE)
    told = line is not None and (line.phase is Phase.GONE or line._half_closed)
    return told or request.transport is None or request.transport.is_closing()


async def would_be_stopped(house: House, agent: ScriptedAgent) -> None:
    """Wait until a turn is stopped whose client has left after all that was done before."""
    client = await house.client()
    client.post("/stream", chat="another")
    run = await agent.run()
    client.close()
    await run.cancelled.wait()


def disconnected(record: Any) -> bool:
    return record.cancellation.reason.code is CancelCode.CLIENT_DISCONNECTED


@both
@each_way
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
async def test_a_client_that_leaves_stops_its_turn_soon(
    house_of: Any, path: str, leave: Callable[[Client], None]
) -> None:
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        client = await house.client()
        client.post(path, turn_id="t1")
        run = await agent.run()
        left_at = time.monotonic()
        leave(client)
        await run.cancelled.wait()
        assert time.monotonic() - left_at < IN_TIME
        assert disconnected(await house.over("t1"))


@both
@each_way
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
async def test_one_that_leaves_before_its_message_is_accepted_is_missed_by_none(
    house_of: Any, path: str, leave: Callable[[Client], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its message is on the way to the session nothing looks at the connection."""
    agent, asked = ScriptedAgent(), asyncio.Event()
    send = Call.send

    async def slowly(call: Call, *args: Any, **ways: Any) -> Any:
        asked.set()
        await until(lambda: has_left(call.request))
        return await send(call, *args, **ways)

    monkeypatch.setattr(Call, "send", slowly)
    async with house_of(agent, heartbeat=1000.0) as house:
        client = await house.client()
        client.post(path, turn_id="t1")
        await asked.wait()
        leave(client)
        run = await agent.run()
        await run.cancelled.wait()
        assert disconnected(await house.over("t1"))


@both
@each_way
async def test_a_client_that_leaves_before_its_turn_has_started_leaves_no_turn(
    house_of: Any, path: str
) -> None:
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        first = await house.client()
        first.post("/stream", turn_id="t1")
        run = await agent.run()
        second = await house.client()
        second.post(path, turn_id="t2", strategy="enqueue")
        await until(lambda: house.registry.directory.entries["s"].subscribers == 2)  # type: ignore[index]
        second.close()
        record = await house.over("t2")
        assert (record.status, record.started_at) == (TurnStatus.CANCELLED, None)
        assert disconnected(record)
        assert not run.turn.cancel_requested
        assert len(agent.runs) == 1


@both
@each_way
async def test_a_turn_goes_on_whose_client_waits_for_its_place(house_of: Any, path: str) -> None:
    """Its time without a reader does not begin while the one before it runs."""
    agent = ScriptedAgent()
    async with house_of(agent) as house:
        first, second = await house.client(), await house.client()
        first.post("/stream", turn_id="t1")
        run = await agent.run()
        second.post(path, turn_id="t2", strategy="enqueue")
        await until(lambda: house.registry.directory.entries["s"].subscribers == 2)  # type: ignore[index]
        await would_be_stopped(house, agent)
        run.finish()
        later = await agent.run()
        await would_be_stopped(house, agent)
        assert not later.turn.cancel_requested
        later.finish()
        await second.until("Ended" if path == "/stream" else "\r\n\r\n")


@both
async def test_the_client_of_the_turn_behind_does_not_keep_the_one_in_front(house_of: Any) -> None:
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        first, second = await house.client(), await house.client()
        first.post("/stream", turn_id="t1")
        run = await agent.run()
        second.post("/stream", turn_id="t2", strategy="enqueue")
        await until(lambda: house.registry.directory.entries["s"].subscribers == 2)  # type: ignore[index]
        first.close()
        await run.cancelled.wait()
        assert disconnected(await house.over("t1"))
        (await agent.run()).finish()
        await second.until("Ended")


@both
@each_way
async def test_of_two_clients_of_one_turn_one_may_leave(house_of: Any, path: str) -> None:
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        first, second = await house.client(), await house.client()
        first.post(path, turn_id="t1")
        run = await agent.run()
        second.post("/stream", turn_id="t1")
        await second.until("Started")
        first.close()
        await until(lambda: house.registry.directory.entries["s"].subscribers == 1)  # type: ignore[index]
        run.turn.emit("delta", {"text": "one"})
        await second.until("one")
        await would_be_stopped(house, agent)
        assert not run.turn.cancel_requested
        second.close()
        await run.cancelled.wait()


@both
async def test_a_connection_is_used_again_after_an_answer_and_watched_anew(house_of: Any) -> None:
    """As a proxy keeps it."""
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        client = await house.client()
        for path in ("/answer", "/stream", "/answer"):
            client.post(path)
            (await agent.run()).finish()
            await client.until("Ended" if path == "/stream" else "200 OK")
            await client.until("0\r\n\r\n" if path == "/stream" else "\r\n\r\n")
        client.post("/stream", turn_id="t9")
        run = await agent.run()
        client.close()
        await run.cancelled.wait()
        assert disconnected(await house.over("t9"))


@both
@pytest.mark.parametrize(("path", "size"), [("/stream", 0), ("/answer", 0), ("/stream", 1_000_000)])
async def test_one_that_sends_another_request_before_its_answer_and_leaves_is_noticed(
    house_of: Any, path: str, size: int
) -> None:
    """Of a large one the server reads no more than the beginning: then only a heartbeat can show it."""
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=0.3) as house:
        client = await house.client()
        client.post(path, turn_id="t1")
        run = await agent.run()
        client.post(path, turn_id="t2", text="x" * size)
        if size:
            await client.until("Started")
            [open_stream] = house.streams._open
            await until(lambda: not open_stream.transport.is_reading())  # type: ignore[union-attr]
            client.reset()
        else:
            client.close()
        await run.cancelled.wait()
        assert disconnected(await house.over("t1"))


@both
async def test_the_answer_to_the_first_of_two_requests_on_one_connection_does_not_stop_the_second(
    house_of: Any,
) -> None:
    agent = ScriptedAgent()
    async with house_of(agent) as house:
        client = await house.client()
        client.post("/stream", turn_id="t1")
        client.post("/stream", turn_id="t2", chat="other")
        (await agent.run()).finish()
        await client.until("Ended")
        run = await agent.run()
        await would_be_stopped(house, agent)
        assert not run.turn.cancel_requested
        run.turn.emit("delta", {"text": "more"})
        await client.until("more")
        run.finish()
        await client.until("Ended")


@both
@each_way
async def test_the_old_protocol_is_served_and_its_clients_are_noticed_as_well(
    house_of: Any, path: str
) -> None:
    agent = ScriptedAgent()
    async with house_of(agent, heartbeat=1000.0) as house:
        whole = await house.client()
        whole.post(path, version="1.0")
        (await agent.run()).finish()
        assert b"Ended" in await whole.reader.read() or path == "/answer"
        client = await house.client()
        client.post(path, version="1.0", turn_id="t2")
        run = await agent.run()
        client.close()
        await run.cancelled.wait()


@both
async def test_a_slow_reader_gets_all_that_it_was_due(house_of: Any) -> None:
    texts = [f"word {n} " + "x" * 300 for n in range(1_200)]
    said = asyncio.Event()

    async def chatty(turn: Turn) -> None:
        for text in texts:
            turn.emit("delta", {"text": text})
        said.set()

    async with house_of(chatty) as house:
        client = await house.client(buffer=4096)
        client.post("/stream")
        await said.wait()
        await until(lambda: any(stream.writing for stream in house.streams._open))
        await client.until("\r\n\r\n")
        body = ""
        while "Ended" not in body:
            size = int(await client.until("\r\n"), 16)
            body += (await client.reader.readexactly(size + 2))[:-2].decode()
        data = [message.json for message in client.parser.feed(body.encode())]
        assert data == ["Started", *texts, "Ended"]


async def test_over_tls_a_client_that_leaves_stops_its_turn() -> None:
    agent = ScriptedAgent()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with mounted(agent, tls=context, heartbeat=1000.0) as house:
        for number, leave in enumerate((Client.close, Client.reset)):
            client = await house.client(tls=trusting)
            client.post("/stream", turn_id=f"t{number}")
            run = await agent.run()
            await client.until("Started")
            leave(client)
            await run.cancelled.wait()
            assert disconnected(await house.over(f"t{number}"))


async def test_one_that_vanishes_without_a_word_is_noticed_by_what_is_written_to_it() -> None:
    """Nothing else could show it: no packet comes of it. Here the kernel refuses the write."""
    agent = ScriptedAgent()
    async with mounted(agent, heartbeat=0.3) as house:
        client = await house.client()
        client.post("/stream", turn_id="t1")
        run = await agent.run()
        await client.until("Started")
        [open_stream] = house.streams._open
        assert open_stream.transport is not None
        open_stream.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await run.cancelled.wait()


async def test_only_streams_that_may_stop_a_turn_are_looked_at() -> None:
    agent = ScriptedAgent()
    async with mounted(agent) as house:
        native = await house.client()
        native.writer.write(b"GET /chat/s/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await native.until("snapshot")
        assert len(house.streams) == 1
        assert len(house.streams.hangups) == 0
        client = await house.client()
        client.post("/stream")
        await client.until("Started")
        assert len(house.streams.hangups) == 1
        (await agent.run()).finish()
        await client.until("Ended")
        await until(lambda: not len(house.streams.hangups))
