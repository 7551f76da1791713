"""Events: their ids, and their data as JSON on one line, written when they are read."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turns import record, spec
from turnkeeper.actors.events.event import (
    END_NAMES,
    Event,
    EventName,
    check_name,
    cut_off_event,
    edited_event,
    end_event,
    started_event,
)
from turnkeeper.actors.events.shown import SURELY_SHOWN
from turnkeeper.actors.events.wire import to_json, turn_data
from turnkeeper.actors.model.exceptions import ReservedEvent
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import (
    Cancellation,
    LateEnd,
    Reason,
    Returned,
    TurnError,
    TurnId,
    TurnSpec,
)
from turnkeeper.actors.model.words import TERMINAL, CancelCode, TurnStatus

RECORD = record(
    "t",
    7,
    TurnStatus.UNRESPONSIVE,
    fingerprint=b"secret",
    started_at=2.0,
    cancellation=Cancellation(Reason(CancelCode.SUPERSEDED, "ada", "faster"), 3.0, 4.0),
    ended_at=5.0,
    error=TurnError("MODEL_DOWN", "OSError"),
    superseded_by=TurnId("t2"),
    ended_late=LateEnd(TurnStatus.COMPLETED, 6.0),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text("ab\n"), children),
)


def test_the_id_is_epoch_and_number() -> None:
    assert Event("delta", epoch=17, n=3).id == "17-3"


def test_what_is_about_the_stream_itself_has_no_id() -> None:
    assert Event("snapshot").id is None


@given(JSON)
def test_data_is_what_was_written_on_one_line(data: Any) -> None:
    event = Event("delta", epoch=1, text=to_json(data))
    assert event.data == data
    assert "\n" not in event.json
    assert "\r" not in event.json


def test_the_data_is_the_readers_own_copy() -> None:
    event = Event("delta", text='{"a":[1]}')
    event.data["a"].append(2)
    assert event.data == {"a": [1]}


def test_an_event_without_data_is_null() -> None:
    assert Event("ping").json == "null"


def test_the_event_of_a_turn_that_ended_says_why_and_how() -> None:
    data = Event("turn.unresponsive", source=RECORD).data
    assert data == turn_data(RECORD)
    assert (data["task_id"], data["status"], data["superseded_by"]) == ("t", "unresponsive", "t2")
    assert data["reason"] == {"code": "superseded", "by": "ada", "text": "faster"}
    assert data["error"] == {"code": "MODEL_DOWN", "type": "OSError"}
    assert data["ended_late"] == {"outcome": "completed", "at": 6.0}


def test_no_event_shows_a_fingerprint() -> None:
    assert "secret" not in Event("turn.unresponsive", source=RECORD).json


def test_the_event_of_a_started_turn_has_its_message() -> None:
    assert Event("turn.started", epoch=1, source=spec(message=[{"type": "text", "text": "hi"}])).data[
        "message"
    ] == [{"type": "text", "text": "hi"}]


def test_a_message_that_json_cannot_say_is_null() -> None:
    assert Event("turn.started", epoch=1, source=spec(message=object())).data["message"] is None


def test_the_size_of_an_event_is_that_of_its_text() -> None:
    assert Event("delta", text='"abc"').size == 5


def test_a_kept_token_is_nothing_to_the_garbage_collector_and_what_holds_a_message_is() -> None:
    token = Event("delta", 1, 3, '{"text":"word"}')
    token.encoded = token.json.encode()
    assert not gc.is_tracked(token)
    assert gc.is_tracked(Event("turn.started", 1, 0, source=spec(message=[{"type": "text", "text": "hi"}])))


@pytest.mark.parametrize("length", [1, 100, 998, 999, 1_000, 5_000])
@pytest.mark.parametrize("as_message", [str, lambda text: [{"type": "text", "text": text}]])
def test_a_started_turn_counts_with_its_message(as_message: Any, length: int) -> None:
    """G8: also where it is written as JSON later."""
    message = as_message("x" * length)
    event, elided = started_event(spec(message=message), 7, 10_000, 50_000)
    assert not elided
    assert (event.name, event.id) == ("turn.started", "7-0")
    assert length <= event.size <= len(event.json)
    assert event.data["message"] == message


def test_a_short_text_is_always_published() -> None:
    event, elided = started_event(spec(message="x" * SURELY_SHOWN), 7, 1, 1)
    assert (event.data["message"], event.size, elided) == ("x" * SURELY_SHOWN, SURELY_SHOWN, False)


@pytest.mark.parametrize("message", ["x" * 20_000, [{"type": "image", "url": "x" * 20_000}]])
def test_what_is_not_shown_of_a_message_is_not_held_either(message: Any) -> None:
    """G8: the log would keep it for as long as it keeps the event."""
    event, elided = started_event(spec(message=message), 7, 10_000, 50_000)
    assert elided
    assert [part["elided"] for part in event.data["message"]] == [True]
    assert event.size == len(event.json) < 1_000
    assert not [each for each in gc.get_referents(event) if isinstance(each, TurnSpec)]


@pytest.mark.parametrize(
    ("message", "is_shown"),
    [
        ("rather this", True),
        ([{"type": "text", "text": "rather this"}], True),
        ([{"type": "image", "url": "x" * 20_000}], False),
        ("x" * 60_000, False),
    ],
)
def test_the_event_that_a_turn_was_edited_says_by_whom_and_shows_its_message(
    message: Any, is_shown: bool
) -> None:
    """G8: large parts are shown as when a turn starts."""
    event = edited_event(spec(message=message), "eve", 10_000, 50_000)
    assert (event.name, event.id, event.turn_id) == ("turn.edited", None, "t")
    assert (event.ends_turn, event.size) == (False, len(event.json))
    started, _ = started_event(spec(message=message), 7, 10_000, 50_000)
    assert event.data == {"task_id": "t", "by": "eve", "message": started.data["message"]}
    assert (event.data["message"] == message) is is_shown


def test_a_message_that_is_not_json_is_published_as_null_when_it_is_edited() -> None:
    assert edited_event(spec(message=object()), "eve", 100, 100).data["message"] is None


def test_an_event_shows_its_id_and_name() -> None:
    assert repr(Event("delta", epoch=1, n=2)) == "<Event 1-2 delta>"
    assert repr(Event("gap")) == "<Event - gap>"


# -- Names ------------------------------------------------------------------------------------------


def test_every_terminal_status_has_an_event_and_every_event_of_a_turn_a_status() -> None:
    assert set(END_NAMES) == TERMINAL
    about_turns = {name for name in EventName if name.startswith("turn.")}
    others = {
        "turn.queued",
        "turn.places",
        "turn.edited",
        "turn.started",
        "turn.tool_call",
        "turn.tool_result",
    }
    assert about_turns - set(END_NAMES.values()) == others


@pytest.mark.parametrize("name", [*EventName, "turn.", "turn.x", "", "a\nb", "x" * 201, 7, None], ids=repr)
def test_an_agent_cannot_emit_a_name_of_ours_or_one_that_a_stream_cannot_carry(name: Any) -> None:
    with pytest.raises(ReservedEvent):
        check_name(name)


@pytest.mark.parametrize("name", ["delta", "turns", "Turn.started", "x" * 200, "ü"])
def test_any_other_name_is_the_agents(name: str) -> None:
    check_name(name)


# -- The terminal event ---------------------------------------------------------------------------------


def completed(result: object) -> TurnEnd:
    return TurnEnd(record("t1", 7, started_at=2.0, ended_at=3.0), Returned(result))


@pytest.mark.parametrize("result", [None, True, 7, 1.5, "done", "x" * 2_000, [1, {"a": None}], {"b": "ü"}])
def test_the_event_of_a_completed_turn_has_its_result(result: object) -> None:
    event = end_event(completed(result), 5, 10_000)[0]
    assert (event.id, event.name) == ("7-5", "turn.completed")
    assert event.data["result"] == result
    assert event.data["status"] == "completed"


def test_a_result_is_published_up_to_the_bound_and_beyond_it_as_null() -> None:
    """G8."""
    size = len(end_event(completed(["x" * 2_000]), 5, 10_000)[0].json)
    assert end_event(completed(["x" * 2_000]), 5, size)[0].data["result"] == ["x" * 2_000]
    event, left_out = end_event(completed(["x" * 2_000]), 5, size - 1)
    assert (event.data["result"], left_out) == (None, True)


@pytest.mark.parametrize("result", [{1, 2}, object(), float("nan"), [object()], "\ud800"])
def test_a_result_that_is_not_json_is_published_as_null(result: object) -> None:
    assert end_event(completed(result), 5, 10_000)[0].data["result"] is None


def test_a_result_too_large_for_the_log_is_published_as_null() -> None:
    assert end_event(completed("x" * 2_000), 5, 1_500)[0].data["result"] is None


def test_a_result_that_is_changed_afterwards_is_published_as_it_was() -> None:
    result = ["as it was"]
    event = end_event(completed(result), 5, 10_000)[0]
    result.append("changed")
    assert event.data["result"] == ["as it was"]


def test_a_large_result_counts_in_the_log() -> None:
    assert end_event(completed(["x" * 2_000]), 5, 10_000)[0].size > 2_000


# -- A turn that was cut off ------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [False, True], ids=["published", "from a log"])
@pytest.mark.parametrize(("status", "goes_on"), [(TurnStatus.QUEUED, True), (TurnStatus.INTERRUPTED, False)])
def test_the_event_that_a_turn_was_cut_off_says_what_is_kept_and_whether_it_goes_on(
    status: TurnStatus, goes_on: bool, read: bool
) -> None:
    event = cut_off_event(record("t", 9, status, attempt=2), "7-3")
    if read:
        event = Event(event.name, event.epoch, event.n, event.json)
    assert (event.id, event.name, event.turn_id) == ("9-0", "turn.interrupted", "t")
    assert (event.data["kept"], event.data["will_continue"]) == ("7-3", goes_on)
    assert event.data["attempt"] == 2
    assert event.ends_turn is not goes_on


def test_every_other_event_that_ends_a_turn_does() -> None:
    for name in set(EventName) - {EventName.INTERRUPTED}:
        assert Event(name, text="{}").ends_turn == (name in END_NAMES.values())
    assert not Event("delta", text="{}").ends_turn


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_event_that_a_turn_was_started_says_for_which_time(attempt: int) -> None:
    event, _ = started_event(spec(), 7, 100, 100, attempt)
    assert event.attempt == event.data["attempt"] == attempt
    assert Event(event.name, 7, 0, event.json).attempt == attempt
    assert Event("delta", text="{}").attempt is None
