"""What a response was asked with: the message of its turn, which the turn's first event has."""

from contextlib import aclosing
from typing import Any

from turnkeeper.actors.events.event import STARTED
from turnkeeper.actors.model.exceptions import EventsLost, UnknownSession
from turnkeeper.actors.model.messages import GetQueue
from turnkeeper.actors.model.records import TurnRef
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.web.http.call import Call
from turnkeeper.web.wires.openai import ids
from turnkeeper.web.wires.openai.items import Json, item_of
from turnkeeper.web.wires.openai.refusals import unsupported

from .known import record_of, so_far


async def input_of(call: Call, turn: TurnRef) -> Json:
    """The message as an item, without the images that are too large to be shown.

    Raises `UnknownTurn`, `EventsLost` where it is not kept or cannot be shown, and `Problem` where it was
    not all of the input.
    """
    record = await record_of(call, turn)
    if ids.belongs_to_no_conversation(turn.session_id):
        text = "names a response that has brought its own history, of which nothing is kept"
        raise unsupported("response_id", text)
    waiting = await _waiting(call, turn) if record.status is TurnStatus.QUEUED else None
    message = await _started(call, turn) if waiting is None else waiting
    if message is None or _is_cut(message):
        name = ids.response_id(turn)
        raise EventsLost(
            f"response {name!r} has no input to show: it was never started, or that is too large"
        )
    said = {"role": "user", "content": message}
    return item_of(f"msg_in_{ids.suffix(turn)}", said, call.settings.shown_part)


async def _waiting(call: Call, turn: TurnRef) -> Any:
    """The message of a turn that waits; ``None`` if it does not any more."""
    try:
        queue = await call.ask(GetQueue(turn.session_id, call.asker))
    except UnknownSession:
        return None
    return next((each.message for each in queue if each.turn.turn_id == turn.turn_id), None)


async def _started(call: Call, turn: TurnRef) -> Any:
    """The message with which the turn was started; ``None`` if it was not. Raises `EventsLost`."""
    async with aclosing(so_far(call, turn)) as there:
        async for batch in there:
            for event in batch:
                if event.name == STARTED:
                    return event.data["message"]
    return None


def _is_cut(message: Any) -> bool:
    """Whether a text of it is not shown, because it is too large for an event."""
    parts = message if isinstance(message, list) else ()
    return any(part.get("elided") is True and part["type"] != "image_url" for part in parts)
