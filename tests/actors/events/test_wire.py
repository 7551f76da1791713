"""The JSON of events and turns: on one line, and only what JSON can say."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turns import head, record, spec
from turnkeeper.actors.events import wire
from turnkeeper.actors.events.wire import (
    MAX_CURSOR,
    completed_data,
    gap_data,
    started_data,
    to_json,
    turn_data,
)
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import (
    ChildTurn,
    Extras,
    Returned,
    SessionId,
    StillRunning,
    Stopped,
    TurnId,
    TurnRef,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("data", [object(), math.nan, math.inf, {1, 2}, "\ud800", {(1, 2): 3}])
def test_what_json_cannot_say_is_refused(data: Any) -> None:
    with pytest.raises(EventNotJson):
        to_json(data)


def test_a_list_that_holds_itself_is_refused() -> None:
    with pytest.raises(EventNotJson):
        to_json(_endless())


#: What cannot be written, and what `json` itself says of it.
REFUSED = [
    (object(), "TypeError"),
    ({1, 2}, "TypeError"),
    ({(1, 2): 3}, "TypeError"),
    (math.nan, "ValueError"),
    ([math.inf], "ValueError"),
    ("\ud800", "UnicodeEncodeError"),
    (_endless(), "ValueError"),
]


@pytest.mark.parametrize(("data", "said"), REFUSED, ids=[f"{n}" for n in range(len(REFUSED))])
def test_what_was_refused_leaves_nothing_behind_for_the_next_text(data: Any, said: str) -> None:
    """An encoder is kept from one text to the next, and marks the containers it is in."""
    around = {"around": data}
    for _ in range(2):
        with pytest.raises(EventNotJson, match=f"cannot be written as JSON: {said}$"):
            to_json(around)
        around["around"] = "fine"
        assert to_json(around) == '{"around":"fine"}'
        around["around"] = data


class Talkative(dict[str, Any]):
    """A dict that writes JSON, its own other values too, whenever it is read."""

    def items(self) -> Any:
        with pytest.raises(EventNotJson):
            to_json({"inner": object(), **self.others})
        self.seen = to_json(self.others)
        return super().items()

    def __init__(self, others: dict[str, Any], **values: Any) -> None:
        super().__init__(values)
        self.others = others


def test_a_dict_that_writes_json_while_it_is_written_disturbs_nothing() -> None:
    others = {"a": [1, 2]}
    talkative = Talkative(others, word="hi")
    others["b"] = [3]
    assert to_json([others, talkative, others]) == '[{"a":[1,2],"b":[3]},{"word":"hi"},{"a":[1,2],"b":[3]}]'
    assert talkative.seen == '{"a":[1,2],"b":[3]}'


def test_without_the_encoder_in_c_the_same_is_written_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    monkeypatch.setattr(wire, "_spare", [])
    assert to_json({"text": "wörd", "n": [1, None, 2.5]}) == '{"text":"wörd","n":[1,null,2.5]}'
    for data, said in REFUSED:
        with pytest.raises(EventNotJson, match=said):
            to_json({"around": data})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_json_can_say_is_written_on_one_line_and_read_back(data: Any) -> None:
    try:
        text = to_json(data)
    except EventNotJson:
        return  # half of a surrogate pair
    assert json.loads(text) == data
    assert len(text.splitlines()) == 1 or not text.isascii()
    assert "\n" not in text


def test_a_message_and_a_result_that_json_cannot_say_are_null_and_the_rest_stays() -> None:
    started = started_data(spec(), object())
    assert (started["message"], started["status"], started["agent"]) == (None, "running", "coder")
    completed = completed_data(TurnEnd(record(), Returned({1, 2})))
    assert (completed["result"], completed["status"]) == (None, "completed")
    assert completed_data(TurnEnd(record(), Stopped()))["result"] is None


@pytest.mark.parametrize("cursor", ["\ud800", "x" * 5_000, "\n"])
def test_a_cursor_is_repeated_as_a_stream_can_carry_it(cursor: str) -> None:
    data = gap_data(cursor, "1-0")
    assert len(data["since"]) <= MAX_CURSOR
    to_json(data)
    assert gap_data(None, None) == {"since": None, "min_available": None}


def test_a_turn_shows_the_one_that_sent_for_it_and_those_that_it_has_sent_for() -> None:
    parent = TurnRef(SessionId("s1"), TurnId("t0"))
    child = ChildTurn(SessionId("s3"), TurnId("t2"), 5.0, TurnStatus.COMPLETED, 6.0)
    sent = replace(spec("t1"), head=replace(head("t1"), parent=parent))
    shown = turn_data(replace(record("t1"), head=sent.head, extras=Extras(children=(child,))))
    assert shown["parent"] == {"log_id": "s1", "task_id": "t0"}
    assert shown["children"] == [{"log_id": "s3", "task_id": "t2"}]
    assert started_data(sent, "hi")["parent"] == shown["parent"]
    assert not {"parent", "children"} & turn_data(record("t1")).keys()
    assert "parent" not in started_data(spec("t1"), "hi")


def test_what_still_runs_of_a_turn_is_shown_where_anything_does() -> None:
    assert "still_running" not in turn_data(record())
    given_up = replace(record(), extras=Extras(still_running=StillRunning(threads=2, processes=1)))
    assert turn_data(given_up)["still_running"] == {"tasks": 0, "threads": 2, "processes": 1}
