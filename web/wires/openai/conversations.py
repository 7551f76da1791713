"""``/v1/conversations``: each is a session, and there once something was said in it."""

import time
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from turnkeeper.actors.events.shown import size_of
from turnkeeper.actors.model import ids as rules
from turnkeeper.actors.model.exceptions import InvalidRequest, JournalDown, UnknownSession
from turnkeeper.actors.model.messages import Close, Conversation, GetMessages, GetSession
from turnkeeper.actors.model.records import HOST, SessionId
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web.http.body import decode_json
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.mount import respond

from . import ids
from .items import Json, item_of
from .pages import Wanted, no_such_item, page, wanted
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
        return respond(_conversation(session, await _begun(call, session)))
    except UnknownSession:
        raise ids.unknown_conversation(session) from None


async def items(call: Call) -> web.StreamResponse:
    """``GET /v1/conversations/{id}/items``: what was said in it, as the turns that have ended left it.

    Raises `UnknownSession`, `HostKeepsMessages` and `Problem`.
    """
    session, asked = _id(call), wanted(call.request.query)
    try:
        messages, has_more = await _said(call, session, asked)
    except UnknownSession:
        raise ids.unknown_conversation(session) from None
    found: list[Json] = []
    room = call.settings.log_bytes
    for number, message in messages:
        item = item_of(ids.message_id(session, number), message, call.settings.shown_part)
        room -= size_of(item)
        if found and room < 0:
            has_more = True
            break
        found.append(item)
    return respond(page(found, has_more=has_more))


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


async def forget_left(registry: SessionRegistry) -> None:
    """Forget what the process before would have forgotten at the end of a turn, and had no more time to.

    To be awaited before there are new ones. Where the journal cannot be read, the next start does it.
    """
    journal = registry.journal
    if journal is None:
        return
    with suppress(JournalDown):
        for session in filter(ids.is_forgotten, await journal.named(ids.ONCE)):
            turns = (await journal.turns(session, None, 2)).turns
            # A user may have given a chat such an id: but this turn only its own request can start.
            if len(turns) == 1 and turns[0].head.needs_options:
                registry.ref.tell(Close(session, HOST, free=True))


# -- What was said -----------------------------------------------------------------------------------


async def _begun(call: Call, session: SessionId) -> float:
    """When it began, as far as that is known, else 0. Raises `UnknownSession`."""
    try:
        view = await call.ask(GetSession(session, call.asker))
    except UnknownSession:
        # The session itself may be forgotten before what was said in it.
        await call.ask(GetMessages(session, call.asker, limit=1))
        return 0
    turns = (*view.recent, *view.queue, view.turn)
    return min((turn.submitted_at for turn in turns if turn is not None), default=0)


async def _said(call: Call, session: SessionId, asked: Wanted) -> tuple[list[tuple[int, Any]], bool]:
    """The messages of a page, each with its number, and whether there are more behind them.

    One more is read than are asked for, to know that, and the one behind which the page begins. Raises
    `Problem` where that is not there, `UnknownSession` and `HostKeepsMessages`.
    """
    most, after = asked.limit + 1, None
    if asked.after is not None:
        after = ids.number_of(asked.after, session)
        if after is None:
            raise no_such_item()
    if after is None:
        there = await (_first if asked.oldest_first else _last)(call, session, most)
    else:
        before = after + 1 + (most if asked.oldest_first else 0)
        there = await call.ask(GetMessages(session, call.asker, before, most + 1))
    found = list(enumerate(there.messages, there.omitted))
    if after is not None:
        if not any(number == after for number, _ in found):
            raise no_such_item()
        found = [
            (number, each)
            for number, each in found
            if (number > after if asked.oldest_first else number < after)
        ]
    if not asked.oldest_first:
        found.reverse()
    return found[: asked.limit], len(found) > asked.limit


async def _last(call: Call, session: SessionId, most: int) -> Conversation:
    return await call.ask(GetMessages(session, call.asker, limit=most))


async def _first(call: Call, session: SessionId, most: int) -> Conversation:
    first = await call.ask(GetMessages(session, call.asker, most, most))
    if not first.omitted:
        return first
    # The oldest are no longer kept anywhere: it begins with those in memory.
    start = (await call.ask(GetMessages(session, call.asker))).omitted
    return await call.ask(GetMessages(session, call.asker, start + most, most))


def _id(call: Call) -> SessionId:
    return SessionId(rules.checked(call.request.match_info["conversation_id"], "conversation_id"))


def _conversation(session: SessionId, created_at: float) -> dict[str, Any]:
    return {"id": session, "object": "conversation", "created_at": int(created_at), "metadata": {}}
