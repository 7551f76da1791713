"""One server over HTTP: who it is, single requests, a stream's events, and what can go wrong."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl

from turnkeeper.actors.events.event import CLOSE
from turnkeeper.actors.model.words import StreamEnd

from .errors import ClientError, Misconfigured, Refused, Unreachable
from .sse_parser import SseParser, StreamEvent

VERSION = metadata.version("turnkeeper")
JSON = dict[str, Any]
#: Where the command finds its token.
TOKEN_VARIABLE = "TURNKEEPER_TOKEN"  # noqa: S105 - the name, not the token
#: Seconds until a connection must stand, and until a server must have identified itself.
HELLO = 10.0
#: Seconds until a request that waits for no turn must be answered.
ANSWER = 60.0
#: Seconds of silence after which a stream is taken for dead. A server's heartbeat comes much more often.
QUIET = 90.0
#: How many bytes are read of the first answer, which may come from something that is not turnkeeper.
MOST_OF_A_HELLO = 65_536


class Connection:
    """A connection to one server, used as ``async with Connection(url, token) as connection``.

    Ask `hello` first: the token is meant for turnkeeper alone. Raises `ClientError` and nothing
    else.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = _checked_url(url)
        if token and (not token.isprintable() or " " in token):
            raise Misconfigured(f"the token in {TOKEN_VARIABLE} has a character that no token has")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The server's address."""
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

    async def hello(self) -> JSON:
        """What the server says about itself. Raises `Unreachable` unless it is turnkeeper in this version."""
        try:
            async with (
                asyncio.timeout(HELLO),
                self._http.get(self._at("healthz"), allow_redirects=False) as response,
            ):
                body = await response.content.read(MOST_OF_A_HELLO)
                answer = _object(body) if response.status == 200 else {}
        except aiohttp.ClientResponseError:
            answer = {}  # it answers, but not in HTTP
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None
        version = answer.get("version")
        if not isinstance(version, str) or "incarnation" not in answer:
            raise Unreachable(f"what answers at {self.url} is not turnkeeper")
        if _line(version) != _line(VERSION):
            raise Unreachable(f"the server at {self.url} is turnkeeper {version[:40]!r}, this is {VERSION}")
        return answer

    async def ask(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        within: float | None = ANSWER,
    ) -> JSON:
        """Make one request; its answer. Raises `Unreachable` or `Refused`. Cancelling it undoes nothing."""
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
                answer = _object(await response.read())
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None
        if status >= 300 and "verdict" not in answer:
            raise self._refused(status, answer)
        if not answer:
            raise Unreachable(f"what answers at {self.url} is not turnkeeper")
        return answer

    async def stream(
        self,
        *path: str,
        cursor: str | None,
        query: Mapping[str, str],
        spent: StreamEnd = StreamEnd.SESSION_CLOSED,
        on_open: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of a stream after a cursor, over one connection.

        If nothing comes after the cursor, and nothing will, that is a `close` with the text ``spent``.
        ``on_open`` is awaited once the server has begun to answer with events. Raises `Unreachable` or
        `Refused`.
        """
        headers = {**self._headers, **({"Last-Event-ID": cursor} if cursor else {})}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HELLO, sock_read=QUIET)
        url = self._at(*path).with_query(query)
        try:
            async with self._http.get(
                url, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status == 204:
                    yield StreamEvent(None, CLOSE, spent)
                    return
                if response.status != 200:
                    raise self._refused(response.status, _object(await response.read()))
                if on_open is not None:
                    await on_open()
                parser = SseParser()
                async for chunk in response.content.iter_any():
                    for event in parser.feed(chunk):
                        yield event
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from None

    # -- What went wrong ------------------------------------------------------------------------------

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

    def _refused(self, status: int, answer: JSON) -> ClientError:
        code, detail = answer.get("code"), answer.get("detail")
        if not isinstance(code, str) or not isinstance(detail, str):
            return Unreachable(f"what answers at {self.url} is not turnkeeper: HTTP {status}")
        if status == 401:
            refused = f"the server does not accept the token in {TOKEN_VARIABLE}"
            detail = refused if self._headers else f"{detail}: set {TOKEN_VARIABLE}"
        return Refused(status, code, detail)


def _object(body: bytes) -> JSON:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _line(version: str) -> list[str]:
    """The part of a version within which all understand each other: 1 of 1.2.3, but 0.1 of 0.1.2."""
    parts = version.split(".")
    return parts[: 2 if parts[0] == "0" else 1]


def _checked_url(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
        right = url.scheme in ("http", "https") and url.host and url.port
    except ValueError:
        right, url = False, yarl.URL()
    if not right or url.user or url.query_string or url.fragment:
        raise Misconfigured("the server's address must be like http://127.0.0.1:8000, without query or user")
    return url.with_path(url.path.rstrip("/") or "/")
