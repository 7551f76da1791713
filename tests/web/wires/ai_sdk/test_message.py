"""The message that a turn is to a chat."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import plain
from tests.web.wires.ai_sdk.client import ClientMessage, chunks_of
from tests.web.wires.ai_sdk.told import (
    TURN,
    attempts,
    called,
    close,
    cut_off,
    delta,
    ended,
    event,
    reasoning,
    returned,
    started,
)
from turnkeeper.actors.events.event import END_NAMES, Event
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.web.wires import DONE, JsonEvents
from turnkeeper.web.wires.ai_sdk.message import Chunk, Message, beginning


def stream(batches: list[list[Event]], attempt: int = 1) -> bytes:
    """The bytes of a stream, as it is written in these batches."""
    writing = JsonEvents(Message(attempt), first=[beginning(TURN)], last=DONE)
    return b"".join([writing.begin(), *map(writing.write, batches), writing.end()])


def chunks(*events: Event, attempt: int = 1) -> list[Chunk]:
    return chunks_of(stream([list(events)], attempt))


def kinds(said: list[Chunk]) -> list[str]:
    return [chunk["type"] for chunk in said]


def shown(*events: Event, attempt: int = 1) -> ClientMessage:
    return ClientMessage().take(chunks(*events, attempt=attempt))


# -- What is said -------------------------------------------------------------------------------------


def test_a_reply_is_a_text_in_pieces_between_its_start_and_its_end() -> None:
    assert chunks(started(), delta("he"), delta("llo"), ended(), close()) == [
        {"type": "start", "messageId": TURN, "messageMetadata": {"activeStreamId": TURN}},
        {"type": "start-step"},
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "he"},
        {"type": "text-delta", "id": "text-1", "delta": "llo"},
        {"type": "text-end", "id": "text-1"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop", "messageMetadata": {"status": "completed"}},
    ]


def test_what_an_agent_thinks_is_a_part_of_its_own() -> None:
    message = shown(started(), reasoning("h"), reasoning("m"), delta("hi"), reasoning("so"), ended())
    assert [(part["type"], part["text"]) for part in message.shown] == [
        ("reasoning", "hm"),
        ("text", "hi"),
        ("reasoning", "so"),
    ]
    assert message.whole


def test_a_call_of_a_tool_comes_between_what_is_said_before_and_after_it() -> None:
    events = [delta("a"), called("c1", arguments={"q": 1}), returned("c1", result=["x"]), delta("b")]
    said = chunks(started(), *events, ended())
    assert kinds(said)[2:-2] == [
        "text-start",
        "text-delta",
        "text-end",
        "tool-input-available",
        "tool-output-available",
        "text-start",
        "text-delta",
        "text-end",
    ]
    call = {"toolCallId": "c1", "providerExecuted": True, "dynamic": True}
    assert said[5] == {"type": "tool-input-available", "toolName": "search", "input": {"q": 1}, **call}
    assert said[6] == {"type": "tool-output-available", "output": ["x"], **call}


def test_two_calls_may_be_open_at_once_and_end_in_any_order() -> None:
    calls = [called("c1"), called("c2"), returned("c2", result=2), returned("c1", result=1)]
    message = shown(started(), *calls, ended())
    assert [(part["toolCallId"], part["output"]) for part in message.shown] == [("c1", 1), ("c2", 2)]


@pytest.mark.parametrize(
    ("outcome", "result", "text"),
    [
        ("failed", None, "The tool has failed."),
        ("failed", "no such city", "no such city"),
        ("failed", {"code": 404}, '{"code":404}'),
        ("cancelled", None, "The call was cut off: nothing is known of what it did."),
    ],
    ids=plain,
)
def test_a_call_that_came_to_nothing_says_why(outcome: str, result: Any, text: str) -> None:
    (part,) = shown(started(), called("c1"), returned("c1", outcome, result=result), ended()).shown
    assert (part["state"], part["errorText"]) == ("output-error", text)


def test_a_call_that_has_not_ended_with_its_turn_is_not_shown_as_if_it_went_on() -> None:
    message = shown(started(), called("c1"), ended(TurnStatus.UNRESPONSIVE))
    assert message.whole
    assert message.shown[0]["state"] == "output-error"


def test_other_events_are_data_beside_a_text_that_goes_on() -> None:
    message = shown(started(), delta("a"), event("note", {"x": 1}), event("delta", 5), delta("b"), ended())
    assert message.shown == [
        {"type": "text", "text": "ab", "state": "done"},
        {"type": "data-note", "data": {"x": 1}},
        {"type": "data-delta", "data": 5},
    ]


def test_an_event_may_have_any_name() -> None:
    message = shown(started(), event("error", {"a": 1}), event("data-é x", None), ended())
    assert [part["type"] for part in message.shown] == ["data-error", "data-data-é x"]
    assert message.error is None


def test_empty_pieces_open_nothing() -> None:
    assert kinds(chunks(started(), delta(""), reasoning(""), ended())) == [
        "start",
        "start-step",
        "finish-step",
        "finish",
    ]


# -- The reply that is returned -----------------------------------------------------------------------


def test_a_text_that_is_returned_is_the_reply_if_there_is_no_other() -> None:
    assert shown(started(), reasoning("hm"), delta(""), ended(result="hi")).text == "hi"
    assert shown(started(), delta("said"), ended(result="hi")).text == "said"
    assert shown(started(), ended(result={"a": 1})).text == ""
    assert shown(started(), ended(result="")).shown == []


# -- The end ------------------------------------------------------------------------------------------

ERRORS = {
    TurnStatus.FAILED: "The turn has failed (agent_error).",
    TurnStatus.TIMED_OUT: "The turn's time was up (timed_out).",
    TurnStatus.INTERRUPTED: "The turn was cut off, because its server's process has ended (interrupted).",
    TurnStatus.UNRESPONSIVE: "The turn did not stop in time, and was given up (unresponsive).",
}


@pytest.mark.parametrize("status", sorted(TERMINAL), ids=plain)
def test_each_end_is_said_and_nothing_comes_after_it(status: TurnStatus) -> None:
    error = {"code": "agent_error", "type": "ValueError"} if status is TurnStatus.FAILED else None
    said = chunks(started(), delta("a"), ended(status, error=error), delta("late"), close())
    message = ClientMessage().take(said)
    assert message.metadata["status"] == status
    assert (message.text, message.whole) == ("a", True)
    assert message.error == ERRORS.get(status)
    assert message.finished == ("stop" if status is TurnStatus.COMPLETED else None)
    assert (message.aborted is not None) == (status in (TurnStatus.CANCELLED, TurnStatus.MERGED))
    assert kinds(said)[-1] in ("finish", "abort", "error")
    assert "ValueError" not in str(said)


def test_a_stopped_turn_says_why_and_what_took_its_place() -> None:
    turn = {"reason": {"code": "superseded", "by": "ada", "text": "x"}, "superseded_by": "t2"}
    message = shown(started(), delta("a"), ended(TurnStatus.CANCELLED, **turn, rolled_back=False))
    assert message.aborted == "superseded"
    assert message.metadata == {
        "activeStreamId": TURN,
        "status": "cancelled",
        "code": "superseded",
        "supersededBy": "t2",
        "rolledBack": False,
    }


def test_a_turn_that_never_started_has_no_step() -> None:
    reason = {"code": "user_request", "by": "ada", "text": None}
    assert kinds(chunks(ended(TurnStatus.CANCELLED, reason=reason), close())) == [
        "start",
        "message-metadata",
        "abort",
    ]
    assert shown(ended(TurnStatus.MERGED, merged_into="t0")).metadata["mergedInto"] == "t0"


def test_the_tokens_are_called_as_the_sdk_calls_them() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    message = shown(started(), ended(usage={**usage, "cached_tokens": None, "reasoning_tokens": None}))
    assert message.metadata["usage"] == {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}


def test_a_stream_that_ends_before_its_turn_never_says_that_this_has_finished() -> None:
    for events in ([], [started()], [started(), delta("a"), called("c1")]):
        message = shown(*events, close())
        assert message.error == "The stream has ended before the turn did (stream_closed): resume it."
        assert (message.finished, message.aborted, message.whole) == (None, None, True)


# -- Restarts -----------------------------------------------------------------------------------------


def test_a_turn_that_goes_on_after_a_restart_reads_as_one() -> None:
    first = [started(), delta("one "), called("c1"), cut_off(from_start=False)]
    events = [*first, started(2), delta("two"), ended()]
    for attempt in (1, 2):
        message = shown(*events, attempt=attempt)
        assert (message.text, message.finished, message.whole) == ("one two", "stop", True)
        assert kinds(chunks(*events, attempt=attempt)).count("start-step") == 1


def test_a_turn_that_says_everything_again_is_what_its_last_attempt_has_said() -> None:
    again = [cut_off(from_start=True), started(2), delta("new"), ended()]
    assert shown(started(), delta("old"), called("c1"), *again, attempt=2).shown == [
        {"type": "text", "text": "new", "state": "done"}
    ]


def test_what_was_said_before_it_would_be_said_again_stands_if_that_never_comes() -> None:
    reason = {"code": "user_request", "by": "ada", "text": None}
    stopped = ended(TurnStatus.CANCELLED, reason=reason)
    message = shown(started(), delta("old"), cut_off(from_start=True), stopped, attempt=2)
    assert (message.text, message.aborted) == ("old", "user_request")


def test_a_reader_that_has_seen_what_will_be_said_again_is_sent_away() -> None:
    message = shown(started(), delta("old"), cut_off(from_start=True), started(2), delta("new"), ended())
    assert (message.text, message.finished) == ("old", None)
    assert message.error == "The turn will be started anew (restarted): resume the stream."


# -- Whatever is said ---------------------------------------------------------------------------------


@given(attempts(), st.lists(st.integers(0, 40)))
def test_the_bytes_are_the_same_however_the_events_come(turn: list[list[Event]], cuts: list[int]) -> None:
    events = [each for attempt in turn for each in attempt]
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    batches = [events[begin:end] for begin, end in itertools.pairwise(edges)]
    assert stream(batches, len(turn)) == stream([events], len(turn))


@given(attempts())
def test_every_chunk_is_one_that_a_client_takes_and_there_is_one_end(turn: list[list[Event]]) -> None:
    events = [each for attempt in turn for each in attempt]
    message = ClientMessage()
    said = chunks(*events, attempt=len(turn))
    message.take(said)
    assert kinds(said).count("start") == 1
    assert [kind for kind in kinds(said) if kind in ("finish", "abort", "error")] == [kinds(said)[-1]]
    assert message.whole
    assert message.metadata["status"] in END_NAMES


@given(attempts(from_start=False, least=2), st.data())
def test_a_turn_that_goes_on_is_the_same_whenever_its_reader_comes(
    turn: list[list[Event]], data: st.DataObject
) -> None:
    events = [each for attempt in turn for each in attempt]
    at = data.draw(st.integers(1, len(turn)))
    assert chunks(*events, attempt=at) == chunks(*events)


@given(attempts(from_start=True, least=2))
def test_of_a_turn_that_says_everything_again_only_the_last_attempt_is_read(turn: list[list[Event]]) -> None:
    events = [each for attempt in turn for each in attempt]
    first, last = ClientMessage().take(chunks(*turn[-1])), ClientMessage()
    assert last.take(chunks(*events, attempt=len(turn))).parts == first.parts


@given(attempts(), st.data())
def test_what_is_cut_anywhere_says_that_it_is_not_the_end(
    turn: list[list[Event]], data: st.DataObject
) -> None:
    events = [each for attempt in turn for each in attempt][:-2]  # without the end
    message = shown(*events[: data.draw(st.integers(0, len(events)))], attempt=len(turn))
    assert message.error is not None
    assert message.whole
    assert "status" not in message.metadata
