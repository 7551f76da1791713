"""Request bodies on their way in: each at most so large, and so much of all of them together."""

import asyncio

from aiohttp import ClientError, web

from turnkeeper.actors.metrics.meter import (
    BODIES_OF_MANY_VALUES,
    BODIES_TOO_LARGE,
    BODIES_TOO_SLOW,
    UPLOADS_REFUSED,
    Counter,
    Meter,
)

from .problems import RETRY_AFTER, Code, Problem
from .settings import WebSettings

#: What is not larger is read however much else is: a connection buffers as much before anything looks at it.
SMALL = 65_536
#: What is not larger may hold as many values as it likes: it is decoded in a few milliseconds.
UNCOUNTED = 1_048_576
CLOSE = {"Connection": "close"}


class Uploads:
    """The bodies of one mount that are being read."""

    def __init__(self, settings: WebSettings, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        #: How many bytes of them have been read.
        self.size = 0

    async def read(self, request: web.Request) -> bytearray:
        """The bytes of a request's body, bounded here, as the app's limit is the host's.

        Raises `Problem`: 413, 408, 503 where too many others are being read, 400 where it breaks off, and 422
        where it holds more JSON values than are worth decoding.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.body_timeout):
                body = await self._read(request)
        except TimeoutError:
            detail = f"the body took more than {settings.body_timeout} seconds"
            raise self._refusal(BODIES_TOO_SLOW, Code.BODY_TIMEOUT, detail, **CLOSE) from None
        if len(body) > UNCOUNTED and values_in(body, settings.body_values) > settings.body_values:
            detail = (
                f"a body of more than {UNCOUNTED} bytes must not hold more than {settings.body_values} values"
            )
            raise self._refusal(BODIES_OF_MANY_VALUES, Code.MESSAGE_TOO_LARGE, detail)
        return body

    async def _read(self, request: web.Request) -> bytearray:
        body = bytearray()
        try:
            self._check(request.content_length or 0)
            if request.content.at_eof():
                # There is none, or a middleware of the host's has read it, which aiohttp remembers.
                self._add(body, await request.read())
            async for chunk in request.content.iter_any():
                self._add(body, chunk)
        except (ClientError, ConnectionError, web.RequestPayloadError, web.PayloadAccessError):
            detail = "the body ended early, or is not encoded as its headers say"
            raise Problem(Code.BODY_INCOMPLETE, detail) from None
        finally:
            self.size -= len(body)
        return body

    def _check(self, size: int) -> None:
        if size > self._settings.max_body:
            detail = f"the body must not be larger than {self._settings.max_body} bytes"
            raise self._refusal(BODIES_TOO_LARGE, Code.BODY_TOO_LARGE, detail, **CLOSE)

    def _add(self, body: bytearray, chunk: bytes) -> None:
        size = len(body) + len(chunk)
        self._check(size)
        if size > SMALL and self.size + len(chunk) > self._settings.max_uploads:
            detail = "too many large bodies are being read: try again in a moment"
            raise self._refusal(UPLOADS_REFUSED, Code.TOO_MANY_UPLOADS, detail, **CLOSE, **RETRY_AFTER)
        body += chunk
        self.size += len(chunk)

    def _refusal(self, counter: Counter, code: Code, detail: str, **headers: str) -> Problem:
        self._meter.count(counter)
        return Problem(code, detail, headers=headers)


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
