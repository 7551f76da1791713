"""`turnkeeper serve` in a process of its own: it says where it is, and is gone when it should be."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.web.fakes_web import Command, Door, command, served
from turnkeeper.web.server import FORCED

#: Seconds the process is allowed in these tests, and what starting up the kill may add.
DEADLINE = "2.5"
SLACK = 1.0
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)

AGENTS = """
import asyncio, sys, time

async def blocks(turn):
    turn.emit("blocked", 1)
    await asyncio.sleep(0.05)
    while True:
        time.sleep(0.5)

async def asks_a_thread(turn):
    return await asyncio.to_thread(str, "done")

async def holds_a_thread(turn):
    turn.emit("held", 1)
    await asyncio.to_thread(time.sleep, 60)

async def tidies_up(turn):
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        print("tidied up", file=sys.stderr, flush=True)

async def floods(turn):
    for _ in range(200):
        turn.emit("flood", "x" * 60_000)
    await asyncio.Event().wait()
"""


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    (tmp_path / "agents_here.py").write_text(AGENTS)
    return tmp_path


async def gone(process: Command, number: int) -> tuple[int, float]:
    """The exit status, and how long the process took."""
    sent = process.signal(number)
    status = await process.ended()
    return status, time.monotonic() - sent


@BOTH
async def test_an_idle_server_ends_at_once_and_all_is_well(number: int) -> None:
    async with served() as (process, door):
        assert (await door.get("/healthz")).status == 200
        status, took = await gone(process, number)

        assert (status, await process.complaint()) == (0, "")
        assert took < 2.0


@BOTH
async def test_a_running_turn_is_cancelled_and_every_stream_told(number: int) -> None:
    async with served(SHUTDOWN_DEADLINE=DEADLINE) as (process, door):
        async with door.stream("busy") as busy, door.stream("idle") as idle:
            await door.sent("busy", "one two three " * 50)
            await busy.until("delta")
            await idle.until("snapshot")
            status, took = await gone(process, number)

            *_, terminal, close = await busy.rest()
            assert (terminal.event, terminal.json["reason"]["code"]) == ("turn.cancelled", "shutdown")
            assert (close.event, close.data) == ("close", "Server shutting down")
            assert [(each.event, each.data) for each in await idle.rest()] == [
                ("close", "Server shutting down")
            ]
        assert (status, await process.complaint()) == (0, "")
        assert took < float(DEADLINE) + SLACK


async def test_a_turn_gets_its_chance_to_clean_up(agents: Path) -> None:
    async with served("--agent", "agents_here:tidies_up", cwd=agents, SHUTDOWN_DEADLINE="2") as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("turn.started")
            status, _ = await gone(process, signal.SIGTERM)
            assert [each.event for each in await stream.rest()] == ["turn.cancelled", "close"]

        assert status == 0
        assert "tidied up" in await process.complaint()


@BOTH
async def test_a_turn_that_does_not_listen_is_abandoned_within_the_deadline_and_the_status_says_so(
    number: int,
) -> None:
    async with served(SHUTDOWN_DEADLINE=DEADLINE) as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s", agent="stubborn")
            await stream.until("delta")
            status, took = await gone(process, number)

            events = await stream.rest()
            assert [each.event for each in events] == ["turn.unresponsive", "close"]
            assert events[-1].data == "Server shutting down"
        assert status == FORCED
        assert took < float(DEADLINE) + SLACK
        assert "Traceback" not in await process.complaint()


@BOTH
async def test_a_second_signal_ends_it_at_once(number: int) -> None:
    async with served(SHUTDOWN_DEADLINE="60") as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s", agent="stubborn")
            await stream.until("delta")
            process.signal(number)
            # It has been heard once the server takes no more connections.
            while await is_listening(door):
                pass
            status, took = await gone(process, number)

        assert status == FORCED
        assert took < 1.0


async def is_listening(door: Door) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    except OSError:
        return False
    writer.close()
    return True


async def test_an_agent_that_blocks_the_loop_cannot_keep_the_process(agents: Path) -> None:
    async with served("--agent", "agents_here:blocks", cwd=agents, SHUTDOWN_DEADLINE="1") as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("blocked")
            # Its sleep of 0.05 s is over by then: from here on the loop does not turn.
            await asyncio.to_thread(time.sleep, 0.3)
            status, took = await gone(process, signal.SIGTERM)

        assert status == FORCED
        assert took < 1.0 + SLACK


async def test_a_thread_that_was_used_and_is_idle_keeps_nobody(agents: Path) -> None:
    async with served("--agent", "agents_here:asks_a_thread", cwd=agents) as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("turn.completed")
        status, took = await gone(process, signal.SIGTERM)

        assert (status, await process.complaint()) == (0, "")
        assert took < 2.0


async def test_a_thread_that_does_not_end_is_abandoned_within_the_deadline(agents: Path) -> None:
    async with served("--agent", "agents_here:holds_a_thread", cwd=agents, SHUTDOWN_DEADLINE="2") as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("held")
            status, took = await gone(process, signal.SIGTERM)
            assert (await stream.rest())[-1].data == "Server shutting down"

        assert status == FORCED
        assert took < 2.0 + SLACK
        assert "1 threads did not stop" in await process.complaint()


async def test_a_client_that_does_not_read_cannot_keep_the_process(agents: Path) -> None:
    environ = {"SHUTDOWN_DEADLINE": "2", "LOG_BYTES": "20000000"}
    async with served("--agent", "agents_here:floods", cwd=agents, **environ) as (process, door):
        loop = asyncio.get_running_loop()
        with door.connect(receive_buffer=4096) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", door.port))
            await loop.sock_sendall(plain, b"GET /chat/s/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with door.stream("s") as other:
                while (await door.get("/chat/s")).body["subscribers"] < 2:
                    pass
                await door.sent("s")
                for _ in range(200):
                    await other.until("flood")
                status, took = await gone(process, signal.SIGTERM)
                assert (await other.rest())[-1].data == "Server shutting down"

        assert status == 0
        assert took < 2.0 + SLACK


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer hunter2\x01",
        b"X-Long: " + b"hunter2" * 2_000,
        b"Content-Encoding: hunter2\x00",
    ],
    ids=["a token", "too long", "a zero byte"],
)
async def test_a_request_that_is_not_http_is_noted_in_one_line_without_its_secrets(line: bytes) -> None:
    async with served() as (process, door):
        answer = await door.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
        assert answer.status == 400
        await gone(process, signal.SIGTERM)

        complaint = await process.complaint()
        assert "hunter2" not in complaint
        assert "WARNING turnkeeper.http: a request from 127.0.0.1 is not HTTP" in complaint
        assert complaint.count("\n") == 1


async def test_a_port_in_use_is_told_in_one_line() -> None:
    async with served() as (_, door), command("serve", "--port", str(door.port)) as second:
        complaint = await second.complaint()
        assert await second.ended() == 1

    assert complaint == f"turnkeeper: cannot listen on 127.0.0.1 port {door.port}: address already in use\n"
