"""What a page opens a chat with: what was said in it, and the message whose reply is on its way."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import web

from turnkeeper.actors.events.event import STARTED, Event
from turnkeeper.actors.events.log import id_of
from turnkeeper.actors.events.shown import shown
from turnkeeper.actors.model.exceptions import EventsLost, UnknownSession, UnknownTurn
from turnkeeper.actors.model.messages import Conversation, GetMessages, GetQueue
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.codec import shown_last
from turnkeeper.web.http.mount import respond
from turnkeeper.web.http.parameters import BEFORE_MESSAGE, LIMIT

from .before import Going, UIMessage, begun, kept, text_of
from .message import STREAM_ID
from .session import chat_of, going_on, view_of

#: How often what goes on is looked at again because it has changed meanwhile.
_LOOKS: Final = 3


class OpenAnswer(msgspec.Struct, kw_only=True):
    """The last ``messages``, with ``omitted`` ones before them.

    ``active`` is the reply that is on its way: that to the last of them.
    """

    messages: list[UIMessage]
    omitted: int
    active: str | None = msgspec.field(name=STREAM_ID)


async def open_chat(call: Call) -> web.StreamResponse:
    """``GET /api/chat/{id}``: what was said so far. A chat that is not known is one without messages.

    What is on its way has no part in the conversation before it has ended: of that there is the message, and
    `resume` has the reply. ``?before=`` asks for earlier ones, by the ``omitted`` of a later page.
    """
    chat = chat_of(call)
    if BEFORE_MESSAGE.of(call.request) is not None:
        return _answer(call, await _conversation(call, chat), (), None)
    conversation, turns = await _looked_at(call, chat)
    lacking = [await _read(call, chat, turn) for turn in turns if not _has(conversation, turn)]
    return _answer(call, conversation, lacking, turns[-1].turn_id if turns else None)


async def _looked_at(call: Call, chat: SessionId) -> tuple[Conversation, tuple[TurnRecord, ...]]:
    """The conversation, and what goes on: of the same moment, unless that changes all the time."""
    turns, looks = going_on(await view_of(call, chat)), 0
    while True:
        conversation = await _conversation(call, chat)
        seen, turns = turns, going_on(await view_of(call, chat))
        looks += 1
        if looks == _LOOKS or _names(seen) == _names(turns):
            return conversation, turns


def _names(turns: tuple[TurnRecord, ...]) -> list[tuple[TurnId, Epoch | None]]:
    return [(turn.turn_id, turn.epoch) for turn in turns]


async def _conversation(call: Call, chat: SessionId) -> Conversation:
    before, limit = BEFORE_MESSAGE.of(call.request), LIMIT.of(call.request)
    try:
        return await call.ask(GetMessages(chat, call.asker, before, limit, call.settings.log_bytes))
    except UnknownSession:
        return Conversation(chat)


def _has(conversation: Conversation, turn: TurnRecord) -> bool:
    """Whether the turn is part of it: a turn writes it down just before its end is seen."""
    last = None if conversation.cursor is None else id_of(conversation.cursor)
    return last is not None and turn.epoch is not None and turn.epoch <= last[0]


async def _read(call: Call, chat: SessionId, turn: TurnRecord) -> Going:
    """What there is of a turn that goes on; its message is ``None`` where that is not kept."""
    settings, message, events = call.settings, None, list[Event]()
    with suppress(UnknownSession, UnknownTurn, EventsLost):
        if turn.epoch is None:
            queue = await call.ask(GetQueue(chat, call.asker))
            waiting = next((each.message for each in queue if each.turn.turn_id == turn.turn_id), None)
            message = shown(waiting, settings.shown_part, settings.log_bytes).message
        else:
            reader = await call.follow(chat, turn.turn_id)
            events = reader.take()
            reader.close()
            message = next((event.data["message"] for event in events if event.name == STARTED), None)
    return Going(turn.turn_id, message, text_of(events))


def _answer(
    call: Call, conversation: Conversation, lacking: Sequence[Going], active: TurnId | None
) -> web.Response:
    settings = call.settings
    last = [message for message, _ in shown_last(conversation, settings.log_bytes, settings.shown_part)]
    omitted = conversation.omitted + len(conversation.messages) - len(last)
    said = kept(reversed(last), omitted)
    return respond(
        OpenAnswer(messages=[*said, *begun(lacking, omitted + len(last))], omitted=omitted, active=active)
    )
