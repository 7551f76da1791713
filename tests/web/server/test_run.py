"""`turnkeeper serve` in a process of its own: it says where it is, and is gone when it should be."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from tests.fakes import done
from tests.web.fakes_web import Command, Door, command, served
from turnkeeper.web import REGISTRY, WebSettings, create_app
from turnkeeper.web.server.run import FORCED, _serve

#: The shutdown deadline where something has to be abandoned, in seconds, and where nothing has to be: a
#: machine that stalls must not make one of the other.
DEADLINE, NEVER = "1", "60"
#: Seconds within which the process is gone although something would keep it for a minute.
SOON = 40.0
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)

AGENTS = """
import asyncio, sys, time

async def blocks(turn):
    print("it blocks", file=sys.stderr, flush=True)
    while True:
        time.sleep(0.5)

async def asks_a_thread(turn):
    return await asyncio.to_thread(str, "done")

async def holds_a_thread(turn):
    loop = asyncio.get_running_loop()

    def hold():  # says so itself: work that no thread has taken yet is dropped when its turn is cancelled
        loop.call_soon_threadsafe(turn.emit, "held", 1)
        time.sleep(60)

    await asyncio.to_thread(hold)

async def tidies_up(turn):
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        print("tidied up", file=sys.stderr, flush=True)

async def leaves(turn):
    turn.emit("begun")
    match turn.text:
        case "the turn":
            await asyncio.sleep(0.01)
            sys.exit(3)
        case "a task":
            task = asyncio.create_task(leaves_later())
            await asyncio.wait({task})
            task.exception()
        case "a timer":
            asyncio.get_running_loop().call_later(0.01, sys.exit, 3)
            await asyncio.Event().wait()
        case "an interrupt":
            raise KeyboardInterrupt
        case "the loop":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0.01)
        case _:
            await asyncio.Event().wait()

async def leaves_later():
    await asyncio.sleep(0.01)
    sys.exit(3)

async def leaves_at_the_end(turn):
    async def leave():
        try:
            await asyncio.Event().wait()
        finally:
            sys.exit(3)

    turn.emit("begun")
    here.append(asyncio.create_task(leave()))
    try:
        await asyncio.Event().wait()
    finally:
        here.append(asyncio.create_task(leaves_later()))

here = []

async def hangs(turn):
    a_tool_that_blocks()

def a_tool_that_blocks():
    time.sleep(0.3)

async def forges(turn):
    async def fail():
        raise RuntimeError("x" + turn.text)

    asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    await fail()

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
    async with served(SHUTDOWN_DEADLINE=NEVER) as (process, door):
        assert (await door.get("/healthz")).status == 200
        status, took = await gone(process, number)

        assert (status, await process.complaint()) == (0, "")
        assert took < SOON


@BOTH
async def test_a_running_turn_is_cancelled_and_every_stream_closed(number: int) -> None:
    async with served(SHUTDOWN_DEADLINE=NEVER) as (process, door):
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
        assert took < SOON


async def test_a_turn_gets_its_chance_to_clean_up(agents: Path) -> None:
    async with served("--agent", "agents_here:tidies_up", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
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
async def test_a_turn_that_does_not_listen_is_abandoned_after_its_grace_and_the_status_says_so(
    number: int,
) -> None:
    async with served(SHUTDOWN_DEADLINE=NEVER, CANCEL_GRACE="0.3") as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s", agent="stubborn")
            await stream.until("delta")
            status, took = await gone(process, number)

            events = await stream.rest()
            assert [each.event for each in events] == ["turn.unresponsive", "close"]
            assert events[-1].data == "Server shutting down"
        assert status == FORCED
        assert took < SOON
        assert "Traceback" not in await process.complaint()


async def test_a_turn_whose_grace_is_longer_is_abandoned_at_the_deadline() -> None:
    async with served(SHUTDOWN_DEADLINE=DEADLINE, CANCEL_GRACE="600") as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s", agent="stubborn")
            await stream.until("delta")
            status, took = await gone(process, signal.SIGTERM)

        assert status == FORCED
        assert took < SOON


@BOTH
async def test_a_second_signal_ends_it_at_once(number: int) -> None:
    async with served(SHUTDOWN_DEADLINE=NEVER) as (process, door):
        async with door.stream("s") as stream:
            await door.sent("s", agent="stubborn")
            await stream.until("delta")
            process.signal(number)
            # It has been heard once the server takes no more connections.
            while await is_listening(door):
                pass
            status, took = await gone(process, number)

        assert status == FORCED
        assert took < SOON


async def is_listening(door: Door) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    except OSError:
        return False
    writer.close()
    return True


async def test_an_agent_that_blocks_the_loop_cannot_keep_the_process(agents: Path) -> None:
    async with served("--agent", "agents_here:blocks", cwd=agents, SHUTDOWN_DEADLINE=DEADLINE) as (
        process,
        door,
    ):
        assert process.process.stderr is not None
        sent = asyncio.ensure_future(door.send("s"))
        try:
            assert await process.process.stderr.readline() == b"it blocks\n"
            status, took = await gone(process, signal.SIGTERM)
        finally:
            await asyncio.gather(sent, return_exceptions=True)  # there is no answer any more

        assert status == FORCED
        assert took < SOON


async def test_a_thread_that_was_used_and_is_idle_holds_nothing_up(agents: Path) -> None:
    async with served("--agent", "agents_here:asks_a_thread", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("turn.completed")
        status, took = await gone(process, signal.SIGTERM)

        assert (status, await process.complaint()) == (0, "")
        assert took < SOON


async def test_a_thread_that_does_not_end_is_abandoned(agents: Path) -> None:
    async with served("--agent", "agents_here:holds_a_thread", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("held")
            status, took = await gone(process, signal.SIGTERM)
            assert (await stream.rest())[-1].data == "Server shutting down"

        assert status == FORCED
        assert took < SOON
        assert "1 threads did not stop" in await process.complaint()


@pytest.mark.parametrize(
    ("how", "end", "code"),
    [
        ("the turn", "turn.failed", "system_exit"),
        ("a task", "turn.failed", "system_exit"),
        ("a timer", "turn.failed", "system_exit"),
        ("an interrupt", "turn.failed", "keyboard_interrupt"),
        ("the loop", "turn.completed", None),
    ],
)
async def test_an_agent_that_leaves_the_process_leaves_the_server_to_the_others(
    agents: Path, how: str, end: str, code: str | None
) -> None:
    """G14."""
    async with served("--agent", "agents_here:leaves", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
        process,
        door,
    ):
        async with door.stream("other") as other, door.stream("s") as stream:
            await door.sent("other", "wait")
            await other.until("begun")
            await door.sent("s", how)
            ended = await stream.until(end)
            if code is not None:
                assert ended.json["error"]["code"] == code
            await door.sent("s", "wait")
            await stream.until("begun")
            assert (await door.post("/chat/other/cancel_send_task")).body["status"] == "cancelled"
            assert [each.event for each in await other.rest()] == ["turn.cancelled", "close"]
        status, _ = await gone(process, signal.SIGTERM)

        assert status == 0
        assert ("SystemExit: 3" in await process.complaint()) == (code == "system_exit")


async def test_a_task_that_leaves_the_process_during_the_shutdown_does_not_cut_it_short(agents: Path) -> None:
    """G10, G14."""
    async with served("--agent", "agents_here:leaves_at_the_end", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s")
            await stream.until("begun")
            status, _ = await gone(process, signal.SIGTERM)
            assert [each.event for each in await stream.rest()] == ["turn.cancelled", "close"]

        assert status == 0


async def test_an_agent_that_blocks_the_loop_is_logged_once_with_its_turn_and_stack(
    agents: Path,
) -> None:
    """G14."""
    async with served("--agent", "agents_here:hangs", cwd=agents, SLOW_LOOP="0.05") as (process, door):
        async with door.stream("s") as stream:
            task = await door.sent("s")
            await stream.until("turn.completed")
        lag = (await door.get("/healthz")).body["loop_lag"]
        await gone(process, signal.SIGTERM)

        complaint = await process.complaint()
        assert complaint.count(f"late, in turn {task} of session s, user local") == 1
        assert "in a_tool_that_blocks" in complaint
        assert lag["count"] >= 1


async def test_no_text_of_an_agents_forges_an_entry_of_the_log(agents: Path) -> None:
    """G14: whatever logs it, asyncio too, for a task that the agent forgot."""
    async with served("--agent", "agents_here:forges", cwd=agents, SHUTDOWN_DEADLINE=NEVER) as (
        process,
        door,
    ):
        async with door.stream("s") as stream:
            await door.sent("s", "\r\n2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged" * 9)
            await stream.until("turn.failed")
        await gone(process, signal.SIGTERM)

        complaint = await process.complaint()
        begun = [line for line in complaint.splitlines() if not line.startswith(" ")]
        assert sorted(line.split()[3] for line in begun) == ["asyncio:", "turnkeeper:"]
        assert complaint.count("forged") >= 18


async def test_a_client_that_does_not_read_cannot_keep_the_process(agents: Path) -> None:
    environ = {"SHUTDOWN_DEADLINE": NEVER, "LOG_BYTES": "20000000"}
    async with served("--agent", "agents_here:floods", cwd=agents, **environ) as (process, door):
        loop = asyncio.get_running_loop()
        with door.connect(receive_buffer=4096) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", door.port))
            await loop.sock_sendall(plain, b"GET /chat/s/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await loop.sock_recv(plain, 1) == b"H", "its stream is open"
            async with door.stream("s") as other:
                await door.sent("s")
                for _ in range(200):
                    await other.until("flood")
                status, took = await gone(process, signal.SIGTERM)
                assert (await other.rest())[-1].data == "Server shutting down"

        assert status == 0
        assert took < SOON


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


async def test_a_port_in_use_is_reported_in_one_line() -> None:
    async with served() as (_, door), command("serve", "--port", str(door.port)) as second:
        complaint = await second.complaint()
        assert await second.ended() == 1

    assert complaint == f"turnkeeper: cannot listen on 127.0.0.1 port {door.port}: address already in use\n"


async def test_what_happens_to_connections_is_counted_with_the_rest() -> None:
    settings = WebSettings(port=0, max_connections=1)
    app = create_app(done, settings=settings, pages=False, docs=False)
    stop, addresses = asyncio.Event(), asyncio.Queue[str]()
    serving = asyncio.create_task(_serve(app, settings, addresses.put_nowait, stop, 0.2))
    port = int((await addresses.get()).rpartition(":")[2].strip("/"))
    _, kept = await asyncio.open_connection("127.0.0.1", port)
    reader, refused = await asyncio.open_connection("127.0.0.1", port)

    assert (await asyncio.wait_for(reader.read(), SOON)).startswith(b"HTTP/1.1 503")
    assert (await app[REGISTRY].counts()).counters["connections_refused_total"] == 1
    for writer in (kept, refused):
        writer.close()
        await writer.wait_closed()
    stop.set()
    await serving


# -- The log ----------------------------------------------------------------------------------------


async def test_the_log_has_an_entry_for_the_end_of_each_turn_and_one_for_each_request_if_asked(
    agents: Path,
) -> None:
    options = "--agent", "agents_here:asks_a_thread", "--log-format", "json", "--access-log"
    async with served(*options, cwd=agents, LOG_LEVEL="info") as (process, door):
        task = (await door.send("s1", query="?secret=1")).body["task_id"]
        async with door.stream("s1", "?last_event_id=0") as stream:
            await stream.until("turn.completed")
        await gone(process, signal.SIGTERM)
        entries = [json.loads(line) for line in (await process.complaint()).splitlines()]

    [end] = [entry for entry in entries if entry.get("status") == "completed"]
    assert (end["session"], end["turn"], end["user"]) == ("s1", task, "local")
    [asked] = [entry for entry in entries if entry.get("method") == "POST"]
    assert (asked["logger"], asked["path"], asked["http_status"]) == (
        "turnkeeper.access",
        "/chat/s1/send",
        202,
    )
    assert not any("secret" in str(entry) for entry in entries)
