"""Connections that are half open, idle, half closed, or not read from."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.attacks.clients import Client, Stream, raw, send_and_leave
from tests.attacks.rig import HERE, PATIENCE, attack
from tests.attacks.server import Server, logged

DESCRIPTORS = 256
HALF_OPEN = 320
HEAD = f"GET /healthz HTTP/1.1\r\nHost: {HERE}\r\n".encode()


def open_sockets(server: Server, count: int, first: bytes, stack: ExitStack) -> list[socket.socket]:
    """So many connections on which these bytes were sent."""
    peers = []
    for _ in range(count):
        peer = stack.enter_context(socket.socket())
        peer.settimeout(2.0)
        with suppress(OSError):
            peer.connect((HERE, server.port))
            peer.sendall(first)
        peers.append(peer)
    return peers


def eventually(look: Callable[[], int], wanted: int) -> int:
    """What this comes to when it has had its time to become what is wanted."""
    until = time.monotonic() + PATIENCE
    while (seen := look()) != wanted and time.monotonic() < until:
        threading.Event().wait(0.01)
    return seen


def readers(client: Client, session: str) -> int:
    """How many readers the server counts."""
    return int(client.get(f"/chat/{session}").json["subscribers"])


# -- Half-open connections --------------------------------------------------------------------------


class Crowded(NamedTuple):
    """What others get while connections are held that never finish a request."""

    newcomers_answered: int
    newcomers_of: int
    newcomer_statuses: list[int]
    kept_client_status: int
    stream_beats: bool
    cpu_s: float
    log_lines: int
    tracebacks: int


NEWCOMERS = 5


def newcomer(server: Server) -> int:
    """What a connection is answered that is opened now."""
    with Client(server) as client:
        return client.get("/healthz").status


def crowded(count: int, first: bytes, *, idle: bool = False) -> Crowded:
    """Open this many connections against 256 descriptors, then ask as somebody else."""
    with (
        Server(nofile=DESCRIPTORS, heartbeat=0.4) as server,
        Client(server) as kept,
        Stream(server, "s") as stream,
        ExitStack() as stack,
    ):
        stream.until("snapshot")
        kept.get("/healthz")
        before = server.cpu()
        open_sockets(server, count, first, stack)
        if idle:  # the last answer of a connection may be on its way for a while before it makes room
            eventually(lambda: newcomer(server), 200)
        statuses = [newcomer(server) for _ in range(NEWCOMERS)]
        # A connection that was closed while it was idle is opened anew, as clients do.
        again = kept.get("/healthz").status or kept.get("/healthz").status
        beats = stream.beats

        def beaten() -> bool:
            stream.rest(within=0.5)
            return stream.beats > beats

        eventually(beaten, True)
        seen = logged(server.log())
        return Crowded(
            sum(status in (200, 503) for status in statuses),
            NEWCOMERS,
            statuses,
            again,
            stream.beats > beats,
            round(server.cpu() - before, 2),
            seen.lines,
            seen.tracebacks,
        )


@attack("320 half-open connections against 256 descriptors silenced the server and wrote 19,832 tracebacks")
def half_open() -> dict[str, Crowded]:
    return {
        "half a request's head": crowded(HALF_OPEN, HEAD),
        "nothing at all": crowded(HALF_OPEN, b""),
        "idle after an answer": crowded(HALF_OPEN, HEAD + b"\r\n", idle=True),
    }


@pytest.mark.parametrize("first", [HEAD, b""], ids=["half a head", "nothing"])
def test_half_open_connections_do_not_silence_the_server(first: bytes) -> None:
    seen = crowded(HALF_OPEN, first)
    assert seen.newcomers_answered == NEWCOMERS
    assert seen.kept_client_status in (200, 503)
    assert seen.stream_beats
    assert seen.log_lines <= 5
    assert seen.tracebacks == 0


def test_idle_connections_make_room_for_new_ones() -> None:
    seen = crowded(HALF_OPEN, HEAD + b"\r\n", idle=True)
    assert seen.newcomer_statuses == [200] * NEWCOMERS
    assert seen.stream_beats
    assert seen.log_lines <= 5


# -- A soft limit -----------------------------------------------------------------------------------


class Raised(NamedTuple):
    """What a server makes of the descriptors that it may have."""

    soft: int
    hard: int


@attack("the soft limit of descriptors is raised at start")
def soft_limit() -> Raised:
    with Server(nofile=DESCRIPTORS, hard_nofile=4 * DESCRIPTORS) as server:
        line = next(
            line
            for line in Path(f"/proc/{server.pid}/limits").read_text().splitlines()
            if line.startswith("Max open files")
        )
        soft, hard = line.split()[3:5]
        return Raised(int(soft), int(hard))


def test_the_soft_limit_of_descriptors_is_raised_at_start() -> None:
    seen = soft_limit()
    assert seen.soft == seen.hard == 4 * DESCRIPTORS


# -- Deadlines --------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """After how many seconds who says no more is hung up on, or told why; ``None`` if it does neither."""

    idle_after_an_answer: float | None
    half_a_head: float | None
    half_a_body_is_answered: float | None


def kept_for(server: Server, data: bytes, *, until_answered: bool = False) -> float | None:
    """After how many seconds the server hangs up, or says something, to who has said this and no more."""
    with socket.create_connection((HERE, server.port), PATIENCE) as peer:
        peer.sendall(data)
        began = time.monotonic()
        try:
            while peer.recv(65_536) and not until_answered:
                pass
        except TimeoutError:
            return None
        return round(time.monotonic() - began, 2)


@attack("no header deadline and no body deadline; idle connections are kept for ever")
def deadlines() -> Kept:
    with Server(keep_alive=0.3, header_timeout=0.3, body_timeout=0.3) as server:
        body = f"POST /chat/s/send HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: 100\r\n\r\n{{".encode()
        return Kept(
            kept_for(server, HEAD + b"\r\n"),
            kept_for(server, HEAD),
            kept_for(server, body, until_answered=True),
        )


def test_a_client_that_has_half_closed_its_connection_is_not_waited_for() -> None:
    assert None not in deadlines()


# -- A reader that does not read --------------------------------------------------------------------


class Held(NamedTuple):
    """What the kernel holds for a reader that does not read, at the most."""

    bytes_in_send_queue: int
    events_sent: int


def send_queue(server: Server, peer: tuple[str, int]) -> int:
    """The bytes that wait in the server's socket to this peer (Linux)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == server.port and int(remote.rpartition(":")[2], 16) == peer[1]:
            return int(queues.partition(":")[0], 16)
    return 0


FLOOD, SIZE = 240, 8_000


@attack("a stalled reader holds 437 kB in the kernel")
def stalled_readers() -> dict[str, Held]:
    return {
        "by default": stalled_reader(FLOOD // 2),
        "with a large log": stalled_reader(FLOOD, subscriber_buffer=10_000, log_bytes=8 * 2**20),
    }


def stalled_reader(count: int, **settings: Any) -> Held:
    with (
        Server(**settings) as server,
        Client(server) as client,
        Stream(server, "s", buffer=4_096) as stream,
    ):
        client.send("s", f"flood {count} {SIZE}")
        most = 0
        while True:
            most = max(most, send_queue(server, stream.address))
            if not client.get("/chat/s/active_tasks").json["active_tasks"]:
                break
        return Held(max(most, send_queue(server, stream.address)), count)


def test_the_kernel_holds_little_for_a_reader_that_does_not_read() -> None:
    for seen in stalled_readers().values():
        assert seen.bytes_in_send_queue <= 128 * 1024


# -- Half-closed connections ------------------------------------------------------------------------


class HalfClosed(NamedTuple):
    """What a client gets that has said all it has to say with a FIN."""

    healthz: str
    send: str
    waiting_cancel: str


@attack("a half-closed client gets no answer")
def half_closed() -> HalfClosed:
    with Server() as server, Client(server) as client:
        task = client.send("s", "swallow 0.3").json["task_id"]
        body = b'{"message": "say 1"}'
        asks = [
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"POST /chat/x/send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
            b"POST /chat/s/%s/cancel HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % task.encode(),
        ]
        lines = [raw(server, ask, fin=True).partition(b"\r\n")[0].decode() for ask in asks]
        return HalfClosed(*(line or "nothing" for line in lines))


def test_a_half_closed_client_gets_its_answer() -> None:
    assert half_closed() == HalfClosed("HTTP/1.1 200 OK", "HTTP/1.1 202 Accepted", "HTTP/1.1 200 OK")


class Fin(NamedTuple):
    """What a FIN does to a stream."""

    ended: bool
    readers_left: int


@attack("a FIN ends a stream at once")
def fin_on_a_stream() -> Fin:
    with (
        Server(heartbeat=60) as server,
        Client(server) as client,
        Stream(server, "s") as stream,
    ):
        client.send("s", "hold")
        stream.until("ran")
        stream.finish_sending()
        stream.rest()
        return Fin(stream.closed or stream.ended, eventually(lambda: readers(client, "s"), 0))


def test_a_fin_ends_a_stream_at_once() -> None:
    assert fin_on_a_stream() == Fin(True, 0)


# -- Cuts -------------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """What a crowd of readers leaves behind that hang up with a reset."""

    readers_left: int
    descriptors_more: int
    log_lines: int


CUTS = 100


@attack("connections cut while they stream leave nothing behind")
def cut_connections() -> Cut:
    with Server() as server, Client(server) as client:
        client.send("s", "ticks")
        before = server.descriptors()
        for number in range(CUTS):
            ask = f"GET /chat/s/events HTTP/1.1\r\nHost: {HERE}\r\n\r\n"
            send_and_leave(server, ask.encode(), after=number * 10)
        left = eventually(lambda: readers(client, "s"), 0)
        more = eventually(server.descriptors, before) - before
        return Cut(left, more, logged(server.log()).lines)


def test_cut_connections_leave_nothing_behind() -> None:
    seen = cut_connections()
    assert (seen.readers_left, seen.descriptors_more, seen.log_lines) == (0, 0, 0)
