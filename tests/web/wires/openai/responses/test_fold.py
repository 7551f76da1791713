"""The events of a turn -> the events of its response."""

from typing import Any

import pytest
from hypothesis import given
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState

from tests.web.wires.openai.official import Response, event, object_of
from tests.web.wires.openai.responses.turns import ended, identity, turns
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.web.wires.openai.responses.fold import Fold
from turnkeeper.web.wires.said import (
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

HELLO = [Started(1), Text("he"), Text("llo")]


def folded(said: list[Said], most: int = 1_000_000) -> list[Any]:
    """All events, each held to its type, in the order of their numbers."""
    fold = Fold(identity(), most)
    events = fold.begin()
    for each in said:
        events += fold.take(each)
    for one in events:
        event(one)
    numbers = [one["sequence_number"] for one in events]
    if CutOff not in map(type, said) and not _is_interrupted(said[-1]):
        assert numbers == list(range(len(events)))
    assert numbers == sorted(set(numbers))
    assert fold.next == numbers[-1] + 1
    return events


def _is_interrupted(last: Said) -> bool:
    return isinstance(last, Ended) and last.status is TurnStatus.INTERRUPTED


def types(events: list[Any]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events]


def output_text(response: Any) -> str:
    text = object_of(Response, response).output_text
    assert isinstance(text, str)
    return text


def test_a_reply_is_a_message_that_is_written_piece_by_piece() -> None:
    events = folded([*HELLO, ended()])
    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "queued"
    assert events[1]["response"]["status"] == "in_progress"
    assert [each["delta"] for each in events[4:6]] == ["he", "llo"]
    assert events[6]["text"] == events[7]["part"]["text"] == "hello"
    response = events[-1]["response"]
    assert (response["status"], response["output"]) == ("completed", (events[8]["item"],))
    assert output_text(response) == "hello"


def test_what_is_thought_and_what_tools_are_called_are_items_of_their_own_in_order() -> None:
    said = [
        Started(1),
        Reasoning("hm"),
        ToolCalled("c", "search", {"q": "x"}),
        ToolEnded("c", "search", "done", ["y"]),
        Text("so"),
        Data("picture", {"url": "x"}),
        ended(),
    ]
    thought, tool, message = folded(said)[-1]["response"]["output"]
    assert (thought["type"], thought["content"][0]["text"]) == ("reasoning", "hm")
    assert (tool["type"], tool["arguments"], tool["output"]) == ("mcp_call", '{"q": "x"}', '["y"]')
    assert (message["type"], message["content"][0]["text"]) == ("message", "so")
    assert [item["status"] for item in (thought, tool, message)] == ["completed"] * 3


def test_text_after_another_item_goes_on_in_another_message() -> None:
    response = folded([Started(1), Text("a"), Reasoning("hm"), Text("b"), ended()])[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["message", "reasoning", "message"]
    assert output_text(response) == "ab"


@pytest.mark.parametrize(
    ("outcome", "status", "shown"),
    [
        ("done", "completed", ["mcp_call.completed"]),
        ("failed", "failed", ["mcp_call.failed"]),
        ("cancelled", "incomplete", []),
        (None, "incomplete", []),
    ],
)
def test_a_call_of_a_tool_ends_as_it_did(outcome: str | None, status: str, shown: list[str]) -> None:
    said: list[Said] = [Started(1), ToolCalled("c", "search", None)]
    if outcome is not None:
        said.append(ToolEnded("c", "search", outcome, None))
    events = folded([*said, ended(TurnStatus.CANCELLED)])
    item = events[-1]["response"]["output"][0]
    assert (item["status"], item["arguments"]) == (status, "{}")
    assert [name for name in types(events) if name in ("mcp_call.completed", "mcp_call.failed")] == shown


def test_calls_may_run_beside_each_other_and_beside_text() -> None:
    said = [
        Started(1),
        ToolCalled("a", "x", {}),
        ToolCalled("b", "y", {}),
        Text("wait"),
        ToolEnded("b", "y", "done", "B"),
        ToolEnded("a", "x", "done", "A"),
        ToolEnded("unheard-of", "z", "done", "Z"),
        ended(),
    ]
    a, b, text = folded(said)[-1]["response"]["output"]
    assert (a["output"], b["output"], text["status"]) == ("A", "B", "completed")


def test_a_call_under_an_id_that_is_open_ends_the_one_before() -> None:
    said = [Started(1), ToolCalled("a", "x", {}), ToolCalled("a", "x", {}), ended()]
    assert [item["status"] for item in folded(said)[-1]["response"]["output"]] == ["incomplete", "incomplete"]


ENDS = [
    (TurnStatus.COMPLETED, "completed", "completed", None),
    (TurnStatus.CANCELLED, "incomplete", "cancelled", None),
    (TurnStatus.MERGED, "incomplete", "incomplete", None),
    (TurnStatus.FAILED, "failed", "failed", "agent_error"),
    (TurnStatus.TIMED_OUT, "failed", "failed", "timed_out"),
    (TurnStatus.INTERRUPTED, "failed", "failed", "interrupted"),
    (TurnStatus.UNRESPONSIVE, "failed", "failed", "unresponsive"),
]


@pytest.mark.parametrize(("status", "name", "shown", "code"), ENDS)
def test_every_end_has_its_event(status: TurnStatus, name: str, shown: str, code: str | None) -> None:
    events = folded([*HELLO, ended(status)])
    response = events[-1]["response"]
    assert types(events)[-1] == name
    assert (response["status"], response["turnkeeper"]["status"]) == (shown, status)
    assert output_text(response) == "hello"
    whole = status is TurnStatus.COMPLETED
    assert response["output"][0]["status"] == ("completed" if whole else "incomplete")
    error = response["error"]
    assert error is None if code is None else (error["code"], error["type"]) == ("server_error", code)


def test_there_is_no_other_end() -> None:
    assert {end[0] for end in ENDS} == TERMINAL


@pytest.mark.parametrize("said", [[], [Data("note", "x")], [Reasoning("hm")], [Text("")]])
def test_what_it_returns_is_the_reply_of_a_turn_that_has_said_nothing(said: list[Said]) -> None:
    assert output_text(folded([Started(1), *said, ended(result="42")])[-1]["response"]) == "42"


@pytest.mark.parametrize("result", [None, 42, {"text": "x"}, ""])
def test_a_result_that_is_no_text_is_no_reply(result: Any) -> None:
    assert folded([Started(1), ended(result=result)])[-1]["response"]["output"] == ()


def test_what_it_returns_is_not_said_again() -> None:
    assert output_text(folded([*HELLO, ended(result="hello")])[-1]["response"]) == "hello"


def test_a_turn_that_never_started_has_an_end() -> None:
    assert types(folded([ended(TurnStatus.CANCELLED)])) == ["created", "incomplete"]


def test_a_turn_that_goes_on_after_a_restart_goes_on_in_another_message() -> None:
    events = folded([*HELLO, CutOff(from_start=False), Started(2), Text(" you"), ended()])
    first, second = events[-1]["response"]["output"]
    assert (first["status"], second["status"]) == ("incomplete", "completed")
    assert output_text(events[-1]["response"]) == "hello you"
    assert types(events).count("in_progress") == 1


def test_what_is_said_again_from_the_start_is_not_in_the_response_twice() -> None:
    call = ToolCalled("c", "search", {})
    events = folded([*HELLO, call, CutOff(from_start=True), Started(2), Text("hello"), Text(" you"), ended()])
    response = events[-1]["response"]
    assert output_text(response) == "hello you"
    first, tool, second = response["output"]
    assert (first["status"], first["content"], tool["status"]) == ("incomplete", (), "incomplete")
    assert second["id"] not in (first["id"], tool["id"])


def test_an_attempt_that_says_nothing_is_answered_with_its_result() -> None:
    said = [*HELLO, CutOff(from_start=True), Started(2), ended(result="42")]
    assert output_text(folded(said)[-1]["response"]) == "42"


def test_what_is_kept_of_a_text_is_bounded_and_what_is_not_kept_is_said_to_be_missing() -> None:
    said = [Started(1), *[Text("0123456789")] * 50, Reasoning("hm"), Text("more"), ended()]
    events = folded(said, most=320)
    assert sum(len(each["delta"]) for each in events if each["type"].endswith("text.delta")) == 506
    response = events[-1]["response"]
    assert len(output_text(response)) == 120
    assert {item["status"] for item in response["output"]} == {"incomplete"}
    assert response["turnkeeper"]["cut_off"] is True


def test_arguments_that_are_not_kept_whole_are_not_shown() -> None:
    said = [Started(1), ToolCalled("c", "search", {"q": "x" * 500}), ended()]
    assert [each["arguments"] for each in folded(said, most=300) if "arguments" in each] == ["{}"]


@given(turns())
def test_any_turn_makes_events_that_the_official_client_can_follow(said: list[Said]) -> None:
    events = folded(said)
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for each in events:
        state.handle_event(event(each))
    begun = [each["output_index"] for each in events if each["type"] == "response.output_item.added"]
    ended = [each["output_index"] for each in events if each["type"] == "response.output_item.done"]
    assert begun == sorted(ended) == list(range(len(begun)))
    assert len(events[-1]["response"]["output"]) == len(begun)


@given(turns())
def test_the_pieces_of_each_item_make_up_its_text(said: list[Said]) -> None:
    pieces: dict[str, str] = {}
    for each in folded(said):
        match each["type"]:
            case "response.output_text.delta" | "response.reasoning_text.delta":
                pieces[each["item_id"]] = pieces.get(each["item_id"], "") + each["delta"]
            case "response.output_text.done" | "response.reasoning_text.done":
                assert pieces.pop(each["item_id"]) == each["text"]
    assert pieces == {}
