"""A server on 127.0.0.1 with a client beside it, and an EventSource written from the standard's text.

* `serving` is an aiohttp server with turnkeeper mounted; its `House` asks (`get`, `post`, `delete`), opens
  streams (`stream`) and speaks plain bytes (`raw`, `connect`) for what no client library would send.
* `EventSourceParser` follows WHATWG HTML 9.2.6, "Interpreting an event stream", and nothing of ours.
* `free_port` is one that stays free until it is used, although other programs are at work.
* `asking` is a request by itself; `Writer` and `streaming_request` stand in for a connection where a test
  counts writes, or lets one get stuck.
"""

import asyncio
import codecs
import inspect
import itertools
import json
import os
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import aiohttp
import yarl
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st

from tests.fakes import ScriptedAgent, done, settle
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web import Principal, WebSettings, route, setup
from turnkeeper.web.http import handlers
from turnkeeper.web.http.call import Answering

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0
#: How often what a test waits for is asked for without a pause: as a rule it is there by then.
AT_ONCE = 500
#: Below those that systems give to outgoing connections, of which a browser makes many at any time.
PORTS = range(20_000, 30_000)
_ports = itertools.cycle(random.sample(PORTS, len(PORTS)))


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on, and that no outgoing connection will take."""
    for port in _ports:
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports are tried for ever")


# -- JSON ---------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"))
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


# -- Server-Sent Events, the reader's side ----------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """What an EventSource hands to its listeners. ``own_id`` is what this very event said."""

    event: str
    data: str
    last_event_id: str
    own_id: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class EventSourceParser:
    """The stream of bytes, interpreted as the standard says."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._began = False
        self._data: list[str] = []
        self._type = ""
        self._own_id: str | None = None
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments = 0

    def feed(self, chunk: bytes) -> list[Message]:
        self._text += self._decode.decode(chunk)
        if not self._began and self._text:
            self._began = True
            self._text = self._text.removeprefix("\ufeff")
        found: list[Message] = []
        while (line := self._take_line()) is not None:
            message = self._line(line)
            if message is not None:
                found.append(message)
        return found

    def _take_line(self) -> str | None:
        """Lines end in CR LF, LF or CR; a CR at the very end may still be followed by its LF."""
        ends = [index for index in (self._text.find("\r"), self._text.find("\n")) if index >= 0]
        if not ends:
            return None
        end = min(ends)
        if self._text[end] == "\r" and end + 1 == len(self._text):
            return None
        length = 2 if self._text[end : end + 2] == "\r\n" else 1
        line, self._text = self._text[:end], self._text[end + length :]
        return line

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments += 1
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_event_id = self._own_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)
        return None

    def _dispatch(self) -> Message | None:
        data, kind, own = self._data, self._type, self._own_id
        self._data, self._type, self._own_id = [], "", None
        if not data:
            return None
        return Message(kind or "message", "\n".join(data), self.last_event_id, own)


class Stream:
    """An open event stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.parser = EventSourceParser()
        self.seen: list[Message] = []
        self._taken = 0
        self._ended = False
        self._arrived = asyncio.Condition()

    async def next(self) -> Message:
        """The next event."""
        while self._taken >= len(self.seen):
            assert await self._read(), f"the stream has ended after {self.names}"
        self._taken += 1
        return self.seen[self._taken - 1]

    async def until(self, event: str) -> Message:
        """The next event of that name; what comes before it is in `seen`."""
        while (message := await self.next()).event != event:
            pass
        return message

    async def rest(self) -> list[Message]:
        """All that comes until the stream ends."""
        while await self._read():
            pass
        rest, self._taken = self.seen[self._taken :], len(self.seen)
        return rest

    async def comment(self) -> None:
        """Wait for one more comment."""
        before = self.parser.comments
        while self.parser.comments == before:
            assert await self._read(), "the stream has ended"

    async def _read(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            chunk = await self.response.content.readany()
        self.seen += self.parser.feed(chunk)
        return bool(chunk)

    @property
    def names(self) -> list[str]:
        return [message.event for message in self.seen]

    @property
    def ids(self) -> list[str]:
        """The ids of those that have one."""
        return [message.own_id for message in self.seen if message.own_id is not None]


# -- A server -----------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The code of a problem body, which this must be."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.text
        body = self.body
        assert body["status"] == self.status
        assert body["title"]
        assert body["title"] != "Error"
        assert body["type"] == "about:blank"
        assert body["detail"]
        code = body["code"]
        assert code == code.upper()
        assert isinstance(code, str)
        return code


@dataclass
class Door:
    """The ways to talk to a server on this machine."""

    port: int
    client: aiohttp.ClientSession
    prefix: str = ""
    token: str | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{self.prefix}{path}"

    def _headers(self, headers: Mapping[str, str] | None, token: str | None) -> dict[str, str]:
        token = self.token if token is None else token
        return {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        **body: Any,
    ) -> Answer:
        """One request. ``token=""`` sends none where the house has one."""
        url = yarl.URL(self.url(path), encoded=True)
        async with asyncio.timeout(PATIENCE):
            async with self.client.request(
                method, url, headers=self._headers(headers, token), allow_redirects=False, **body
            ) as response:
                if response.content_type == "text/event-stream":
                    return Answer(response.status, response.headers, "")
                return Answer(response.status, response.headers, await response.text())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Answer:
        return await self.ask("POST", path, **more)

    async def patch(self, path: str, **more: Any) -> Answer:
        return await self.ask("PATCH", path, **more)

    async def delete(self, path: str, **more: Any) -> Answer:
        return await self.ask("DELETE", path, **more)

    async def send(self, log_id: str, message: Any = "hello", *, query: str = "", **more: Any) -> Answer:
        """A send with fields, as an object."""
        known = ("headers", "token")
        ways = {name: more.pop(name) for name in known if name in more}
        return await self.post(f"/chat/{log_id}/send{query}", json={"message": message, **more}, **ways)

    async def sent(self, log_id: str, message: Any = "hello", **more: Any) -> str:
        """A send that is taken; the task's id."""
        answer = await self.send(log_id, message, **more)
        assert answer.status == 202, answer.text
        task_id = answer.body["task_id"]
        assert isinstance(task_id, str)
        return task_id

    @asynccontextmanager
    async def stream(
        self,
        log_id: str,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> AsyncIterator[Stream]:
        """Open a session's events."""
        url = self.url(f"/chat/{log_id}/events{query}")
        async with self.client.get(url, headers=self._headers(headers, token)) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    async def raw(self, request: bytes) -> Answer:
        """Send these bytes and read one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await read_answer(reader)
        finally:
            writer.close()

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A plain non-blocking socket to the server, which reads only when asked to."""
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        return plain


@dataclass(kw_only=True)
class House(Door):
    """A server in this process."""

    runner: web.AppRunner
    registry: SessionRegistry

    async def counted(self, name: str) -> int:
        """How often something happened since the registry opened."""
        return (await self.registry.counts()).counters.get(name, 0)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One HTTP answer with a Content-Length, read byte for byte."""
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        headers = {name.title(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        text = (await reader.readexactly(int(headers.get("Content-Length", "0")))).decode()
    return Answer(int(status.split()[1]), headers, text)


def take_no_more(site: web.BaseSite) -> None:
    """Leave connections that come from now on to the kernel, so that none is on its way when the site stops.

    asyncio's own server, on Python 3.11, makes no transport of a connection that it has taken in the pass in
    which it is closed, and leaves the socket open; and aiohttp closes only connections of which it knows.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop) and isinstance(site._server, asyncio.Server):
        for each in site._server.sockets:
            loop.remove_reader(each.fileno())


@asynccontextmanager
async def running(
    app: web.Application,
    registry: SessionRegistry,
    *,
    prefix: str = "",
    token: str | None = None,
    **runner: Any,
) -> AsyncIterator[House]:
    """An app on a free port of 127.0.0.1."""
    serves = web.AppRunner(app, **{"shutdown_timeout": 20.0, "access_log": None, **runner})
    await serves.setup()
    await web.TCPSite(serves, "127.0.0.1", 0).start()
    client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
    try:
        port = serves.addresses[0][1]
        yield House(port, client, prefix, token, runner=serves, registry=registry)
    finally:
        await client.close()
        for listening in serves.sites:
            take_no_more(listening)
        await settle()
        await serves.cleanup()
        await settle()


@asynccontextmanager
async def serving(
    agents: Any = done,
    *,
    authenticate: Any = None,
    owner_of: Any = None,
    prefix: str = "",
    token: str | None = None,
    metrics: bool = False,
    journal: Any = None,
    users: Any = None,
    hooks: Mapping[str, Any] | None = None,
    runner: Mapping[str, Any] | None = None,
    margin: float = PATIENCE,
    speaks: Sequence[str] = (),
    routes: Mapping[str, Answering] | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """A server with turnkeeper mounted; ``settings`` are those of `WebSettings`.

    ``routes`` are further ones, by paths that are posted to.

    Its cancels are waited for ``margin`` seconds longer than their grace: until they have come to something,
    also on a machine that stalls.
    """
    app = web.Application()
    with mock.patch.object(handlers, "CANCEL_MARGIN", margin):
        registry = setup(
            app,
            agents,
            prefix=prefix,
            authenticate=authenticate,
            owner_of=owner_of,
            settings=WebSettings(**{"slow_loop": 0, **settings}),
            metrics=metrics,
            journal=journal,
            users=users,
            speaks=speaks,
            **(hooks or {}),
        )
    for path, answering in (routes or {}).items():
        route(app, "POST", prefix + path, answering, prefix=prefix)
    scripted = list(agents.values()) if isinstance(agents, dict) else [agents]
    try:
        async with running(app, registry, prefix=prefix, token=token, **(runner or {})) as house:
            yield house
            _release(scripted)
            await settle()
    finally:
        _release(scripted)
        await settle()


def _release(agents: list[Any]) -> None:
    for agent in agents:
        if isinstance(agent, ScriptedAgent):
            agent.release()


# -- People -------------------------------------------------------------------------------------------

PEOPLE = {
    "ada-token": Principal("ada"),
    "bob-token": Principal("bob"),
    "root-token": Principal("root", frozenset({"chat", "admin"})),
    "scopeless-token": Principal("ada", frozenset({"music"})),
    "prometheus-token": Principal("prometheus", frozenset({"metrics"})),
}


def by_token(request: web.Request) -> Principal | None:
    """Four people: ada, bob, the admin root, and ada without a scope that counts."""
    return PEOPLE.get(request.headers.get("Authorization", "").removeprefix("Bearer "))


# -- A connection that a test holds in its hands ----------------------------------------------------


class Writer(AbstractStreamWriter):
    """Where a response's bytes go: each write is kept, and waits while `stuck`."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.written = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.ended = False
        self.error: Exception | None = None
        self.buffer_size = 0
        self.output_size = 0
        self.length: int | None = 0

    async def write(self, chunk: Any, *_args: Any, **_kwargs: Any) -> None:
        await self._flow()
        self.writes.append(bytes(chunk))
        self.written.set()

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self._flow()
        self.ended = True
        self.written.set()

    async def _flow(self) -> None:
        await self.flowing.wait()
        if self.error is not None:
            raise self.error

    def get_stuck(self) -> None:
        """The peer does not read any more."""
        self.flowing.clear()

    def cut(self) -> None:
        """The connection is gone; a writer that is stuck gets an error."""
        self.error = aiohttp.ClientConnectionResetError("cut")
        self.flowing.set()

    async def drain(self) -> None:
        await self._flow()

    def enable_compression(self, *_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("a stream is not compressed")

    def enable_chunking(self) -> None:
        pass

    async def write_headers(self, status_line: str, headers: Any) -> None:
        pass

    async def until(self, count: int) -> list[bytes]:
        """The first ``count`` writes, once they have been made."""
        async with asyncio.timeout(PATIENCE):
            while len(self.writes) < count:
                self.written.clear()
                await self.written.wait()
        return self.writes[:count]


class Transport(asyncio.Transport):
    """A transport that knows whether it was aborted, and who is at its other end.

    With a writer, what is written past that is kept there as well, one chunk each. While the writer is stuck,
    the transport has something left to write.
    """

    def __init__(self, writer: Writer | None = None, peer: Any = ("127.0.0.1", 4711)) -> None:
        super().__init__({"peername": peer})
        self.aborted = asyncio.Event()
        self.closing = False
        #: How often it was written to past the writer.
        self.pushes = 0
        self._writer = writer

    def get_write_buffer_size(self) -> int:
        return int(self._writer is not None and not self._writer.flowing.is_set())

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert self._writer is not None
        self.pushes += 1
        size, _, rest = data.partition(b"\r\n")
        assert len(rest) == int(size, 16) + 2
        self._writer.writes.append(rest[:-2])

    def abort(self) -> None:
        self.aborted.set()
        if self._writer is not None:
            self._writer.cut()

    def is_closing(self) -> bool:
        return self.closing or self.aborted.is_set()


def asking(*, peer: Any = ("127.0.0.1", 4711), **headers: str) -> web.Request:
    """A request with these headers (``_`` for ``-``) from that peer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers=named, transport=Transport(peer=peer))


def streaming_request(writer: Writer, transport: Transport, prepare: Any = None) -> web.Request:
    """A request whose answer goes to ``writer``; ``prepare`` is the host's `on_response_prepare`."""
    app = web.Application()
    if prepare is not None:
        app.on_response_prepare.append(prepare)
    app.on_response_prepare.freeze()
    return make_mocked_request("GET", "/chat/s/events", app=app, writer=writer, transport=transport)


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop, and the sockets, go on until that is so. What takes its time is asked now and then."""
    async with asyncio.timeout(PATIENCE):
        for asked in itertools.count():
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0 if asked < AT_ONCE else 0.005)


# -- The command, in a process of its own ---------------------------------------------------------------

ADDRESS = re.compile(r"turnkeeper serves (\S+) on (http://(\S+):(\d+)/)")


class Command:
    """A running ``turnkeeper``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.announced = ""

    async def address(self) -> re.Match[str]:
        """What the first line says."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.announced = (await self.process.stdout.readline()).decode()
        match = ADDRESS.match(self.announced)
        assert match, (self.announced, await self.complaint())
        return match

    async def complaint(self) -> str:
        """All it has said to stderr, at its end."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stderr.read()).decode()

    def signal(self, number: int) -> float:
        """Send a signal; the moment it was sent."""
        self.process.send_signal(number)
        return time.monotonic()

    async def ended(self) -> int:
        """The exit status, once it has ended."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def command(*arguments: str, cwd: Any = None, **environ: str) -> AsyncIterator[Command]:
    """``turnkeeper`` with these arguments; ``environ`` without the prefix ``TURNKEEPER_``.

    Its log begins with warnings, so that one where all is well is empty.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TURNKEEPER_")}
    environ = {"LOG_LEVEL": "warning", **environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "turnkeeper.web.command.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={
            **clean,
            "TURNKEEPER_DATA": ":memory:",
            **{f"TURNKEEPER_{name}": value for name, value in environ.items()},
        },
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def served(*arguments: str, cwd: Any = None, **environ: str) -> AsyncIterator[tuple[Command, Door]]:
    """``turnkeeper serve`` on a free port, with a door to it."""
    async with command("serve", "--port", "0", *arguments, cwd=cwd, **environ) as running_command:
        port = int((await running_command.address())[4])
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
            yield running_command, Door(port, client)
