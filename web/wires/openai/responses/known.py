"""What is known of a response: from its turn's record, its events, or what else the turn has left."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import id_of
from turnkeeper.actors.events.subscription import BATCH
from turnkeeper.actors.events.wire import turn_data
from turnkeeper.actors.model.exceptions import EventsLost, HostKeepsMessages, UnknownSession, UnknownTurn
from turnkeeper.actors.model.messages import GetMessages, GetTurn
from turnkeeper.actors.model.records import SessionId, TurnHead, TurnRecord, TurnRef
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.actors.runtime import batches
from turnkeeper.web.http.call import Call
from turnkeeper.web.wires.openai import ids
from turnkeeper.web.wires.said import Ended, Text, said

from .fold import Fold
from .response import Identity
from .writing import last_id


async def record_of(call: Call, turn: TurnRef) -> TurnRecord:
    """The turn. Raises `UnknownTurn`."""
    try:
        return await call.ask(GetTurn(turn.session_id, turn.turn_id, call.asker))
    except (UnknownSession, UnknownTurn):
        raise ids.unknown(ids.response_id(turn)) from None


def new_fold(call: Call, turn: TurnRef, head: TurnHead) -> Fold:
    """A fold for the events of the turn, from its first one on."""
    return Fold(Identity(turn, head), call.registry.settings.recorded_reply)


def fold_all(fold: Fold, events: Iterable[Event]) -> None:
    """Take these events, for what they come to in the end."""
    for event in events:
        if (each := said(event)) is not None:
            fold.take(each)


async def so_far(call: Call, turn: TurnRef) -> AsyncGenerator[list[Event]]:
    """The events that there are of a turn, from its first one on, a few in each pass of the loop.

    They come in parts where only the journal has them all. Raises as `Call.follow` does. Cancelling it loses
    nothing.
    """
    seen: str | None = None
    goes_on = True
    while goes_on:
        goes_on = False
        reader = await call.follow(turn.session_id, turn.turn_id, after=seen)
        try:
            while part := reader.take():
                seen, goes_on = last_id(part) or seen, True
                async for batch in batches(part, BATCH):
                    yield batch
        finally:
            reader.close()
        goes_on = goes_on and reader.overflowed and not reader.complete


async def current(call: Call, turn: TurnRef) -> Any:
    """The response without what it has put out. Raises as `record_of` does."""
    return _now(turn, await record_of(call, turn))


async def as_it_stands(call: Call, turn: TurnRef) -> Any:
    """The response; what it has put out is in it once it has ended.

    Raises as `record_of` does, and `EventsLost` where one has completed and its text is no longer kept.
    """
    record = await record_of(call, turn)
    if record.status not in TERMINAL:
        return _now(turn, record)
    fold = new_fold(call, turn, record.head)
    fold.begin()
    try:
        async for batch in so_far(call, turn):
            fold_all(fold, batch)
    except EventsLost as error:
        fold = new_fold(call, turn, record.head)
        await _remember(call, turn, record, fold, error)
    if fold.response is None:
        raise EventsLost(f"the events of response {ids.response_id(turn)!r} are no longer kept")
    return fold.as_of(record.status, turn_data(record))  # which may know more by now than the end did


def _now(turn: TurnRef, record: TurnRecord) -> dict[str, Any]:
    return Identity(turn, record.head).response(record.status, turn_data(record))


async def _remember(call: Call, turn: TurnRef, record: TurnRecord, fold: Fold, lost: EventsLost) -> None:
    """Fold what else is known of a turn whose events are not kept: its result, or what was made of it."""
    ended = Ended(record.status, turn_data(record), None)
    if record.first_event_at is None:
        result = None if record.result is None else record.result.value
        fold.take(Ended(ended.status, ended.turn, result))
        return
    text = await _last_reply(call, record, turn.session_id)
    if text is not None:
        fold.take(Text(text))
    elif record.status is TurnStatus.COMPLETED:
        raise lost
    fold.take(ended)


async def _last_reply(call: Call, record: TurnRecord, session: SessionId) -> str | None:
    """What this turn has left in the conversation as its reply, if that is known.

    It is the last message there, if no other turn has changed the conversation after it. Of a completed turn
    one that is cut off is not its reply.
    """
    try:
        conversation = await call.ask(GetMessages(session, call.asker, limit=1))
    except HostKeepsMessages:
        return None
    last = None if conversation.cursor is None else id_of(conversation.cursor)
    if last is None or last[0] != record.epoch or not conversation.messages:
        return None
    match conversation.messages[-1]:
        case {"role": "assistant", "cut_off": True} if record.status is TurnStatus.COMPLETED:
            return None
        case {"role": "assistant", "content": str(text)}:
            return text
        case _:
            return None
