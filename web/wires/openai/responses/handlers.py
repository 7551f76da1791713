"""The routes of responses."""

from contextlib import ExitStack, aclosing

from aiohttp import web

from turnkeeper.actors.events.event import CLOSE
from turnkeeper.actors.events.turn_reader import TurnReader
from turnkeeper.actors.model.exceptions import PreconditionFailed, UnknownTurn
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Close, GetTurns
from turnkeeper.actors.model.records import HOST, SessionId, TurnId, TurnOptions, TurnRef
from turnkeeper.actors.model.words import CancelCode, StreamEnd
from turnkeeper.actors.turn.context import Context
from turnkeeper.web.http.call import Call
from turnkeeper.web.http.mount import respond
from turnkeeper.web.http.parameters import IDEMPOTENCY_KEY
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.agents import agent_of
from turnkeeper.web.wires.openai import ids
from turnkeeper.web.wires.openai.conversations import forget
from turnkeeper.web.wires.openai.histories import refuse_history
from turnkeeper.web.wires.openai.pages import no_such_item, page, wanted
from turnkeeper.web.wires.openai.refusals import unsupported

from .asked import MAX_NAME, Asked, asked
from .fold import Fold
from .inputs import input_of
from .known import as_it_stands, current, fold_all, new_fold, record_of, so_far
from .writing import NONE, ResponseWriting, lost

#: How many digits a number of an event has at most.
MOST_DIGITS = 16


async def create(call: Call) -> web.StreamResponse:
    """``POST /v1/responses``."""
    request = asked(await call.json())
    key = IDEMPOTENCY_KEY.of(call.request)
    if key is not None and not request.store:
        raise unsupported("Idempotency-Key", "does not go with store=false: a retry would find nothing")
    session, if_match = await _session(call, request, key)
    agent = agent_of(call.registry, request.model)
    refuse_history(agent, call.registry.takes(agent), request.given.history)
    with ExitStack() as room:
        if request.is_followed:
            room.enter_context(call.room())
        try:
            accepted = await call.send(
                session,
                request.given.message,
                agent=agent,
                strategy=request.strategy,
                options=_options(call, request, agent, session),
                if_match=if_match,
                key=key,
                policy={} if request.background else call.ends_with_its_reader(agent),
                params=request.params,
            )
        except PreconditionFailed:
            text = f"{request.previous} is not the latest response of its conversation"
            raise Problem(Code.PRECONDITION_FAILED, text) from None
        turn = TurnRef(session, accepted.merged_into or accepted.turn_id)
        try:
            return await _answer(call, request, turn, room)
        finally:
            if not request.store:
                # Also where the client has gone: there is no one else who could ask for it.
                gone = Close(session, HOST, CancelCode.CLIENT_DISCONNECTED, free=True)
                call.registry.ref.tell_if_alive(gone)


async def _answer(call: Call, request: Asked, turn: TurnRef, room: ExitStack) -> web.StreamResponse:
    """Answer with the response; ``room`` is kept for its reader, until there is one."""
    if not request.is_followed:
        return respond(await current(call, turn))
    reader = await call.follow(turn.session_id, turn.turn_id)
    room.close()
    fold = new_fold(call, turn, reader.head)
    if request.stream:
        return await call.stream(reader, ResponseWriting(fold))
    return await _wait(call, reader, fold)


async def _wait(call: Call, reader: TurnReader, fold: Fold) -> web.StreamResponse:
    """Answer when the turn has ended."""
    fold.begin()
    end: StreamEnd | None = None
    async with aclosing(call.events(reader)) as batches:
        async for batch in batches:
            fold_all(fold, batch)
            if batch[-1].name == CLOSE:
                end = StreamEnd(batch[-1].data)
    if fold.response is None:
        raise lost(end, fold.identity.id)
    return respond(fold.response)


async def retrieve(call: Call) -> web.StreamResponse:
    """``GET /v1/responses/{id}``, and with ``stream=true`` its events after ``starting_after``."""
    turn = _turn(call)
    stream, after = _stream(call.request)
    if not stream:
        return respond(await as_it_stands(call, turn))
    record = await record_of(call, turn)
    writing = ResponseWriting(new_fold(call, turn, record.head), after)
    seen = await writing.catch_up(so_far(call, turn))
    reader = await call.follow(turn.session_id, turn.turn_id, after=seen)
    return await call.stream(reader, writing)


async def input_items(call: Call) -> web.StreamResponse:
    """``GET /v1/responses/{id}/input_items``: the message of its turn, as a list of one item."""
    asked = wanted(call.request.query)
    item = await input_of(call, _turn(call))
    if asked.after not in (None, item["id"]):
        raise no_such_item()
    return respond(page([item] if asked.after is None else [], has_more=False))


async def cancel(call: Call) -> web.StreamResponse:
    """``POST /v1/responses/{id}/cancel``: answered when it has stopped."""
    turn = _turn(call)
    await record_of(call, turn)
    answer = await call.cancel(turn.session_id, turn.turn_id)
    response = await as_it_stands(call, turn)
    response["turnkeeper"].setdefault("verdict", answer.verdict)
    return respond(response)


async def delete(call: Call) -> web.StreamResponse:
    """``DELETE /v1/responses/{id}``: of a response that is all there is of its conversation."""
    turn = _turn(call)
    record = await record_of(call, turn)
    page = await call.ask(GetTurns(turn.session_id, call.asker, limit=2))
    # Older turns may be forgotten, but not that it went on from one.
    if len(page.turns) > 1 or not ids.opens_a_session(turn.session_id, record.params):
        text = f"is part of a conversation: delete that instead, {turn.session_id}"
        raise unsupported("response_id", text)
    await forget(call, turn.session_id)
    return respond({"id": ids.response_id(turn), "object": "response", "deleted": True})


# -- Where a response belongs -------------------------------------------------------------------------


async def _session(call: Call, request: Asked, key: str | None) -> tuple[SessionId, TurnId | None]:
    """The session, and the turn that must be the last one in it. Raises `Problem`."""
    if request.conversation is not None:
        return request.conversation, None
    if request.previous is None:
        kept = ids.OWN if request.given.history else ids.CONVERSATION
        return ids.new_session(kept if request.store else ids.ONCE, call.user, key), None
    try:
        turn = ids.turn_of(request.previous)
        await record_of(call, turn)
    except UnknownTurn as unknown:
        raise Problem(Code.UNKNOWN_TURN, str(unknown), field="previous_response_id") from None
    if ids.belongs_to_no_conversation(turn.session_id):
        text = "names a response that has brought its own history: send that again, with its output"
        raise unsupported("previous_response_id", text)
    return turn.session_id, turn.turn_id


def _options(call: Call, request: Asked, agent: str, session: SessionId) -> TurnOptions | None:
    """The history that the request has brought, if it has.

    Without that, and without a client to read it, no other process is to run the turn again.
    """
    if not request.given.history:
        return None if request.store else TurnOptions(needed=True)
    messages = list(request.given.history)
    context = Context(session, call.user, agent, messages=messages)
    return TurnOptions(context=context, needed=True, size=footprint(messages))


def _turn(call: Call) -> TurnRef:
    return ids.turn_of(call.request.match_info["response_id"])


# -- A stream of it -----------------------------------------------------------------------------------


def _stream(request: web.Request) -> tuple[bool, int]:
    """Whether the events are asked for, and after which of them. Raises `Problem`."""
    query = request.query
    for name in query:
        if name not in ("stream", "starting_after", "include_obfuscation"):
            raise unsupported(name[:MAX_NAME], "is not supported")
    match query.get("stream", "false"):
        case "true":
            return True, _after(query.get("starting_after"))
        case "false" if "starting_after" not in query:
            return False, NONE
        case "false":
            raise unsupported("starting_after", "needs stream=true")
        case _:
            raise unsupported("stream", "must be true or false")


def _after(number: str | None) -> int:
    if number is None:
        return NONE
    if number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS:
        return int(number)
    raise unsupported("starting_after", "must be the number of an event")
