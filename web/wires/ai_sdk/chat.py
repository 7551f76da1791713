"""The routes of a chat: send, resume and stop. A chat is a session, and each reply the turn of its id."""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from turnkeeper.actors.events.turn_reader import TurnReader
from turnkeeper.actors.events.wire import StillRunningData, TurnData, still_running_data, turn_data
from turnkeeper.actors.model import ids
from turnkeeper.actors.model.messages import GetTurn
from turnkeeper.actors.model.records import SessionId, TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.codec import rounded
from turnkeeper.web.http.mount import respond
from turnkeeper.web.http.parameters import IF_MATCH
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.agents import agent_of
from turnkeeper.web.wires.writing import DONE, JsonEvents

from .asked import NEW_MESSAGE, send_asked, stop_asked
from .message import STREAM_ID, Message, beginning
from .session import awaited, chat_of, view_of

#: Says which protocol a stream speaks.
HEADERS: Final = {"X-Vercel-AI-UI-Message-Stream": "v1"}


async def send(call: Call) -> web.StreamResponse:
    """``POST /api/chat``: the reply to a message. The same message again is given the same reply."""
    asked = send_asked(await call.json())
    chat = ids.session_id(asked.chat_id)
    if asked.repeats:
        await _check_repeats(call, chat, asked.message_id)
    with call.room():
        accepted = await call.send(
            chat,
            asked.message,
            agent=agent_of(call.registry, asked.agent),
            strategy=asked.strategy,
            key=asked.message_id,
            params=asked.params,
            if_match=IF_MATCH.of(call.request),
        )
        turn_id = accepted.merged_into or accepted.turn_id
        attempt = 1
        if accepted.repeated:
            attempt = (await _turn(call, chat, turn_id)).attempt
        reader = await call.follow(chat, turn_id)
    return await _stream(call, reader, attempt)


async def resume(call: Call) -> web.StreamResponse:
    """``GET /api/chat/{id}/stream``: the reply that is on its way, from its beginning; 204 if none is.

    A client that has lost its connection cannot know whether the reply has ended since, and takes 204 for the
    end of what it has. With ``?activeStreamId=`` it names that reply, and is given it in either case.
    """
    chat, named = chat_of(call), call.request.query.get(STREAM_ID)
    if named is None:
        turn = awaited(await view_of(call, chat))
    else:
        turn = await _turn(call, chat, ids.checked(named, STREAM_ID))
    if turn is None:
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    reader = await call.follow(chat, turn.turn_id)
    return await _stream(call, reader, turn.attempt)


class StopAnswer(msgspec.Struct, kw_only=True):
    """What a stop came to: the ``turn`` that it was about, and which one is awaited now.

    ``cleared`` are the turns that waited and were cancelled with it. For ``remembered_for`` seconds it counts
    for a message that has not arrived yet. ``still_running`` is what of the turn was seen to run on, if any.
    """

    verdict: Verdict
    status: TurnStatus | None
    settled_after_ms: float | None
    turn: TurnData | None
    cleared: tuple[str, ...]
    remembered_for: float | None
    still_running: StillRunningData | UnsetType = UNSET
    active_stream_id: str | None = msgspec.field(name=STREAM_ID)


async def stop(call: Call) -> web.StreamResponse:
    """``POST /api/chat/{id}/stop``: stop the reply that is named, or else whatever the chat does."""
    chat, asked = chat_of(call), stop_asked(await call.body())
    named = asked.turn_id
    if asked.message_id is not None:
        named = ids.keyed_turn_id(call.user, chat, asked.message_id)
    answer = await call.cancel(chat, named)
    turn, next_one = answer.turn, awaited(await view_of(call, chat))
    said = StopAnswer(
        verdict=answer.verdict,
        status=None if turn is None else turn.status,
        settled_after_ms=rounded(answer.settled_after_ms),
        turn=None if turn is None else turn_data(turn),
        cleared=answer.cleared,
        remembered_for=rounded(answer.remembered_for),
        still_running=UNSET if (left := answer.still_running) is None else still_running_data(left),
        active_stream_id=None if next_one is None else next_one.turn_id,
    )
    return respond(said, 202 if answer.verdict is Verdict.REQUESTED else 200)


async def _stream(call: Call, reader: TurnReader, attempt: int) -> web.StreamResponse:
    writing = JsonEvents(Message(attempt), first=(beginning(reader.turn_id),), headers=HEADERS, last=DONE)
    return await call.stream(reader, writing)


async def _turn(call: Call, chat: SessionId, turn_id: str) -> TurnRecord:
    """One turn. Raises `UnknownSession` and `UnknownTurn`."""
    return await call.ask(GetTurn(chat, turn_id, call.asker))


async def _check_repeats(call: Call, chat: SessionId, message_id: str) -> None:
    """Raise `Problem` unless this message was sent before, and nothing was said after its reply.

    Else the client would change what was said, or has left out what followed.
    """
    view = await view_of(call, chat)
    turn_id = ids.keyed_turn_id(call.user, chat, message_id)
    last = () if view is None else (view.turn, *view.queue)
    if not any(turn is not None and turn.turn_id == turn_id for turn in last):
        detail = f"an earlier message cannot be changed or sent again: {NEW_MESSAGE}"
        raise Problem(Code.UNSUPPORTED_PARAMETER, detail, field="messageId")
