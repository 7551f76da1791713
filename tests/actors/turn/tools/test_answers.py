"""Results for calls of tools that were cut off."""

from types import SimpleNamespace
from typing import Any

import pytest

from turnkeeper.actors.model.frozen import frozen
from turnkeeper.actors.turn.tools.answers import CUT_OFF, answered, answering


def asked(*ids: str) -> dict[str, Any]:
    calls = [{"id": each, "type": "function", "function": {"name": "search"}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "found"}


def cut(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": CUT_OFF, "cut_off": True}


USER, REPLY = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}


@pytest.mark.parametrize(
    ("messages", "whole"),
    [
        ([], []),
        ([USER, REPLY], [USER, REPLY]),
        ([USER, asked("1"), result("1"), REPLY], [USER, asked("1"), result("1"), REPLY]),
        ([USER, asked("1")], [USER, asked("1"), cut("1")]),
        ([asked("1", "2"), result("2")], [asked("1", "2"), result("2"), cut("1")]),
        ([asked("1", "2"), result("1"), REPLY], [asked("1", "2"), result("1"), cut("2"), REPLY]),
        ([asked("1"), asked("2"), result("2")], [asked("1"), cut("1"), asked("2"), result("2")]),
        ([asked("1"), USER, result("1")], [asked("1"), cut("1"), USER, result("1")]),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_each_call_has_a_result_after_the_message_that_makes_it(
    messages: list[Any], whole: list[Any], kept: bool
) -> None:
    assert answered(list(map(frozen, messages)) if kept else messages) == whole


@pytest.mark.parametrize(
    "message",
    ["text", None, 3, {}, {"tool_calls": None}, {"tool_calls": "no"}, {"tool_calls": [None, {}, {"id": 3}]}],
)
def test_messages_of_another_kind_stay_as_they_are(message: Any) -> None:
    assert answered([message]) == [message]


def test_a_host_is_given_the_results_and_the_turn_keeps_its_own_list() -> None:
    messages = [USER, asked("1")]
    context = SimpleNamespace(messages=messages)
    with answering(context):
        assert context.messages == [USER, asked("1"), cut("1")]
    assert context.messages is messages
    assert messages == [USER, asked("1")]


@pytest.mark.parametrize("context", [None, object(), SimpleNamespace(messages=None)])
def test_a_context_of_another_kind_is_left_alone(context: Any) -> None:
    with answering(context):
        pass
