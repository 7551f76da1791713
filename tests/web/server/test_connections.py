"""Connections: bounds, deadlines and half-closed peers; scripted transports and a clock that jumps."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from aiohttp import web

from tests.fakes import VirtualClock, settle, virtual_time
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.web.http.stream import LINE
from turnkeeper.web.server.connections import (
    LOOK_BATCH,
    SETTLED_AFTER,
    Bounds,
    Connection,
    Connections,
    Phase,
)

FAR, NEAR = "192.0.2.7", "127.0.0.1"


class Wire(asyncio.Transport):
    """A peer's end, scripted: what was written, and whether it was closed."""

    def __init__(self, peer: str | None = FAR) -> None:
        super().__init__({"peername": None if peer is None else (peer, 4000)})
        self.written = b""
        self.closed = False
        self.unsent = 0

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Talk(asyncio.Protocol):
    """What would be aiohttp's protocol."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")

    def close(self) -> None:
        self.heard.append("close")


class Server:
    """Connections with few places, and who came."""

    def __init__(self, **bounds: Any) -> None:
        limits: dict[str, Any] = {"in_all": 3, "per_peer": 2, "header_timeout": 10.0, **bounds}
        self.talks: list[Talk] = []
        self.meter = Meter()
        self.all = Connections(asyncio.get_running_loop(), self._talk, Bounds(**limits), self.meter)

    def _talk(self) -> Talk:
        self.talks.append(Talk())
        return self.talks[-1]

    def come(self, peer: str | None = FAR) -> tuple[Connection, Wire]:
        wire, connection = Wire(peer), self.all()
        connection.connection_made(wire)
        return connection, wire


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with virtual_time() as jumping:
        yield jumping


def code_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


async def test_one_peer_has_so_many_connections_and_the_next_is_refused_with_a_code_and_counted() -> None:
    server = Server()
    server.come()
    second, _ = server.come()

    _, refused = server.come()

    assert code_of(refused.written) == (429, "TOO_MANY_CONNECTIONS")
    assert b"Retry-After: " in refused.written
    assert refused.closed
    assert server.meter.counts() == {"peer_connections_refused_total": 1}
    assert len(server.talks) == len(server.all) == 2
    second.connection_lost(None)
    assert not server.come()[1].closed


@pytest.mark.parametrize("peer", [NEAR, "::1", None, "192.0.2.9"])
async def test_this_machine_unix_sockets_and_trusted_proxies_have_no_bound_of_their_own(
    peer: str | None,
) -> None:
    server = Server(per_peer=1, trusted=frozenset({"192.0.2.9"}))

    assert not any(server.come(peer)[1].closed for _ in range(3))


async def test_a_full_server_refuses_with_a_code_and_counts_it() -> None:
    server = Server(per_peer=100)
    for _ in range(3):
        server.come()

    refused, wire = server.come()

    assert code_of(wire.written) == (503, "SERVER_FULL")
    assert wire.closed
    assert server.meter.counts() == {"connections_refused_total": 1}
    refused.data_received(b"GET / HTTP/1.1")
    assert refused.eof_received() is None
    refused.pause_writing()
    refused.resume_writing()
    refused.connection_lost(None)
    assert len(server.all) == 3


async def test_what_is_idle_longest_makes_room_but_not_while_its_answer_is_on_the_way(
    clock: VirtualClock,
) -> None:
    server = Server(per_peer=100, header_timeout=1000.0)
    come = [server.come() for _ in range(3)]
    for connection, _ in come[:2]:
        server.all.enter(connection, Phase.BUSY)
        server.all.enter(connection, Phase.IDLE)
    assert server.come()[1].closed, "it has only just become idle"
    await asyncio.sleep(SETTLED_AFTER)
    come[0][1].unsent = 1

    _, admitted = server.come()

    assert [wire.closed for _, wire in come] == [False, True, False]
    assert not admitted.closed
    assert server.meter.counts() == {"connections_refused_total": 1, "connections_closed_idle_total": 1}
    assert len(server.all) == 3


async def test_very_many_that_are_due_at_once_are_hung_up_on_in_passes(clock: VirtualClock) -> None:
    """G9."""
    count = 2 * LOOK_BATCH + 1
    server = Server(header_timeout=10.0, in_all=count, per_peer=count)
    wires = [server.come()[1] for _ in range(count)]
    closed = [0]
    while closed[-1] < count:
        await asyncio.sleep(0 if closed[-1] else 10)
        closed.append(sum(wire.closed for wire in wires))
    assert max(after - before for before, after in pairwise(closed)) == LOOK_BATCH


async def test_a_head_that_does_not_come_in_time_is_hung_up_on_and_counted(clock: VirtualClock) -> None:
    server = Server(header_timeout=10.0)
    silent, nothing = server.come()
    await asyncio.sleep(4)
    slow, half = server.come()
    slow.data_received(b"GET / HT")
    await asyncio.sleep(5.9)
    assert not nothing.closed
    await asyncio.sleep(0.2)
    assert (nothing.closed, nothing.written) == (True, b"")
    assert not half.closed
    slow.data_received(b"TP")

    await asyncio.sleep(4)

    assert half.closed
    assert code_of(half.written) == (408, "HEADER_TIMEOUT")
    assert server.meter.counts() == {"connections_timed_out_total": 2}
    assert len(server.all) == 0
    silent.connection_lost(None)
    slow.connection_lost(None)
    assert len(server.all) == 0


async def test_the_deadline_runs_again_from_the_first_byte_after_an_answer(clock: VirtualClock) -> None:
    server = Server(header_timeout=10.0)
    connection, wire = server.come()
    server.all.enter(connection, Phase.BUSY)
    await asyncio.sleep(60)
    server.all.enter(connection, Phase.IDLE)
    await asyncio.sleep(60)
    assert not wire.closed

    connection.data_received(b"G")
    await asyncio.sleep(9)
    assert not wire.closed
    await asyncio.sleep(2)

    assert wire.closed


async def test_a_peer_that_sends_no_more_gets_its_answer() -> None:
    server = Server()
    connection, _ = server.come()
    server.all.enter(connection, Phase.BUSY)

    assert connection.eof_received() is True
    assert server.talks[0].heard == ["made", "eof", "close"]


async def test_a_peer_that_sent_half_a_head_and_no_more_is_hung_up_on_at_the_deadline(
    clock: VirtualClock,
) -> None:
    server = Server(header_timeout=10.0)
    connection, wire = server.come()
    connection.data_received(b"GET / HT")
    assert connection.eof_received() is True

    await asyncio.sleep(11)

    assert wire.closed


@pytest.mark.parametrize("phase", [Phase.READING, Phase.IDLE, Phase.STREAMING])
async def test_a_peer_that_sends_no_more_and_awaits_no_answer_is_done(phase: Phase) -> None:
    server = Server()
    connection, _ = server.come()
    server.all.enter(connection, phase)

    assert connection.eof_received() is None


async def test_a_stream_learns_at_once_that_its_peer_has_gone() -> None:
    server = Server()
    gone: list[str] = []
    connection, _ = server.come()
    server.all.enter(connection, Phase.BUSY)
    connection.stream(lambda: gone.append("gone"))

    connection.connection_lost(None)

    assert gone == ["gone"]
    assert server.talks[0].heard == ["made", "lost"]


async def test_a_stream_that_has_ended_is_not_called_back() -> None:
    server = Server()
    connection, _ = server.come()
    connection.stream(lambda: pytest.fail("it has ended"))
    connection.end_stream()

    connection.connection_lost(None)


async def test_writing_is_paused_and_resumed_for_the_one_who_writes() -> None:
    server = Server()
    connection, _ = server.come()

    connection.pause_writing()
    connection.resume_writing()

    assert server.talks[0].heard == ["made", "pause", "resume"]


@asynccontextmanager
async def listening(handler: Any, **bounds: Any) -> AsyncIterator[tuple[Connections, int]]:
    """A real server on a free port of this machine, with its connections kept."""
    loop = asyncio.get_running_loop()
    app = web.Application()
    app.router.add_route("*", "/", handler)
    limits: dict[str, Any] = {"in_all": 10, "per_peer": 10, "header_timeout": 60.0, **bounds}
    runner = web.AppRunner(app)
    connections = Connections(loop, lambda: runner.server(), Bounds(**limits), Meter())  # type: ignore[misc]  # noqa: PLW0108
    app.middlewares.append(connections.middleware)
    await runner.setup()
    server = await loop.create_server(connections, NEAR, 0)
    try:
        yield connections, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()
        await server.wait_closed()


@pytest.mark.parametrize("at_once", [True, False])
async def test_over_a_real_socket_a_half_closed_peer_gets_the_answer_it_waits_for(at_once: bool) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.Response(text="here it is")

    async with listening(slow) as (connections, port):
        reader, writer = await asyncio.open_connection(NEAR, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        if not at_once:
            await asked.wait()
        writer.write_eof()
        await asked.wait()
        await settle()
        assert len(connections) == 1
        go_on.set()

        assert (await reader.read()).endswith(b"here it is")
        writer.close()
        await writer.wait_closed()


async def test_over_a_real_socket_a_stream_ends_when_its_peer_has_sent_its_last() -> None:
    streaming, gone = asyncio.Event(), asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"event")
        request[LINE].stream(gone.set)
        streaming.set()
        await gone.wait()
        return response

    async with listening(stream) as (connections, port):
        _, writer = await asyncio.open_connection(NEAR, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await streaming.wait()
        assert len(connections) == 1
        writer.write_eof()
        await gone.wait()
        writer.close()
        await writer.wait_closed()
        while len(connections):
            await settle(1)


async def test_a_kept_connection_is_idle_between_two_requests() -> None:
    phases: list[Phase] = []

    async def note(request: web.Request) -> web.Response:
        phases.append(cast("Connection", request[LINE]).phase)
        return web.Response(text="x")

    async with listening(note) as (_connections, port):
        reader, writer = await asyncio.open_connection(NEAR, port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200" in head
            assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()

    assert phases == [Phase.BUSY, Phase.BUSY]
