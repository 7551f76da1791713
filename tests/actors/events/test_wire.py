"""The JSON of events and turns: on one line, and only what JSON can say."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turns import record, spec
from turnkeeper.actors.events.wire import MAX_CURSOR, completed_data, gap_data, size_of, started_data, to_json
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import Returned, Stopped


@pytest.mark.parametrize("data", [object(), math.nan, math.inf, {1, 2}, "\ud800", {(1, 2): 3}])
def test_what_json_cannot_say_is_refused(data: Any) -> None:
    with pytest.raises(EventNotJson):
        to_json(data)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EventNotJson):
        to_json(endless)


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
    started = started_data(spec(message=object()))
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


def test_the_size_of_a_message_is_that_of_its_texts_wherever_they_are() -> None:
    assert size_of("abc") == 3
    assert size_of([{"type": "text", "text": "x" * 1_000}]) == 1_004
    assert size_of(7) == 0


def test_the_size_of_a_message_that_holds_itself_is_bounded() -> None:
    endless: list[Any] = ["x"]
    endless.append(endless)
    assert size_of(endless) == 4
