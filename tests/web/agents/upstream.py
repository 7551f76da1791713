"""A model's API on 127.0.0.1, over real sockets, under the test's control.

* `upstream` is a server that speaks OpenAI's chat completions. Each request is a `Call`, which waits for the
  test to say what is answered, piece by piece: ``call = await server.call(); await call.say("one ")``.
* With ``answer=`` it answers by itself: any coroutine function that is given the `Call`, or `says("a", "b")`.
* A `Call` records what was asked, which pieces were sent and when, and when the client went away (`left`,
  `left_at`), before the headers as well as in the middle of the answer.

Times are those of `time.perf_counter`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from aiohttp import web

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}

Answer: TypeAlias = Callable[["Call"], Awaitable[None]]


class Call:
    """One request, as the upstream sees it."""

    def __init__(self, request: web.Request, body: Any) -> None:
        self.request = request
        #: What was asked.
        self.body = body
        self.arrived_at = time.perf_counter()
        #: The pieces of text that were sent, and when each was.
        self.sent: list[str] = []
        self.sent_at: list[float] = []
        #: Set when the client has gone before the answer was whole, and when that was.
        self.left = asyncio.Event()
        self.left_at: float | None = None
        self.answered = asyncio.Event()
        self._response: web.StreamResponse | None = None

    @property
    def messages(self) -> list[Any]:
        """The conversation that was sent."""
        messages: list[Any] = self.body["messages"]
        return messages

    async def head(
        self, status: int = 200, content_type: str = "text/event-stream", **headers: str
    ) -> web.StreamResponse:
        """Send the headers, if they have not been sent. ``Retry_After="7"`` is the header `Retry-After`."""
        if self._response is None:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            self._response = web.StreamResponse(
                status=status, headers={"Content-Type": content_type, **named}
            )
            await self._response.prepare(self.request)
        return self._response

    async def raw(self, data: bytes) -> None:
        """Send these bytes as they are, within the body."""
        await (await self.head()).write(data)

    async def event(self, data: Any) -> None:
        """Send an event of the stream."""
        await self.raw(b"data: " + json.dumps(data).encode() + b"\n\n")

    async def chunk(self, delta: Any = None, finish_reason: str | None = None, **more: Any) -> None:
        """Send a chunk with one choice."""
        choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
        await self.event({**self._envelope(), "choices": [choice], **more})

    async def say(self, *pieces: str) -> None:
        """Send pieces of text, each in a chunk of its own."""
        for piece in pieces:
            await self.chunk({"content": piece})
            self.sent.append(piece)
            self.sent_at.append(time.perf_counter())

    async def finish(self, usage: Any = USAGE, reason: str = "stop") -> None:
        """End the reply as the protocol wants it; with a usage if one was asked for."""
        await self.chunk(finish_reason=reason)
        if usage is not None and self.body.get("stream_options", {}).get("include_usage"):
            await self.event({**self._envelope(), "choices": [], "usage": usage})
        await self.raw(b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        """End the answer, whatever has been sent of it."""
        await (await self.head()).write_eof()
        self.answered.set()

    async def refuse(self, status: int, error: Any = None, **headers: str) -> None:
        """Answer with an error."""
        body = {"error": {"message": "no", "type": "x", "code": None}} if error is None else error
        await self.head(status, "application/json", **headers)
        await self.raw(json.dumps(body).encode())
        await self.end()

    def cut(self, first: bytes = b"") -> None:
        """Send these bytes outside of any protocol, and hang up."""
        transport = self.request.transport
        if transport is not None:
            transport.write(first)
            transport.close()
        self.answered.set()

    def _envelope(self) -> dict[str, Any]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
        return {**head, "model": self.body.get("model")}


class Upstream:
    """The server. ``calls`` are all the requests it has had."""

    def __init__(self, answer: Answer | None) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self._answer = answer
        self._arrived = asyncio.Condition()
        self._taken = 0

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def call(self) -> Call:
        """The next request, in the order in which they came."""
        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls) > self._taken)
        self._taken += 1
        return self.calls[self._taken - 1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Let the test, or the script, answer; note when the client goes away."""
        call = Call(request, await request.json())
        self.calls.append(call)
        async with self._arrived:
            self._arrived.notify_all()
        try:
            if self._answer is not None:
                await self._answer(call)
            await call.answered.wait()
        except (asyncio.CancelledError, ConnectionResetError):
            call.left_at = time.perf_counter()
            call.left.set()
            raise
        return await call.head()


def says(*pieces: str, usage: Any = USAGE) -> Answer:
    """An answer that is always this."""

    async def answer(call: Call) -> None:
        await call.say(*pieces)
        await call.finish(usage)

    return answer


@asynccontextmanager
async def upstream(answer: Answer | None = None) -> AsyncGenerator[Upstream, None]:
    """A server on a free port. ``answer`` answers every request; without one the test does."""
    server = Upstream(answer)
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", server.handle)
    # A handler is cancelled when its client goes away, which is how the server learns of it.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        for call in server.calls:
            call.answered.set()
        with suppress(asyncio.CancelledError):
            await runner.cleanup()
