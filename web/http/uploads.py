"""Request bodies on their way in: each at most so large, and so much of all of them together."""

import asyncio

from aiohttp import ClientError, web

from turnkeeper.actors.metrics.meter import (
    BODIES_OF_MANY_VALUES,
    BODIES_TOO_LARGE,
    BODIES_TOO_SLOW,
    TOO_MANY_UPLOADS,
    UPLOADS_FULL,
    Counter,
    Meter,
)
from turnkeeper.actors.model.records import Asker

from .problems import RETRY_AFTER, Code, Problem
from .settings import WebSettings

#: What is not larger is read however much else is, and not counted: a connection buffers as much anyway.
SMALL = 65_536
#: What is not larger may hold as many values as it likes: it is decoded in a few milliseconds.
UNCOUNTED = 1_048_576
CLOSE = {"Connection": "close"}


class Uploads:
    """The bodies of one mount that are being read."""

    def __init__(self, settings: WebSettings, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        #: How many bytes of the large ones have been read.
        self.size = 0
        self._by_user: dict[str, int] = {}

    async def read(self, request: web.Request, asker: Asker) -> bytearray:
        """The bytes of a request's body, bounded here, as the app's limit is the host's.

        Raises `Problem`: 413, 408, 429 and 503 where too many large ones are being read, of the user's or in
        all, 400 where it breaks off, and 422 where it holds more JSON values than are worth decoding.
        """
        settings = self._settings
        if request.content.is_eof():  # all of it has come: nothing is waited for, and a timeout is dear
            body = await self._read(request, asker)
        else:
            try:
                async with asyncio.timeout(settings.body_timeout):
                    body = await self._read(request, asker)
            except TimeoutError:
                detail = f"the body took more than {settings.body_timeout} seconds"
                raise self._refusal(BODIES_TOO_SLOW, Code.BODY_TIMEOUT, detail, **CLOSE) from None
        if len(body) > UNCOUNTED and values_in(body, settings.body_values) > settings.body_values:
            detail = (
                f"a body of more than {UNCOUNTED} bytes must not hold more than {settings.body_values} values"
            )
            raise self._refusal(BODIES_OF_MANY_VALUES, Code.MESSAGE_TOO_LARGE, detail)
        return body

    async def _read(self, request: web.Request, asker: Asker) -> bytearray:
        body, content = bytearray(), request.content
        try:
            self._check(request.content_length or 0)
            if content.at_eof():
                # There is none, or a middleware of the host's has read it, which aiohttp remembers.
                self._add(body, await request.read(), asker)
            while not content.at_eof():
                self._add(body, await content.readany(), asker)
        except (ClientError, ConnectionError, web.RequestPayloadError, web.PayloadAccessError):
            detail = "the body ended early, or is not encoded as its headers say"
            raise Problem(Code.BODY_INCOMPLETE, detail) from None
        finally:
            self._count(-_counted(len(body)), asker)
        return body

    def _check(self, size: int) -> None:
        if size > self._settings.max_body:
            detail = f"the body must not be larger than {self._settings.max_body} bytes"
            raise self._refusal(BODIES_TOO_LARGE, Code.BODY_TOO_LARGE, detail, **CLOSE)

    def _add(self, body: bytearray, chunk: bytes, asker: Asker) -> None:
        size = len(body) + len(chunk)
        self._check(size)
        self._count(_counted(size) - _counted(len(body)), asker)
        body += chunk

    def _count(self, more: int, asker: Asker) -> None:
        """So much more of the user's is being read, or less. Raises `Problem`."""
        if not more:
            return
        settings = self._settings
        mine = self._by_user.get(asker.user, 0) + more
        if more > 0 and asker.bounded and mine > settings.max_uploads:
            detail = "too many large bodies of yours are being read: try again in a moment"
            raise self._refusal(TOO_MANY_UPLOADS, Code.TOO_MANY_UPLOADS, detail, **CLOSE, **RETRY_AFTER)
        if more > 0 and self.size + more > settings.max_uploads_in_all:
            detail = "too many large bodies are being read: try again in a moment"
            raise self._refusal(UPLOADS_FULL, Code.UPLOADS_FULL, detail, **CLOSE, **RETRY_AFTER)
        self.size += more
        if mine:
            self._by_user[asker.user] = mine
        else:
            del self._by_user[asker.user]

    def _refusal(self, counter: Counter, code: Code, detail: str, **headers: str) -> Problem:
        self._meter.count(counter)
        return Problem(code, detail, headers=headers)


def _counted(size: int) -> int:
    """How much of a body of this size is counted: all of a large one."""
    return size if size > SMALL else 0


def values_in(body: bytes | bytearray, enough: int) -> int:
    """How many values the JSON in a body holds, counted without decoding it. The names of members are none.

    Where there are more than ``enough``, any larger number may be the answer. What a body holds that is not
    JSON is not said, but what a decoder reads before it notices is counted.
    """
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if body.count(b'"') > 4 * enough:  # as each string is a value, or the name of one
        return enough + 1
    # Each string is one value, whatever it holds. What is empty has no value inside.
    outside = b"s".join(body.split(b'"')[::2]).translate(None, b" \t\r\n")
    inside = outside.count(b"[") - outside.count(b"[]") + outside.count(b"{") - outside.count(b"{}")
    return 1 + outside.count(b",") + inside
