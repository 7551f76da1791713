"""``/v1/conversations``: each is a session, and there once something was said in it."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from itertools import chain, repeat
from typing import Any, Final

from aiohttp import web

from turnkeeper.actors.model import ids as rules
from turnkeeper.actors.model.exceptions import InvalidRequest, JournalDown, UnknownSession
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Close, GetMessages, GetSession
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
    found: list[Json] = []
    has_more, room = False, call.settings.log_bytes
    try:
        async with aclosing(_said(call, session, asked)) as messages:
            async for number, message in messages:
                room -= footprint(message)
                if len(found) == asked.limit or (found and room < 0):
                    has_more = True
                    break
                message_id = ids.message_id(session, number)
                found.append(item_of(message_id, message, call.settings.shown_part))
    except UnknownSession:
        raise ids.unknown_conversation(session) from None
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


async def _said(call: Call, session: SessionId, asked: Wanted) -> AsyncGenerator[tuple[int, Any], None]:
    """The messages of a page and all behind it, each with its number; few are read that are not asked for.

    Raises `Problem` where that is not there behind which the page is to begin, `UnknownSession` and
    `HostKeepsMessages`.
    """
    after = None if asked.after is None else await _number(call, session, asked.after)
    if asked.oldest_first:
        start = await _oldest(call, session) if after is None else after + 1
        messages = _from(call, session, start)
    else:
        messages = _back_from(call, session, after)
    async with aclosing(messages) as each:
        async for message in each:
            yield message


async def _number(call: Call, session: SessionId, item: str) -> int:
    """The number of the message of this id, which is there. Raises `Problem` if it is not."""
    number = ids.number_of(item, session)
    if number is not None:
        there = await call.ask(GetMessages(session, call.asker, number + 1, 1))
        if there.messages and there.omitted == number:
            return number
    raise no_such_item()


async def _oldest(call: Call, session: SessionId) -> int:
    """The number of the oldest message that is kept."""
    first = await call.ask(GetMessages(session, call.asker, 1, 1))
    # Without a journal the oldest ones are those in memory.
    return (await call.ask(GetMessages(session, call.asker))).omitted if first.omitted else 0


async def _back_from(
    call: Call, session: SessionId, before: int | None
) -> AsyncGenerator[tuple[int, Any], None]:
    """The messages before that number, or all, the newest first."""
    for step in _steps():
        there = await call.ask(GetMessages(session, call.asker, before, step))
        before = there.omitted
        for number, message in reversed(list(enumerate(there.messages, before))):
            yield number, message
        if not there.messages or not before:
            return


async def _from(call: Call, session: SessionId, start: int) -> AsyncGenerator[tuple[int, Any], None]:
    """The messages from that number on, the oldest first."""
    for step in _steps():
        end = start + step
        there = await call.ask(GetMessages(session, call.asker, end, step))
        for number, message in enumerate(there.messages, there.omitted):
            if number >= start:
                yield number, message
        if there.omitted + len(there.messages) < end:
            return
        start = end


def _steps() -> Iterator[int]:
    """How many messages are read at a time: few at first, because each may be large."""
    return chain((2, 4, 8, 16, 32), repeat(64))


def _id(call: Call) -> SessionId:
    return SessionId(rules.checked(call.request.match_info["conversation_id"], "conversation_id"))


def _conversation(session: SessionId, created_at: float) -> dict[str, Any]:
    return {"id": session, "object": "conversation", "created_at": int(created_at), "metadata": {}}
