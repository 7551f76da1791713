"""A small client of the HTTP API: ask, and follow a session's events over lost connections."""

import asyncio
import codecs
import json
import os
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl

from turnkeeper.actors.events.event import CLOSE, SNAPSHOT

from .exit_codes import Exit, Failure

VERSION = metadata.version("turnkeeper")
JSON = dict[str, Any]
#: Seconds until a connection stands, and until a server has said who it is.
HELLO = 10.0
#: Seconds until a question that waits for nobody is answered.
ANSWER = 60.0
#: Quiet seconds after which a stream is taken for dead. A server beats much more often.
QUIET = 90.0
#: The shortest and the longest pause before connecting again, in seconds.
PAUSES = (0.1, 5.0)
#: What a server that is not ours may send before we stop reading.
MOST_OF_A_HELLO = 65_536

STATUS = {
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.UNKNOWN,
    422: Exit.USAGE,
    503: Exit.UNREACHABLE,
}


class Unreachable(Failure):
    """The server does not answer (any more)."""

    def __init__(self, text: str) -> None:
        super().__init__(Exit.UNREACHABLE, text)


class Refused(Failure):
    """The server's answer is no. ``code`` is the problem's."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(STATUS.get(status, Exit.FAILED), text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a session. ``id`` is the cursor after it; what tells of the stream itself has none."""

    id: str | None
    name: str
    text: str

    @property
    def data(self) -> Any:
        """What the event carries. ``close`` carries a bare text."""
        return self.text if self.name == CLOSE else json.loads(self.text)

    @property
    def cursor(self) -> str | None:
        """Where the stream is to be opened again after this event, if it says so."""
        return self.data.get("cursor") if self.name == SNAPSHOT else self.id


class Client:
    """Asks one server. An ``async with``; ``token`` goes only to a server that has said it is turnkeeper.

    Raises `Failure`, whose text is one line for people, and nothing else.
    """

    def __init__(self, url: str, token: str | None = None, *, patience: float = 60.0) -> None:
        self._url = _checked_url(url)
        self._headers = {"Authorization": f"Bearer {_checked_token(token)}"} if token else {}
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the server is."""
        return str(self._url)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HELLO)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # -- Asking ---------------------------------------------------------------------------------------

    async def hello(self) -> JSON:
        """What the server says of itself. Raises `Unreachable` if it is no turnkeeper of this version."""
        try:
            async with (
                asyncio.timeout(HELLO),
                self._http.get(self._at("healthz"), allow_redirects=False) as response,
            ):
                body = await response.content.read(MOST_OF_A_HELLO)
                said = _object(body) if response.status == 200 else {}
        except aiohttp.ClientResponseError:
            said = {}  # it speaks, but not HTTP
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None
        version = said.get("version")
        if not isinstance(version, str) or "incarnation" not in said:
            raise Unreachable(f"what answers at {self.url} is not turnkeeper")
        if _line(version) != _line(VERSION):
            raise Unreachable(f"the server at {self.url} is turnkeeper {version[:40]!r}, this is {VERSION}")
        return said

    async def ask(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        within: float | None = ANSWER,
    ) -> JSON:
        """One question. Raises `Unreachable` or `Refused`. Cancelling it takes nothing back."""
        try:
            async with (
                asyncio.timeout(within),
                self._http.request(
                    method,
                    self._at(*path).with_query(query),
                    json=body,
                    headers=self._headers,
                    allow_redirects=False,
                ) as response,
            ):
                said = _object(await response.read())
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None
        if status >= 300 and "verdict" not in said:
            raise self._refused(status, said)
        if not said:
            raise Unreachable(f"what answers at {self.url} is not turnkeeper")
        return said

    async def send(self, session: str, task: str, text: str, **options: Any) -> JSON:
        """Send a text as the turn ``task``; answered once it has started or ended."""
        body = {name: value for name, value in options.items() if value is not None}
        body |= {"message": text, "task_id": task}
        return await self.ask("POST", "chat", session, "send", body=body, within=None)

    async def cancel(self, session: str, task: str | None = None, *, wait: bool = True) -> JSON:
        """Cancel a turn, or whatever the session does; its ``verdict`` says what came of it."""
        path = [session, "cancel_send_task"] if task is None else [session, task, "cancel"]
        return await self.ask("POST", "chat", *path, query=None if wait else {"wait": "false"}, within=None)

    async def active(self) -> dict[str, JSON]:
        """The turns in flight by session: one's own, or all for an admin."""
        answer = await self.ask("GET", "chat", "active_send_tasks")
        found: dict[str, JSON] = answer["active_tasks"]
        return found

    async def turn(self, session: str, task: str) -> JSON:
        """One turn with its timeline."""
        return await self.ask("GET", "chat", session, "turns", task)

    async def cleanup(self) -> list[str]:
        """Put idle sessions to sleep; which."""
        return list((await self.ask("POST", "chat", "cleanup_completed_tasks"))["cleaned_up"])

    # -- Following ------------------------------------------------------------------------------------

    async def events(
        self, session: str, after: str | None = None, *, notice: Callable[[str], None]
    ) -> AsyncGenerator[Event, None]:
        """A session's events until the server closes the stream, each once and in order.

        A lost connection is opened again behind the last event; ``notice`` is told. Raises `Unreachable`
        when nothing could be had for ``patience`` seconds. Closing it ends the connection, no more.
        """
        loop = asyncio.get_running_loop()
        heard_at, failures, incarnation = loop.time(), -1, None
        while True:
            try:
                now = (await self.hello())["incarnation"]
                if incarnation not in (None, now):
                    notice("the server was started anew: what it kept is gone")
                if failures > 0:
                    notice("connected again")
                incarnation, failures = now, 0
                async with aclosing(self._stream(session, after)) as stream:
                    async for event in stream:
                        heard_at = loop.time()
                        after = event.cursor or after
                        yield event
                        if event.name == CLOSE:
                            return
            except Unreachable as error:
                if failures < 0 or loop.time() - heard_at > self._patience:
                    raise
                if failures == 0:
                    notice(f"{error}; trying again")
            failures += 1
            pause = min(PAUSES[1], PAUSES[0] * 2.0**failures)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret

    async def _stream(self, session: str, cursor: str | None) -> AsyncGenerator[Event, None]:
        headers = {**self._headers, **({"Last-Event-ID": cursor} if cursor else {})}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HELLO, sock_read=QUIET)
        url = self._at("chat", session, "events")
        try:
            async with self._http.get(
                url, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise self._refused(response.status, _object(await response.read()))
                parser = Parser()
                async for chunk in response.content.iter_any():
                    for event in parser.feed(chunk):
                        yield event
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None

    # -- Telling what went wrong ----------------------------------------------------------------------

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "async with Client(...)"
        return self._session

    def _at(self, *path: str) -> yarl.URL:
        return self._url.joinpath(*path)

    def _unreachable(self, error: Exception) -> Unreachable:
        cause: Any = getattr(error, "os_error", error)
        number = getattr(cause, "errno", None)
        if isinstance(error, TimeoutError):
            why = "it does not answer"
        elif isinstance(error, aiohttp.ClientSSLError):
            why = "its certificate or its encryption is not accepted"
        elif number is not None and number > 0:
            why = os.strerror(number)
        else:
            why = getattr(cause, "strerror", None) or "the connection was cut"
        return Unreachable(f"cannot reach {self.url}: {why}")

    def _refused(self, status: int, said: JSON) -> Failure:
        code, detail = said.get("code"), said.get("detail")
        if not isinstance(code, str) or not isinstance(detail, str):
            return Unreachable(f"what answers at {self.url} is not turnkeeper: it says {status}")
        if status == 401:
            missing = f"{detail}; TURNKEEPER_TOKEN is where this command looks for one"
            detail = "the server does not accept the token in TURNKEEPER_TOKEN" if self._headers else missing
        return Refused(status, code, detail)


class Parser:
    """Server-Sent Events as they come in (WHATWG HTML, section 9.2.6)."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._name = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole now."""
        *lines, self._rest = (self._rest + self._decode.decode(chunk)).split("\n")
        return [event for line in lines if (event := self._line(line.removesuffix("\r"))) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            event = Event(self._id, self._name or "message", "\n".join(self._data)) if self._data else None
            self._name, self._id, self._data = "", None, []
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "id":
                self._id = value
            case "data":
                self._data.append(value)
            case _:
                pass  # a comment, the time to reconnect, or what a later server adds
        return None


def _object(body: bytes) -> JSON:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _line(version: str) -> list[str]:
    """The part of a version within which all speak the same: 1 of 1.2.3, but 0.1 of 0.1.2."""
    parts = version.split(".")
    return parts[: 2 if parts[0] == "0" else 1]


def _checked_url(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
        right = url.scheme in ("http", "https") and url.host and url.port
    except ValueError:
        right, url = False, yarl.URL()
    if not right or url.user or url.query_string or url.fragment:
        raise Failure(Exit.USAGE, "the server's address must be like http://127.0.0.1:8000, and no more")
    return url.with_path(url.path.rstrip("/") or "/")


def _checked_token(token: str) -> str:
    if not token.isprintable() or " " in token:
        raise Failure(Exit.USAGE, "the token in TURNKEEPER_TOKEN has a character that no token has")
    return token
