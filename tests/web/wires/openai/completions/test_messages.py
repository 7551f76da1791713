"""The messages of a chat completion."""

from typing import Any

import pytest

from tests.fakes import plain
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.openai.completions.messages import split

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_the_last_message_is_the_turns_and_what_was_said_before_is_as_it_came() -> None:
    before = [
        {"role": "system", "content": "be brief"},
        user([{"type": "text", "text": "look"}, IMAGE]),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}], "reasoning_content": "hm"},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "name": "Bot"},
    ]
    last = user([{"type": "text", "text": "and now?"}, IMAGE])
    assert split([*before, last]) == (before, last)
    assert split([last]) == ([], last)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        (["hello"], "messages[0]"),
        ([{"content": "hello"}], "messages[0].role"),
        ([{"role": "robot", "content": "hello"}], "messages[0].role"),
        ([{"role": ["user"], "content": "hello"}], "messages[0].role"),
        ([user(5)], "messages[0].content"),
        ([user(None)], "messages[0].content"),
        ([user("")], "messages[0].content"),
        ([user([])], "messages[0].content"),
        ([user(["hello"])], "messages[0].content[0]"),
        ([user([{"text": "hello"}])], "messages[0].content[0]"),
        ([user([{"type": "text"}])], "messages[0].content[0].text"),
        ([user([{"type": "text", "text": 5}])], "messages[0].content[0].text"),
        ([user([{"type": "image_url", "image_url": "http://x"}])], "messages[0].content[0].image_url"),
        ([user([{"type": "image_url", "image_url": {}}])], "messages[0].content[0].image_url.url"),
        ([user("hi"), user([{"type": "text", "text": "a"}, 5])], "messages[1].content[1]"),
    ],
    ids=plain,
)
def test_what_is_no_message_is_refused(messages: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        split(messages)
    assert refused.value.field == field
    assert str(refused.value).startswith(field)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([user("hi"), {"role": "assistant", "content": "The answer is"}], "messages[1].role"),
        ([user("hi"), {"role": "tool", "content": "42", "tool_call_id": "c1"}], "messages[1].role"),
        ([{"role": "system", "content": "be brief"}], "messages[0].role"),
        (
            [user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])],
            "messages[0].content[0].type",
        ),
        ([user([{"type": "file", "file": {"file_id": "f"}}]), user("hi")], "messages[0].content[0].type"),
    ],
    ids=plain,
)
def test_what_an_agent_cannot_be_given_is_refused(messages: Any, field: str) -> None:
    with pytest.raises(Problem) as refused:
        split(messages)
    assert (refused.value.code, refused.value.field) == (Code.UNSUPPORTED_PARAMETER, field)
