"""What a turn has said, event by event, as every wire reads it. Pure.

An agent's events are its own. These three every wire understands: ``delta`` is a piece of its text,
``reasoning`` a piece of what it thinks, each with a ``text``, and the calls of tools are what
`Turn.tool_call` publishes. All others are data, for the wires that can carry them; ``finish_reason`` is among
them, whose ``reason`` is why the agent's model stopped before it had said all.
"""

from typing import Any, Final, TypeAlias

import msgspec

from turnkeeper.actors.events.event import (
    CLOSE,
    END_NAMES,
    INTERRUPTED,
    STARTED,
    TOOL_CALL,
    TOOL_RESULT,
    Event,
)
from turnkeeper.actors.events.wire import TurnData
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import StreamEnd, TurnStatus
from turnkeeper.actors.turn.recorder import DELTA

#: The event whose ``text`` is a piece of what the agent thinks.
REASONING: Final = "reasoning"
_FINISH_REASON: Final = "finish_reason"
#: The event whose ``message`` is why the agent fails just after it.
UPSTREAM_ERROR: Final = "upstream_error"
#: How many characters of it count.
_LONGEST_SENTENCE: Final = 500
#: Why a model stops before it has said all: its tokens have run out, or what it says is held back.
CUT_SHORT: Final = ("length", "content_filter")
#: The terminal events, each with the status that it means.
_STATUSES: Final[dict[str, TurnStatus]] = {name: status for status, name in END_NAMES.items()}


@value
class Started:
    """The turn has started, for the ``attempt``-th time."""

    attempt: int


@value
class Text:
    """A piece of the reply."""

    text: str


@value
class Reasoning:
    """A piece of what the agent thinks."""

    text: str


@value
class ToolCalled:
    """A call of a tool has begun; ``arguments`` are ``None`` if they are not shown."""

    id: str
    name: str
    arguments: Any


@value
class ToolEnded:
    """A call of a tool has ended: ``outcome`` is ``done``, ``failed`` or ``cancelled``.

    ``result`` is ``None`` if it is not shown.
    """

    id: str
    name: str
    outcome: str
    result: Any


@value
class Data:
    """Any other event of the agent's."""

    name: str
    data: Any

    @property
    def cut_short(self) -> str | None:
        """Why the model stopped, one of `CUT_SHORT`, if this is the event that says so."""
        reason = (
            self.data.get("reason") if self.name == _FINISH_REASON and isinstance(self.data, dict) else None
        )
        return reason if reason in CUT_SHORT else None

    @property
    def failure(self) -> str | None:
        """Why the agent is about to fail, in a sentence, if this is the event that says so."""
        message = (
            self.data.get("message") if self.name == UPSTREAM_ERROR and isinstance(self.data, dict) else None
        )
        return message[:_LONGEST_SENTENCE] if isinstance(message, str) else None


@value
class CutOff:
    """The turn was cut off by the end of its process, and will be started again.

    ``from_start``: the next attempt says everything again.
    """

    from_start: bool


@value
class Ended:
    """The turn has ended; ``turn`` is it as its terminal event says, ``result`` what the agent returned.

    ``None`` also stands for a result that is not JSON.
    """

    status: TurnStatus
    turn: TurnData
    result: Any

    @property
    def code(self) -> str:
        """Why it ended so: the code of its error, of the reason for which it was stopped, or its status."""
        error, reason = self.turn["error"], self.turn["reason"]
        if error is not None:
            return error["code"]
        return self.status if reason is None else reason["code"]


#: What the events of a turn say.
Said: TypeAlias = Started | Text | Reasoning | ToolCalled | ToolEnded | Data | CutOff | Ended


@value
class StreamClosed:
    """The stream ends here, and the turn has not ended.

    ``why`` is ``None`` where the reader fell too far behind.
    """

    why: StreamEnd | None


class _Piece(msgspec.Struct):
    text: str


#: Reads no more of the data than is said: there is one of these for every token.
_PIECE: Final = msgspec.json.Decoder(_Piece)


def said(event: Event) -> Said | None:
    """What this event of a turn says; ``None`` for one that is about the stream, such as `close`."""
    name = event.name
    if name in (DELTA, REASONING):
        try:
            text = _PIECE.decode(event.json).text
        except msgspec.ValidationError:
            return Data(name, event.data)
        return Text(text) if name == DELTA else Reasoning(text)
    if event.epoch is None and name not in _STATUSES:
        return None
    if name == STARTED:
        return Started(event.attempt or 1)
    if name == INTERRUPTED and not event.ends_turn:
        return CutOff(event.data["from_start"])
    if name in _STATUSES:
        turn = event.data
        return Ended(_STATUSES[name], turn, turn.pop("result", None))
    data = event.data
    if name == TOOL_CALL:
        return ToolCalled(data["id"], data["name"], data.get("arguments"))
    if name == TOOL_RESULT:
        return ToolEnded(data["id"], data["name"], data["outcome"], data.get("result"))
    return None if name == CLOSE else Data(name, data)
