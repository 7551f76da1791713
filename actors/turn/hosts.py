"""What was said in a session whose conversation the host keeps: asked of the host, for those who may know."""

import inspect

from turnkeeper.actors.events.wire import to_json
from turnkeeper.actors.model.exceptions import (
    EventNotJson,
    HostKeepsMessages,
    OwnerNotKnown,
    UnknownSession,
)
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import Asker, SessionId

from .agent import LoadContext, OwnerOf


async def owner_according_to(owner_of: OwnerOf, session_id: SessionId, asker: Asker) -> str:
    """Whose the host says a session is. Raises `UnknownSession`, also if the asker may not know of it.

    Raises `OwnerNotKnown` where the host cannot say.
    """
    try:
        answer = owner_of(session_id)
        owner = await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        logger.exception("owner_of failed for session %s", session_id)
        raise OwnerNotKnown(f"it cannot be found out whose session {session_id!r} is") from error
    if not isinstance(owner, str) or not owner or not asker.may_see(owner):
        raise UnknownSession(f"no session {session_id!r}")
    return owner


async def said_according_to(
    load_context: LoadContext, session_id: SessionId, owner: str, before: int | None, limit: int | None
) -> Conversation:
    """A page of the ``messages`` of the context that the host loads.

    Raises `HostKeepsMessages` where that is none, or has no messages that can be shown.
    """
    try:
        context = await load_context(session_id, owner)
    except Exception as error:
        logger.exception("load_context failed for session %s", session_id)
        raise HostKeepsMessages("the host keeps this conversation, and could not load it") from error
    messages = None if context is None else getattr(context, "messages", None)
    try:
        if not isinstance(messages, list | tuple):
            raise EventNotJson("no list")
        end = len(messages) if before is None else min(len(messages), before)
        start = 0 if limit is None else max(0, end - limit)
        page = tuple(messages[start:end])
        to_json(page)
    except EventNotJson:
        raise HostKeepsMessages("the host keeps this conversation, and shows no messages of it") from None
    return Conversation(session_id, page, None, start)
