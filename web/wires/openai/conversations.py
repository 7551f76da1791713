"""``/v1/conversations``: each is a session, and there once something was said in it."""

import time
from typing import Any, Final

from aiohttp import web

from turnkeeper.actors.model import ids as rules
from turnkeeper.actors.model.exceptions import InvalidRequest, UnknownSession
from turnkeeper.actors.model.messages import Close, GetSession
from turnkeeper.actors.model.records import HOST, SessionId
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web.http.body import decode_json
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.mount import respond

from . import ids
from .refusals import unsupported

#: Why a conversation cannot be made with these.
_NOT_TAKEN: Final = {
    "items": "are not taken: a conversation begins with its first response",
    "metadata": "is not taken: a conversation has none here, but each response may have its own",
}


async def create(call: Call) -> web.StreamResponse:
    """``POST /v1/conversations``."""
    body = await call.body()
    said = decode_json(body) if body else {}
    if not isinstance(said, dict):
        raise InvalidRequest("the body must be an object", field="body")
    for name, each in said.items():
        if each:
            raise unsupported(name[:100], _NOT_TAKEN.get(name, "is not supported"))
    # Nothing is kept: an id that cannot be guessed is as good as one that is reserved.
    return respond(_conversation(ids.new_session(ids.CONVERSATION, call.user, None), time.time()))


async def retrieve(call: Call) -> web.StreamResponse:
    """``GET /v1/conversations/{id}``. Raises `UnknownSession`, also while nothing was said in it."""
    session = _id(call)
    try:
        view = await call.ask(GetSession(session, call.asker))
    except UnknownSession:
        raise ids.unknown_conversation(session) from None
    known = [turn.submitted_at for turn in (*view.recent, *view.queue, view.turn) if turn is not None]
    return respond(_conversation(view.session_id, min(known, default=0)))


async def delete(call: Call) -> web.StreamResponse:
    """``DELETE /v1/conversations/{id}``: stop what it does and forget it. Raises `UnknownSession`."""
    session = _id(call)
    try:
        await forget(call, session)
    except UnknownSession:
        raise ids.unknown_conversation(session) from None
    return respond({"id": session, "object": "conversation.deleted", "deleted": True})


async def forget(call: Call, session: SessionId) -> None:
    """Stop what a session of the user's does, and forget it. Raises `UnknownSession`."""
    await call.ask(Close(session, call.asker))  # from here on it is the user's until the host frees it
    await call.ask(Close(session, HOST, free=True))


def forget_left(registry: SessionRegistry) -> None:
    """Forget what the process before would have forgotten at the end of a turn, which it has not seen."""
    for session in filter(ids.is_forgotten, registry.left):
        registry.ref.tell(Close(session, HOST, free=True))


def _id(call: Call) -> SessionId:
    return SessionId(rules.checked(call.request.match_info["conversation_id"], "conversation_id"))


def _conversation(session: SessionId, created_at: float) -> dict[str, Any]:
    return {"id": session, "object": "conversation", "created_at": int(created_at), "metadata": {}}
