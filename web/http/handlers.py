"""One function per route: decode, ask, encode."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeAlias

from aiohttp import ClientError, web

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest, ShuttingDown, UnknownSession
from turnkeeper.actors.model.messages import (
    Cancel,
    CancelAnswer,
    Cleanup,
    Close,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Send,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker, SessionId, Verdict
from turnkeeper.actors.registry.front import SessionRegistry

from . import codec
from .access import Authenticate, Principal, identify
from .errors import PROBLEM_JSON, problem_body, problem_response
from .problems import Problem
from .settings import WebSettings
from .stream import Streams
from .tickets import Tickets

#: Read once: looking it up reads files.
VERSION = metadata.version("turnkeeper")
#: Beyond the grace, for the answer itself.
CANCEL_MARGIN = 0.5

Handler: TypeAlias = Callable[["Desk", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers of one mount work with."""

    registry: SessionRegistry
    settings: WebSettings
    authenticate: Authenticate
    streams: Streams
    tickets: Tickets

    def route(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The handler as aiohttp wants it; what it raises becomes a problem body."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(self, request)
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told to the log
                return problem_response(error)

        return handle

    async def principal(self, request: web.Request) -> Principal:
        """Who asks. Raises `Problem` 401."""
        return await identify(self.authenticate, request)

    async def asker(self, request: web.Request) -> Asker:
        """Who asks, to the actors. Raises `Problem` 401 and 403."""
        return (await self.principal(request)).asker

    async def body(self, request: web.Request) -> bytes:
        """The request's body. Raises `Problem` 413, for the host's own limit is the host's, and 400."""
        limit = self.settings.max_body
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        if request.content.at_eof():
            # There is none, or a middleware of the host's has read it, which aiohttp remembers.
            chunks.append(await request.read())
        size = sum(map(len, chunks))
        try:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limit:
                    break
                chunks.append(chunk)
        except (ClientError, ConnectionError, web.RequestPayloadError, web.PayloadAccessError):
            raise Problem(
                400, "BODY_INCOMPLETE", "the body is broken off, or not encoded as it says"
            ) from None
        if size > limit:
            raise _too_large(limit)
        return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(
        413, "BODY_TOO_LARGE", f"a body has at most {limit} bytes", headers={"Connection": "close"}
    )


def _log_id(request: web.Request) -> SessionId:
    return ids.session_id(request.match_info["log_id"])


def _json(
    data: Any,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> web.Response:
    text = json.dumps(data) + "\n"  # for those who read it in a terminal
    return web.Response(status=status, text=text, content_type=content_type, headers=headers)


def method_not_allowed(allowed: str) -> Handler:
    """What any other method on a path of ours gets. A word that is no id is told so first."""

    async def refuse(desk: Desk, request: web.Request) -> web.StreamResponse:
        await desk.asker(request)
        if "log_id" in request.match_info:
            _log_id(request)
        if "task_id" in request.match_info:
            ids.turn_id(request.match_info["task_id"])
        raise Problem(405, "METHOD_NOT_ALLOWED", f"this path has only {allowed}", headers={"Allow": allowed})

    return refuse


# -- Turns ------------------------------------------------------------------------------------------


async def send(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``POST /chat/{log_id}/send``."""
    asker = await desk.asker(request)
    log_id = _log_id(request)
    wait = codec.decode_flag(request.query.get("wait"), "wait", default=True)
    if_match = codec.decode_if_match(request.headers.get("If-Match"))
    body = codec.decode_send(await desk.body(request))
    accepted = await desk.registry.ask(
        Send(
            log_id,
            body.message,
            asker,
            body.agent,
            body.strategy,
            body.task_id,
            body.timeout,
            wait,
            if_match=if_match,
        )
    )
    # From the path as it came: only the host knows where a subapp of its is mounted.
    location = request.rel_url.raw_path.removesuffix("send") + f"turns/{accepted.turn_id}"
    return _json(codec.encode_accepted(accepted), 202, {"Location": location})


async def cancel(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``POST /chat/{log_id}/{task_id}/cancel``."""
    asker = await desk.asker(request)
    turn_id = ids.turn_id(request.match_info["task_id"])
    answer = await _cancel(desk, request, Cancel(_log_id(request), turn_id, asker))
    data = codec.encode_cancel(answer)
    if answer.verdict is Verdict.NOT_RUNNING:
        problem = Problem(404, "UNKNOWN_TURN", data["message"], remembered_for=answer.remembered_for)
        return _json({**problem_body(problem), **data}, 404, content_type=PROBLEM_JSON)
    return _json(data, _cancel_status(answer))


async def cancel_session(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``POST /chat/{log_id}/cancel_send_task``."""
    asker = await desk.asker(request)
    log_id = _log_id(request)
    answer = await _cancel(desk, request, Cancel(log_id, None, asker))
    return _json(codec.encode_cancel_session(log_id, answer), _cancel_status(answer))


async def _cancel(desk: Desk, request: web.Request, message: Cancel) -> CancelAnswer:
    wait = codec.decode_flag(request.query.get("wait"), "wait", default=True)
    if_match = codec.decode_if_match(request.headers.get("If-Match"))
    asked = Cancel(message.session_id, message.turn_id, message.asker, wait, if_match=if_match)
    try:
        async with asyncio.timeout(desk.settings.cancel_grace + CANCEL_MARGIN):
            return await desk.registry.ask(asked)
    except TimeoutError:
        return CancelAnswer(Verdict.REQUESTED)


def _cancel_status(answer: CancelAnswer) -> int:
    return 202 if answer.verdict is Verdict.REQUESTED else 200


async def turn(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/{log_id}/turns/{task_id}``."""
    asker = await desk.asker(request)
    log_id = _log_id(request)
    record = await desk.registry.ask(GetTurn(log_id, ids.turn_id(request.match_info["task_id"]), asker))
    return _json(codec.encode_turn(log_id, record))


# -- Sessions ---------------------------------------------------------------------------------------


async def session(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/{log_id}``."""
    asker = await desk.asker(request)
    return _json(codec.encode_session(await desk.registry.ask(GetSession(_log_id(request), asker))))


async def messages(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/{log_id}/messages``."""
    asker = await desk.asker(request)
    conversation = await desk.registry.ask(GetMessages(_log_id(request), asker))
    text = codec.encode_messages(conversation, desk.settings.log_bytes)
    return web.Response(text=text, content_type="application/json")


async def close(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``DELETE /chat/{log_id}``."""
    asker = await desk.asker(request)
    log_id = _log_id(request)
    if "If-Match" in request.headers:  # a condition must not be passed over where all would be lost
        raise InvalidRequest("a close knows no If-Match", field="If-Match")
    view = await desk.registry.ask(Close(log_id, asker))
    return _json({"status": "ok", **codec.encode_session(view)})


async def active(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/{log_id}/active_tasks``."""
    asker = await desk.asker(request)
    try:
        view = await desk.registry.ask(GetSession(_log_id(request), asker))
    except UnknownSession:
        view = None  # existing clients ask before their first send
    return _json(codec.encode_active(view))


async def all_active(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/active_send_tasks``."""
    asker = await desk.asker(request)
    return _json(codec.encode_all_active(await desk.registry.ask(ListActive(asker))))


async def cleanup(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``POST /chat/cleanup_completed_tasks``."""
    asker = await desk.asker(request)
    cleaned = await desk.registry.ask(Cleanup(asker))
    return _json({"status": "ok", "cleaned_up": list(cleaned)})


# -- Streams ----------------------------------------------------------------------------------------


async def events(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``GET /chat/{log_id}/events``."""
    log_id = _log_id(request)
    ticket = request.query.get("ticket")
    if ticket is not None and "Authorization" not in request.headers:
        with desk.tickets.use(ticket, log_id) as principal:
            return await _stream(desk, request, log_id, principal.asker)
    return await _stream(desk, request, log_id, await desk.asker(request))


async def _stream(desk: Desk, request: web.Request, log_id: SessionId, asker: Asker) -> web.StreamResponse:
    # A reconnecting EventSource keeps its old URL, so its header is the newer of the two.
    cursor = request.headers.get("Last-Event-ID") or request.query.get("last_event_id") or None
    close_on = request.query.get("close_on")
    if close_on not in (None, "superseded"):
        raise Problem(422, "INVALID_REQUEST", "close_on must be superseded", field="close_on")
    message = Subscribe(log_id, cursor, asker, close_on is not None)
    return await desk.streams.serve(request, await desk.registry.follow(message))


async def ticket(desk: Desk, request: web.Request) -> web.StreamResponse:
    """``POST /chat/ticket``."""
    principal = await desk.principal(request)
    _ = principal.asker
    sessions = frozenset(ids.session_id(each) for each in codec.decode_ticket(await desk.body(request)))
    name = desk.tickets.issue(principal, sessions)
    return _json(
        {
            "status": "ok",
            "ticket": name,
            "log_ids": sorted(sessions),
            "expires_in": desk.settings.ticket_ttl,
        }
    )


# -- Health -----------------------------------------------------------------------------------------


async def health(desk: Desk, _request: web.Request) -> web.StreamResponse:
    """``GET /healthz``: the process is alive."""
    return _json({"status": "ok", "incarnation": desk.registry.incarnation, "version": VERSION})


async def ready(desk: Desk, _request: web.Request) -> web.StreamResponse:
    """``GET /readyz``: sends are taken."""
    if not desk.registry.accepting:
        return problem_response(ShuttingDown("the server is shutting down"))
    return _json({"status": "ready"})
