"""The model of the audit: an OpenAI-compatible server that writes down what it had to generate.

It streams chat completions slowly, one numbered token at a time, and notes when its client goes away.
"""

import asyncio
import json
import secrets
import select
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from .log import AuditLog, ModelRequest, RequestEnd
from .plan import Plan, find_marker
from .tokens import token

MODEL = "audit"
#: How many tokens answer a message without a marker, such as one that asks for a title.
UNMARKED_LENGTH = 5
STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


class Upstream:
    """The model of one audit."""

    def __init__(self, plan: Plan, log: AuditLog) -> None:
        self._plan = plan
        self._log = log
        self._running: dict[str, tuple[ModelRequest, web.Request]] = {}

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncGenerator[str]:
        """Listen on 127.0.0.1; the base URL for clients of OpenAI's API."""
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", _models)
        # A handler is cancelled as soon as its client leaves.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            self.close()
            await runner.cleanup()

    def id_of(self, session: str, n: int) -> str | None:
        """The last request for that message."""
        return next(
            (each.id for each in reversed(self._log.requests) if (each.session, each.n) == (session, n)), None
        )

    def close(self) -> None:
        """End the audit: every request that is still running has not been stopped."""
        self._look()
        for request, _ in list(self._running.values()):
            self._end(request, RequestEnd.AUDIT_OVER)

    # -- one request --------------------------------------------------------------------------------

    async def _complete(self, http: web.Request) -> web.StreamResponse:
        """Generate one reply. Cancelling it, which happens when the client leaves, ends it."""
        try:
            body = await http.json()
            marker = find_marker(_last_words(body["messages"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            error = {"message": "not a chat completion request", "type": "invalid_request_error"}
            return web.json_response({"error": error}, status=400)
        self._look()  # a client that has gone, went before this one came
        request = ModelRequest(secrets.token_hex(4), *(marker or ("", 0)), began=time.monotonic())
        length = UNMARKED_LENGTH
        if marker in self._plan.lengths:
            length = self._plan.lengths[marker]
            self._log.requests.append(request)
        else:
            self._log.unmarked += 1
        self._running[request.id] = request, http
        response = web.StreamResponse(headers=STREAM)
        try:
            return await self._answer(http, response, request, length, body)
        except ConnectionError:  # the client left in the middle of a write
            return response
        finally:
            if request.id in self._running:
                self._end(request, RequestEnd.CLIENT_LEFT)

    async def _answer(
        self,
        http: web.Request,
        response: web.StreamResponse,
        request: ModelRequest,
        length: int,
        body: dict[str, Any],
    ) -> web.StreamResponse:
        streams = bool(body.get("stream"))
        if streams:
            await response.prepare(http)
        pace, due = self._plan.pace, time.monotonic() + self._plan.pace.first
        for k in range(length):
            await asyncio.sleep(due - time.monotonic())
            due = max(due + pace.token, time.monotonic())
            self._look()
            if request.id not in self._running:
                return response
            request.tokens.append(time.monotonic())
            if streams:
                await response.write(
                    _chunk(request.id, {"role": "assistant", "content": token(request.id, k)})
                )
        self._end(request, RequestEnd.FINISHED)
        if not streams:
            return web.json_response(_whole(request.id, length))
        await response.write(_chunk(request.id, {}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            await response.write(_chunk(request.id, None, usage=_usage(length)))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _end(self, request: ModelRequest, end: RequestEnd) -> None:
        del self._running[request.id]
        request.ended, request.end = time.monotonic(), end

    def _look(self) -> None:
        """Notice every client that has closed its connection by now, even if the loop has not yet."""
        for request, http in list(self._running.values()):
            if _has_left(http):
                self._end(request, RequestEnd.CLIENT_LEFT)


def _has_left(http: web.Request) -> bool:
    """Whether the other end has closed the connection, according to the kernel at this moment.

    The loop learns of it later, along with the answer to a Stop, in any order. The client has nothing more to
    send, so a connection that is readable is one that was closed.
    """
    transport = http.transport
    if transport is None or transport.is_closing():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _last_words(messages: list[dict[str, Any]]) -> str:
    """The text of the last message by the user."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return " ".join(str(part.get("text", "")) for part in content)
            return str(content)
    return ""


async def _models(_http: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


def _chunk(
    name: str, delta: dict[str, str] | None, finish: str | None = None, **more: dict[str, int]
) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {**_head(name, "chat.completion.chunk"), "choices": choices, **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _whole(name: str, length: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(token(name, k) for k in range(length))}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {**_head(name, "chat.completion"), "choices": choices, "usage": _usage(length)}


def _head(name: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{name}", "object": kind, "created": int(time.time()), "model": MODEL}


def _usage(length: int) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": length, "total_tokens": length + 1}
