"""The streams of events: each writes a subscription to a client, and one timer looks after all of them.

A stream's task writes through aiohttp, which waits when the peer reads too slowly. While that task waits for
events, they go straight to the transport instead (`_Stream.write`), if the peer has been given all before.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from aiohttp import hdrs, web
from multidict import istr

from turnkeeper.actors.events.event import CLOSE, Event
from turnkeeper.actors.events.outlet import Encode, Outlet
from turnkeeper.actors.metrics.meter import STREAMS_STUCK, Meter
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.runtime.batches import in_batches

from .line import LINE, Hangups
from .settings import WebSettings
from .sse import HEARTBEAT, PIECE, encode_all, encode_chunk, encode_event, encode_events, encode_retry

#: After how many seconds an EventSource comes back to a session that goes on after its stream has ended. The
#: next stream begins with the usual time.
SOON = 0.02
#: How many bytes the kernel may hold for a stream whose peer does not read (Linux takes twice as many).
SEND_BUFFER = 65_536
#: How many streams are looked at, and beat, in one pass of the loop.
WAKE_BATCH = 256
#: By names that are of aiohttp's own kind already: else every stream would keep its own.
HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-cache, no-transform",
    istr("X-Accel-Buffering"): "no",
    istr("X-Content-Type-Options"): "nosniff",
}


class Source(Protocol):
    """What a stream writes: one session's events, or those of several."""

    @property
    def on_overflow(self) -> Callable[[], None] | None:
        """Called when it lags behind too far."""
        ...

    @on_overflow.setter
    def on_overflow(self, call: Callable[[], None] | None, /) -> None: ...

    @property
    def outlet(self) -> Outlet | None:
        """Where events go at once while it waits for them."""
        ...

    @outlet.setter
    def outlet(self, outlet: Outlet | None, /) -> None: ...

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        ...

    @property
    def invites_back(self) -> bool:
        """Whether it ends with a `close` after which the session goes on, on a new stream."""
        ...

    async def read(self) -> list[Event]:
        """All that waits; an empty list is the end, or a `poke`."""
        ...

    def poke(self) -> None:
        """Let `read` return now."""
        ...

    def close(self) -> None:
        """Stop reading. May be called more than once."""
        ...


class Writing(Protocol):
    """How one stream is written that is not one of turnkeeper's own: what an event is on the connection."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer, beside those of every stream."""
        ...

    @property
    def heartbeat(self) -> bytes:
        """What is written when nothing has been for a while."""
        ...

    def begin(self) -> bytes:
        """What comes before the first event."""
        ...

    def write(self, events: Sequence[Event], /) -> bytes:
        """These events, and a `close` if the stream ends."""
        ...

    def end(self) -> bytes:
        """What comes after the last event that there is."""
        ...


class _Stream:
    """One open connection, as the timer and the readers of its session see it."""

    __slots__ = ("_writer", "encode", "quiet_since", "subscription", "transport", "writing")

    def __init__(self, request: web.Request, subscription: Source, now: float) -> None:
        self.subscription = subscription
        self.transport = request.transport
        #: When it was written to last; ``None`` if that was since the timer's last look.
        self.quiet_since: float | None = now
        #: Whether its task is in the middle of a write, which a peer that does not read can hold up.
        self.writing = False
        self.encode: Encode = encode_all
        self._writer = request.writer

    def push_as(self, headers: Mapping[str, str]) -> None:
        """From here on events may go straight to the transport, unless aiohttp does more than frame them."""
        if "Content-Encoding" not in headers and "Content-Length" not in headers:
            if headers.get("Transfer-Encoding") == "chunked":
                self.encode = encode_chunk
            self.subscription.outlet = self

    def write(self, data: bytes, /) -> bool:
        """Give it to the transport, if that has nothing else left to write, and if it is not much."""
        transport = self.transport
        if (
            len(data) > PIECE
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            return False
        transport.write(data)
        self._writer.output_size += len(data)
        self.quiet_since = None
        return True

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def abort_if_stuck(self) -> None:
        if self.writing:
            self.abort()


class Streams:
    """All open connections of one server. One timer looks after all: no stream has one of its own."""

    def __init__(self, settings: WebSettings, meter: Meter) -> None:
        """``meter`` counts the streams that are cut."""
        self._settings = settings
        #: Where it is noticed at once that a peer has gone, if that matters.
        self.hangups = Hangups()
        self._meter = meter
        self._open: set[_Stream] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self, request: web.Request, subscription: Source, writing: Writing | None = None
    ) -> web.StreamResponse:
        """Write events to the client until either goes away; as ``writing`` does, if it is given.

        With that, it is noticed at once that the client has gone: its turn may end with it.
        Cancelling it ends the connection; the turn it watches goes on.
        """
        loop = asyncio.get_running_loop()
        _bound_send_buffer(request)
        response = web.StreamResponse(headers=HEADERS)
        if writing is not None:
            response.headers.update(writing.headers)
        stream = _Stream(request, subscription, loop.time())
        subscription.on_overflow = stream.abort_if_stuck
        self._add(stream, loop)
        line = request.get(LINE) if writing is None else None
        if line is not None:
            line.stream(subscription.close)
        try:
            await response.prepare(request)
            if writing is None:
                await self._write(stream, response, encode_retry(self._settings.retry), loop)
                stream.push_as(response.headers)
                while (batch := await subscription.read()) or not subscription.ended:
                    await self._pass_on(batch, stream, response, loop)
                    del batch  # a quiet stream does not keep what it has written last
            else:
                with self.hangups.watching(request, subscription.close):
                    await self._translate(writing, stream, response, loop)
            # The end waits until all that was written has left, which a peer that does not read can hold up.
            stream.writing = True
            stream.quiet_since = loop.time()
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone: there is no one left to answer
        except Exception:
            # Too late for a problem body: it would be a second answer in the middle of this one.
            logger.exception("a stream failed")
            stream.abort()
        finally:
            self._open.discard(stream)
            if line is not None:
                line.end_stream()
            subscription.close()
        return response

    async def _pass_on(
        self,
        batch: list[Event],
        stream: _Stream,
        response: web.StreamResponse,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Write these events, or a heartbeat if there are none."""
        if (
            batch and batch[-1].name == CLOSE and stream.subscription.invites_back
        ):  # a `close` comes by itself
            soon = min(SOON, self._settings.retry)
            await self._write(stream, response, encode_retry(soon) + encode_event(batch[-1]), loop)
            return
        for piece in encode_events(batch) if batch else (HEARTBEAT,):
            await self._write(stream, response, piece, loop)

    async def _translate(
        self,
        writing: Writing,
        stream: _Stream,
        response: web.StreamResponse,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Write the whole stream in another way than our own."""
        source = stream.subscription
        data = writing.begin()
        while True:
            if data:
                await self._write(stream, response, data, loop)
            batch = await source.read()
            if not batch and source.ended:
                break
            data = writing.write(batch) if batch else writing.heartbeat
        if data := writing.end():
            await self._write(stream, response, data, loop)

    async def _write(
        self, stream: _Stream, response: web.StreamResponse, data: bytes, loop: asyncio.AbstractEventLoop
    ) -> None:
        stream.writing = True
        stream.quiet_since = loop.time()
        await response.write(data)
        stream.writing = False

    def _add(self, stream: _Stream, loop: asyncio.AbstractEventLoop) -> None:
        self._open.add(stream)
        if self._timer is None:
            self._timer = loop.call_later(self._period, self._look, loop)

    @property
    def _period(self) -> float:
        return min(self._settings.heartbeat, self._settings.write_timeout) / 3

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat for the quiet ones, cut off the stuck ones, and notice who has left."""
        now = loop.time()
        quiet_for = self._settings.heartbeat - self._period

        def look(streams: list[_Stream]) -> None:
            for stream in streams:
                if stream.quiet_since is None:
                    stream.quiet_since = now
                quiet = now - stream.quiet_since
                transport = stream.transport
                if transport is None or transport.is_closing():
                    stream.subscription.poke()
                elif stream.writing or transport.get_write_buffer_size():
                    # A heartbeat would only join what the peer has not read yet.
                    if quiet > self._settings.write_timeout:
                        self._meter.count(STREAMS_STUCK)
                        stream.abort()
                elif quiet >= quiet_for:
                    stream.subscription.poke()

        def again() -> None:
            if self._timer is not None:  # else it was closed meanwhile
                self._timer = loop.call_later(self._period, self._look, loop) if self._open else None

        in_batches(loop, iter(list(self._open)), WAKE_BATCH, look, again)

    def close(self) -> None:
        """Stop the timers."""
        self.hangups.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _bound_send_buffer(request: web.Request) -> None:
    """A peer that does not read keeps what the kernel holds for it: by default that may be megabytes."""
    sock = request.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
