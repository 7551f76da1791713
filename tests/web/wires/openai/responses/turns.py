"""Turns, as what they say and as their events: fixed ones, and all that there may be."""

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.turns import head, record
from turnkeeper.actors.events.event import END_NAMES, INTERRUPTED, STARTED, TOOL_CALL, TOOL_RESULT, Event
from turnkeeper.actors.events.wire import turn_data
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Extras,
    Reason,
    SessionId,
    TurnError,
    TurnId,
    TurnRef,
    Usage,
)
from turnkeeper.actors.model.words import TERMINAL, CancelCode, TurnStatus
from turnkeeper.actors.turn.recorder import DELTA
from turnkeeper.web.wires.openai.responses.response import Identity
from turnkeeper.web.wires.said import (
    REASONING,
    CutOff,
    Data,
    Ended,
    Reasoning,
    Said,
    Started,
    Text,
    ToolCalled,
    ToolEnded,
)

TURN = TurnRef(SessionId("conv_1"), TurnId("t.1"))


def identity(**params: Any) -> Identity:
    return Identity(TURN, head("t.1", submitted_at=1.5, params_json=json.dumps(params) if params else None))


def ended(status: TurnStatus = TurnStatus.COMPLETED, result: Any = None, **fields: Any) -> Ended:
    """The end of a turn, as its terminal event says it."""
    if status is TurnStatus.FAILED:
        fields.setdefault("error", TurnError("agent_error", "ValueError"))
    if status in (TurnStatus.CANCELLED, TurnStatus.UNRESPONSIVE):
        reason = Reason(CancelCode.USER_REQUEST, "ada")
        fields.setdefault("cancellation", Cancellation(reason, 2.0))
    turn: Any = turn_data(record("t.1", status=status, started_at=1.75, ended_at=2.5, **fields))
    return Ended(status, msgspec.json.decode(msgspec.json.encode(turn)), result)


texts = st.text(st.characters(codec="utf-8"), max_size=5)
ids = st.sampled_from("abc")
data = st.none() | texts | st.dictionaries(texts, st.integers(), max_size=2)
usages = st.builds(Usage, *[st.none() | st.integers(0, 9)] * 4)
pieces: st.SearchStrategy[Said] = st.one_of(
    st.builds(Text, texts),
    st.builds(Reasoning, texts),
    st.builds(ToolCalled, ids, texts, data),
    st.builds(ToolEnded, ids, texts, st.sampled_from(["done", "failed", "cancelled"]), data),
    st.builds(Data, st.just("note"), data),
)
ends = st.builds(
    lambda status, result, usage: ended(status, result, extras=Extras(usage=usage)),
    st.sampled_from(sorted(TERMINAL)),
    data,
    usages,
)
#: What one attempt says.
attempts = st.lists(pieces, max_size=6)


@st.composite
def turns(draw: Any) -> list[Said]:
    """What any turn says, of one attempt or of several; or one that never started."""
    said: list[Said] = []
    for attempt in range(1, draw(st.integers(0, 3)) + 1):
        if said:
            said.append(CutOff(draw(st.booleans())))
        said += [Started(attempt), *draw(attempts)]
    return [*said, draw(ends)]


def events_of(said: list[Said]) -> list[Event]:
    """The events of a turn that says this."""
    return [_event(each, n) for n, each in enumerate(said)]


def _event(said: Said, n: int) -> Event:
    match said:
        case Started(attempt):
            return _made(STARTED, n, {"task_id": TURN.turn_id, "attempt": attempt})
        case Text(text):
            return _made(DELTA, n, {"text": text})
        case Reasoning(text):
            return _made(REASONING, n, {"text": text})
        case ToolCalled(call, name, arguments):
            return _made(TOOL_CALL, n, {"id": call, "name": name, "arguments": arguments})
        case ToolEnded(call, name, outcome, result):
            return _made(TOOL_RESULT, n, {"id": call, "name": name, "outcome": outcome, "result": result})
        case Data(name, of_it):
            return _made(name, n, of_it)
        case CutOff(from_start):
            return _made(INTERRUPTED, n, {"will_continue": True, "from_start": from_start})
        case Ended(status, turn, result):
            return _made(END_NAMES[status], n, {**turn, "result": result})


def _made(name: str, n: int, of_it: Any) -> Event:
    return Event(name, Epoch(1), n, msgspec.json.encode(of_it).decode())
