"""turnkeeper behind a real nginx, with the configuration of the docs."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import aiohttp
import openai
import pytest
import pytest_asyncio
from aiohttp import web

from tests.deploy.running import FILES, PAGE, TURNKEEPER, environment, nginx_before, served, stop
from tests.fakes import done
from tests.web.fakes_web import PATIENCE, Door, free_port
from turnkeeper.web import WebSettings, setup

CONFIGURATION = (FILES / "nginx.conf").read_text()
#: An agent that goes on only when another session's message lets it: what a reader has by then was not held
#: back by anything that waits for more.
AGENT = '''
import asyncio
import collections

GATES = collections.defaultdict(lambda: asyncio.Semaphore(0))


async def steps(turn):
    """Three steps, each when `go SESSION` has opened the gate for it; a message without text takes none."""
    if turn.text.startswith("go "):
        GATES[turn.text.removeprefix("go ")].release()
    elif turn.text == "flood":
        for _ in range(1_000):
            turn.emit("flood", "x" * 65_536)
            await asyncio.sleep(0)
    elif turn.text:
        for number in range(3):
            turn.emit("step", {"number": number})
            await GATES[turn.session_id].acquire()
'''
TOKENS = "ada:ada-secret root:root-secret:admin"
HEARTBEAT = 0.5


@dataclass
class Deployed:
    """A real server and a real nginx before it."""

    server: Popen[str]
    port: int
    log: Path


def deployed(folder: Path) -> Iterator[Deployed]:
    (folder / "mine.py").write_text(AGENT)
    settings = {"TURNKEEPER_TOKENS": TOKENS, "TURNKEEPER_HEARTBEAT": str(HEARTBEAT), "TURNKEEPER_PORT": "0"}
    words = (*TURNKEEPER, "serve", "--agent", "mine:steps")
    with (
        served(words, cwd=folder, env=environment(settings)) as (server, port),
        nginx_before(port, folder) as front,
    ):
        yield Deployed(server, front, folder / "turnkeeper.log")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """For tests that leave both running; each has sessions of its own."""
    yield from deployed(tmp_path_factory.mktemp("deployed"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployed]:
    """For a test that ends the server."""
    yield from deployed(tmp_path)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield session


@pytest.fixture
def front(shared: Deployed, client: aiohttp.ClientSession) -> Door:
    """The ways through nginx, for ada."""
    return Door(shared.port, client, token="ada-secret")


# -- What passes ------------------------------------------------------------------------------------


async def test_each_event_arrives_while_its_turn_waits_to_go_on(front: Door) -> None:
    async with front.stream("steps") as stream:
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")
        await front.sent("steps")
        for number in range(3):
            assert (await stream.until("step")).json == {"number": number}
            assert (await front.get("/chat/steps")).body["state"] == "running"
            await front.sent("opener", "go steps")
        await stream.until("turn.completed")


async def test_a_quiet_stream_gets_its_heartbeat(front: Door) -> None:
    async with front.stream("quiet") as stream:
        await stream.until("snapshot")
        await stream.comment()
        await stream.comment()


async def test_an_event_stream_is_never_compressed_and_the_page_is(front: Door) -> None:
    accepts = {"Accept-Encoding": "gzip"}
    async with front.stream("plain", headers=accepts) as stream:
        assert "Content-Encoding" not in stream.response.headers
        await stream.until("snapshot")
    page = await front.get("/", headers=accepts)
    for path in re.findall(r'src="([^"]+\.js)"', page.text):
        answer = await front.get(f"/{path.removeprefix('/')}", headers=accepts)
        assert answer.headers["Content-Encoding"] == "gzip"
    assert page.headers["Content-Encoding"] == "gzip"


async def test_a_cancel_is_answered_and_ends_the_stream(front: Door) -> None:
    async with front.stream("stopped") as stream:
        turn = await front.sent("stopped")
        await stream.until("step")
        answer = await front.post(f"/chat/stopped/{turn}/cancel")
        assert (answer.status, answer.body["verdict"]) == (200, "cancelled")
        assert [event.event for event in await stream.rest()] == ["turn.cancelled", "close"]


async def test_where_a_turn_is_found_is_said_in_words_that_hold_outside(front: Door) -> None:
    answer = await front.send("located", "go nowhere")
    assert (await front.get(answer.headers["Location"])).body["task_id"] == answer.body["task_id"]


async def test_a_body_as_large_as_the_server_takes_passes_and_a_larger_one_is_refused_by_the_server(
    front: Door,
) -> None:
    def image(size: int) -> io.BytesIO:
        before, after = b'[{"type": "image_url", "image_url": {"url": "', b'"}}]'
        return io.BytesIO(before + b"x" * (size - len(before) - len(after)) + after)

    largest = WebSettings().max_body
    answer = await front.post("/chat/large/send", data=image(largest))
    assert answer.status == 202, answer.text
    answer = await front.post("/chat/large/send", data=image(largest + 1))
    assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")


async def test_a_reader_that_leaves_is_gone_from_the_server_too(front: Door) -> None:
    async def readers() -> int:
        count = (await front.get("/chat/left")).body["subscribers"]
        assert isinstance(count, int)
        return count

    await front.sent("left")
    async with front.stream("left") as stream:
        await stream.until("snapshot")
        assert await readers() == 1
        stream.response.close()
    async with asyncio.timeout(PATIENCE):
        while await readers():
            pass


async def test_for_a_reader_that_does_not_read_the_server_counts_and_nginx_keeps_nothing(front: Door) -> None:
    async with front.stream("flooded") as stream:
        await stream.until("snapshot")
        turn = await front.sent("flooded", "flood")
        async with asyncio.timeout(PATIENCE):
            while (await front.get(f"/chat/flooded/turns/{turn}")).body["status"] == "running":
                pass
        assert (await front.get("/chat/flooded")).body["subscribers"] == 0
        stream.response.close()


async def test_a_ticket_opens_a_stream_and_is_not_in_the_log(front: Door, shared: Deployed) -> None:
    await front.sent("ticketed")
    made = await front.post("/chat/ticket", json={"log_ids": ["ticketed"]})
    ticket = made.body["ticket"]
    async with front.stream("ticketed", f"?ticket={ticket}", token="") as stream:
        await stream.until("snapshot")
        await front.delete("/chat/ticketed")
        await stream.rest()
    log = ""
    async with asyncio.timeout(PATIENCE):
        while "GET /chat/ticketed/events" not in log:
            log = await asyncio.to_thread(shared.log.read_text)
    assert ticket not in log


async def test_a_stop_of_the_server_closes_a_stream_with_its_reason(
    own: Deployed, client: aiohttp.ClientSession
) -> None:
    front = Door(own.port, client, token="ada-secret")
    async with front.stream("until-the-end") as stream:
        await front.sent("until-the-end")
        await stream.until("step")
        ended = asyncio.create_task(asyncio.to_thread(stop, own.server, "SIGTERM"))
        assert (await stream.until("close")).data == "Server shutting down"
        assert await stream.rest() == []
        assert await ended == 0


# -- What reaches the server ------------------------------------------------------------------------


@pytest.fixture
def before(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The port of an nginx, and the port that it passes everything on to, for a server in this process."""
    upstream = free_port()
    with nginx_before(upstream, tmp_path) as port:
        yield port, upstream


@asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[None]:
    """A server in this process."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def test_the_server_learns_the_real_address_and_not_what_a_client_claims(
    before: tuple[int, int], client: aiohttp.ClientSession
) -> None:
    front, upstream = before
    asked: list[web.Request] = []
    connections: list[object] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request)
        connections.append(request.transport)
        return web.Response(text="noted")

    app = web.Application()
    app.router.add_get("/", note)
    claims = {
        "Host": "chat.example:8080",
        "Connection": "close",
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "elsewhere.example",
        "Forwarded": "for=203.0.113.7",
    }
    async with listening(app, upstream):
        for _ in range(2):
            async with client.get(f"http://127.0.0.1:{front}/", headers=claims) as answer:
                assert await answer.text() == "noted"
    for request in asked:
        assert request.version == aiohttp.HttpVersion11
        assert request.headers["Host"] == "chat.example:8080"
        assert request.headers.getall("X-Forwarded-For") == ["127.0.0.1"]
        assert request.headers.getall("X-Forwarded-Proto") == ["http"]
        assert request.headers.getall("X-Forwarded-Host") == ["chat.example:8080"]
        assert not {"Forwarded", "Connection"} & set(request.headers)
    first, second = connections
    assert first is second, "nginx has not kept its connection"


async def test_without_tokens_nothing_that_came_through_nginx_is_served(
    before: tuple[int, int], client: aiohttp.ClientSession
) -> None:
    front, upstream = before
    app = web.Application()
    setup(app, done)
    async with listening(app, upstream):
        answer = await Door(front, client).get("/chat/active_send_tasks", headers={"Host": "chat.example"})
    assert answer.status == 403
    assert answer.code.startswith("FOREIGN_")


# -- How its numbers stand to the settings ----------------------------------------------------------


def seconds(directive: str) -> int:
    return int(one(rf"\b{directive} (\d+)s;"))


def one(pattern: str, text: str = CONFIGURATION) -> str:
    found: list[str] = re.findall(pattern, text)
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def test_nginx_lets_go_of_a_connection_before_the_server_does() -> None:
    # Until `keep_alive` is a setting, the server keeps connections for longer than the configuration says.
    assert 0 < seconds("keepalive_timeout") < getattr(WebSettings(), "keep_alive", 75)


def test_nginx_waits_for_longer_than_a_stream_is_quiet_and_a_cancel_takes() -> None:
    settings = WebSettings()
    assert seconds("proxy_read_timeout") >= 2 * max(settings.heartbeat, settings.cancel_grace)


def test_nginx_waits_for_a_reply_that_is_not_streamed_as_long_as_openais_clients_do() -> None:
    assert seconds("proxy_read_timeout") >= openai.DEFAULT_TIMEOUT.read == 600


def test_nginx_takes_larger_bodies_than_the_server() -> None:
    assert int(one(r"\bclient_max_body_size (\d+)m;")) * 2**20 > WebSettings().max_body


def test_nginx_has_as_many_descriptors_as_its_connections_need() -> None:
    descriptors = int(one(r"\bworker_rlimit_nofile (\d+);", PAGE))
    assert int(one(r"\bworker_connections (\d+);", PAGE)) < descriptors
