"""One function per route: read the request, ask the actors, answer."""

import asyncio
import json
from importlib import metadata
from typing import Any

from aiohttp import web

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
from turnkeeper.actors.model.records import Asker, SessionId, TurnId, Verdict

from . import body, codec
from .mount import Handler, Mount
from .parameters import CLOSE_ON, IF_MATCH, LAST_EVENT_ID, LAST_EVENT_ID_QUERY, WAIT
from .problems import PROBLEM_JSON, Code, Problem, problem_response

#: Read once: looking it up reads files.
VERSION = metadata.version("turnkeeper")
#: Beyond the grace, for the answer itself.
CANCEL_MARGIN = 0.5


def _log_id(request: web.Request) -> SessionId:
    return ids.session_id(request.match_info["log_id"])


def _task_id(request: web.Request) -> TurnId:
    return ids.turn_id(request.match_info["task_id"])


def _json(
    data: Any,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> web.Response:
    text = json.dumps(data) + "\n"  # for those who read it in a terminal
    return web.Response(status=status, text=text, content_type=content_type, headers=headers)


def method_not_allowed(allowed: str) -> Handler:
    """The answer to any other method on a path of ours. A reserved word as an id is refused as such first."""

    async def refuse(_mount: Mount, request: web.Request, _asker: Asker) -> web.StreamResponse:
        if "log_id" in request.match_info:
            _log_id(request)
        if "task_id" in request.match_info:
            _task_id(request)
        raise Problem(Code.METHOD_NOT_ALLOWED, f"this path has only {allowed}", headers={"Allow": allowed})

    return refuse


# -- Turns ------------------------------------------------------------------------------------------


async def send(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/send``."""
    log_id = _log_id(request)
    wait = WAIT.of(request)
    if_match = IF_MATCH.of(request)
    said = body.decode_send(await body.read(request, mount.settings.max_body))
    accepted = await mount.registry.ask(
        Send(
            log_id,
            said.message,
            asker,
            said.agent,
            said.multitask_strategy,
            said.task_id,
            said.timeout,
            wait,
            if_match=if_match,
        )
    )
    # From the path as it came: only the host knows where a subapp of its is mounted.
    location = request.rel_url.raw_path.removesuffix("send") + f"turns/{accepted.turn_id}"
    return _json(codec.encode_accepted(accepted), 202, {"Location": location})


async def cancel(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/{task_id}/cancel``."""
    turn_id = _task_id(request)
    answer = await _cancel(mount, request, Cancel(_log_id(request), turn_id, asker))
    data = codec.encode_cancel(answer)
    if answer.verdict is Verdict.NOT_RUNNING:
        problem = Problem(Code.UNKNOWN_TURN, data["message"], remembered_for=answer.remembered_for)
        return _json({**problem.body, **data}, 404, content_type=PROBLEM_JSON)
    return _json(data, _cancel_status(answer))


async def cancel_session(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/{log_id}/cancel_send_task``."""
    log_id = _log_id(request)
    answer = await _cancel(mount, request, Cancel(log_id, None, asker))
    return _json(codec.encode_cancel_session(log_id, answer), _cancel_status(answer))


async def _cancel(mount: Mount, request: web.Request, message: Cancel) -> CancelAnswer:
    wait = WAIT.of(request)
    if_match = IF_MATCH.of(request)
    asked = Cancel(message.session_id, message.turn_id, message.asker, wait, if_match=if_match)
    try:
        async with asyncio.timeout(mount.settings.cancel_grace + CANCEL_MARGIN):
            return await mount.registry.ask(asked)
    except TimeoutError:
        return CancelAnswer(Verdict.REQUESTED)


def _cancel_status(answer: CancelAnswer) -> int:
    return 202 if answer.verdict is Verdict.REQUESTED else 200


async def turn(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/turns/{task_id}``."""
    log_id = _log_id(request)
    record = await mount.registry.ask(GetTurn(log_id, _task_id(request), asker))
    return _json(codec.encode_turn(log_id, record))


# -- Sessions ---------------------------------------------------------------------------------------


async def session(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}``."""
    return _json(codec.encode_session(await mount.registry.ask(GetSession(_log_id(request), asker))))


async def messages(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/messages``."""
    conversation = await mount.registry.ask(GetMessages(_log_id(request), asker))
    text = codec.encode_messages(conversation, mount.settings.log_bytes)
    return web.Response(text=text, content_type="application/json")


async def close(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``DELETE /chat/{log_id}``."""
    log_id = _log_id(request)
    if "If-Match" in request.headers:  # a condition must not be passed over where all would be lost
        raise InvalidRequest("DELETE does not support If-Match", field="If-Match")
    view = await mount.registry.ask(Close(log_id, asker))
    return _json({"status": "ok", **codec.encode_session(view)})


async def active(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/active_tasks``."""
    try:
        view = await mount.registry.ask(GetSession(_log_id(request), asker))
    except UnknownSession:
        view = None  # existing clients ask before their first send
    return _json(codec.encode_active(view))


async def all_active(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/active_send_tasks``."""
    return _json(codec.encode_all_active(await mount.registry.ask(ListActive(asker))))


async def cleanup(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/cleanup_completed_tasks``."""
    cleaned = await mount.registry.ask(Cleanup(asker))
    return _json({"status": "ok", "cleaned_up": list(cleaned)})


# -- Streams ----------------------------------------------------------------------------------------


async def events(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``GET /chat/{log_id}/events``."""
    log_id = _log_id(request)
    # A reconnecting EventSource keeps its old URL, so its header is the newer of the two.
    cursor = LAST_EVENT_ID.of(request) or LAST_EVENT_ID_QUERY.of(request)
    message = Subscribe(log_id, cursor, asker, CLOSE_ON.of(request))
    return await mount.streams.serve(request, await mount.registry.follow(message))


async def ticket(mount: Mount, request: web.Request, asker: Asker) -> web.StreamResponse:
    """``POST /chat/ticket``."""
    said = body.decode_ticket(await body.read(request, mount.settings.max_body))
    sessions = frozenset(map(ids.session_id, said.log_ids))
    name = mount.tickets.issue(asker, sessions)
    return _json(
        {
            "status": "ok",
            "ticket": name,
            "log_ids": sorted(sessions),
            "expires_in": mount.settings.ticket_ttl,
        }
    )


# -- Health -----------------------------------------------------------------------------------------


async def health(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``GET /healthz``: the process is alive."""
    return _json({"status": "ok", "incarnation": mount.registry.incarnation, "version": VERSION})


async def ready(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    """``GET /readyz``: sends are taken."""
    if not mount.registry.accepting:
        return problem_response(ShuttingDown("the server is shutting down"))
    return _json({"status": "ready"})
