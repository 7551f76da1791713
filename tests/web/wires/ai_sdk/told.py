"""The events of turns, as their logs have them, for what reads them."""

import json
from typing import Any

from hypothesis import strategies as st

from turnkeeper.actors.events.event import END_NAMES, Event
from turnkeeper.actors.model.words import TurnStatus

TURN = "t1"


def event(name: str, data: Any, epoch: int | None = 1, n: int = 0) -> Event:
    return Event(name, epoch, n, json.dumps(data))


def started(attempt: int = 1) -> Event:
    return event(
        "turn.started", {"task_id": TURN, "status": "running", "attempt": attempt, "message": "hello"}
    )


def delta(text: Any) -> Event:
    return event("delta", {"text": text})


def reasoning(text: str) -> Event:
    return event("reasoning", {"text": text})


def called(call: str, name: str = "search", **shown: Any) -> Event:
    return event("turn.tool_call", {"task_id": TURN, "id": call, "name": name, **shown})


def returned(call: str, outcome: str = "done", name: str = "search", **shown: Any) -> Event:
    data = {"task_id": TURN, "id": call, "name": name, "outcome": outcome, "ms": 1.0, **shown}
    return event("turn.tool_result", data)


def cut_off(*, from_start: bool) -> Event:
    data = {
        "task_id": TURN,
        "will_continue": True,
        "from_start": from_start,
        "status": "queued",
        "kept": None,
    }
    return event("turn.interrupted", data)


def ended(status: TurnStatus = TurnStatus.COMPLETED, **turn: Any) -> Event:
    about = {"reason": None, "error": None, "usage": None, "superseded_by": None}
    return event(END_NAMES[status], {"task_id": TURN, "status": status, **about, **turn})


def close() -> Event:
    return Event("close", text="Server shutting down")


_texts = st.text(st.characters(codec="utf-8"), max_size=3)
_calls = st.sampled_from(["c1", "c2"])
#: What an agent says, in any order, also what it never says in that one.
_saying = st.one_of(
    _texts.map(delta),
    st.just(delta(1)),
    _texts.map(reasoning),
    st.builds(called, _calls, arguments=st.none() | _texts),
    st.builds(returned, _calls, st.sampled_from(["done", "failed", "cancelled"]), result=st.none() | _texts),
    st.sampled_from([event("note", [1]), event("error", {"id": "x"}), event("delta", "x")]),
)
_said = st.lists(_saying, max_size=8)
_endings = st.one_of(
    st.builds(ended, st.just(TurnStatus.COMPLETED), result=st.none() | _texts | st.just({"a": 1})),
    st.builds(ended, st.sampled_from(sorted(END_NAMES))),
    st.just(ended(TurnStatus.CANCELLED, reason={"code": "superseded"}, superseded_by="t2")),
)


@st.composite
def attempts(draw: st.DrawFn, *, from_start: bool | None = None, least: int = 1) -> list[list[Event]]:
    """A turn of one attempt or more, each with its start and end; only the last one ends the turn."""
    anew = draw(st.booleans()) if from_start is None else from_start
    count = draw(st.integers(least, 3))
    said = [[started(number + 1), *draw(_said)] for number in range(count)]
    for attempt in said[:-1]:
        attempt.append(cut_off(from_start=anew))
    said[-1] += [draw(_endings), close()]
    return said
