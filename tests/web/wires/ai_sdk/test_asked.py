"""What the bodies of a chat's requests ask for."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.fakes import plain
from tests.web.fakes_web import any_json
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import Strategy
from turnkeeper.web.http.problems import Code, Problem
from turnkeeper.web.wires.ai_sdk.asked import SendAsked, StopAsked, send_asked, stop_asked

TEXT = {"type": "text", "text": "hello"}
IMAGE = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,aGk=", "filename": "a"}
AGENTS_IMAGE = {"type": "image_url", "image_url": {"url": IMAGE["url"]}}


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"id": "m1", "role": "user", "parts": list(parts or (TEXT,)), **more}


def body(**more: Any) -> dict[str, Any]:
    """What `DefaultChatTransport` sends."""
    return {"id": "c1", "messages": [message()], "trigger": "submit-message", **more}


def refused(data: Any) -> tuple[Code | None, Any, str]:
    """The code, of what cannot be done, the field and the text of a refusal."""
    with pytest.raises((InvalidRequest, Problem)) as raised:
        send_asked(data)
    error = raised.value
    code = error.code if isinstance(error, Problem) else None
    return code, error.field, str(error)


# -- Sends --------------------------------------------------------------------------------------------


def test_the_last_message_is_what_is_sent() -> None:
    before = [message({"type": "text", "text": "hi"}, id="m0"), {"id": "x", "role": "assistant", "parts": []}]
    assert send_asked(body(messages=[*before, message()])) == SendAsked("c1", "m1", "hello")


def test_a_client_may_send_the_last_message_alone() -> None:
    assert send_asked({"id": "c1", "message": message()}) == SendAsked("c1", "m1", "hello")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([TEXT, {**TEXT, "state": "done"}], "hellohello"),
        ([IMAGE], [AGENTS_IMAGE]),
        ([IMAGE, TEXT], [AGENTS_IMAGE, TEXT]),
        (
            [{**IMAGE, "url": "https://a.example/b.png"}],
            [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}],
        ),
    ],
    ids=plain,
)
def test_texts_and_images_are_what_agents_know(parts: list[Any], said: Any) -> None:
    assert send_asked(body(messages=[message(*parts)])).message == said


def test_what_else_a_body_may_say() -> None:
    asked = send_asked(body(agent="coder", multitask_strategy="enqueue", params={"a": 1}))
    assert (asked.agent, asked.strategy, asked.params) == ("coder", Strategy.ENQUEUE, {"a": 1})
    assert send_asked(body(model="coder")).agent == "coder"
    assert send_asked(body(model="coder", agent="coder")).agent == "coder"
    assert send_asked(body(messageId="m1")).repeats
    # What says nothing is not refused.
    assert send_asked(body(messageId=None, agent=None, tools={}, system=None, files=[])) == send_asked(body())


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "body"),
        (None, "body"),
        (body(trigger="resume-stream"), "trigger"),
        (body(trigger=1), "trigger"),
        (body(id=None), "id"),
        (body(id="a/b"), "id"),
        (body(id="events"), "id"),
        (body(messages=None), "messages"),
        (body(messages=[]), "messages"),
        (body(messages={}), "messages"),
        (body(messages=["hello"]), "the last message"),
        (body(message=message()), "messages"),
        ({"id": "c1", "message": []}, "message"),
        (body(messages=[message(id=None)]), "the id of a message"),
        (body(messages=[message(id="a b")]), "the id of a message"),
        (body(messages=[message(parts=[])]), "messages"),
        (body(messages=[message(parts=None, content="hello")]), "messages"),
        (body(messages=[message("hello")]), "messages"),
        (body(messages=[message({"text": "hello"})]), "messages"),
        (body(messages=[message({"type": "text"})]), "messages"),
        (body(messages=[message({"type": "text", "text": 1})]), "messages"),
        (body(messages=[message({"type": "text", "text": "\ud83d"})]), "message"),
        (body(messages=[message({"type": "file", "url": "data:,"})]), "messages"),
        (body(messages=[message({**IMAGE, "url": "blob:x"})]), "messages"),
        (body(agent=1), "agent"),
        (body(agent=[]), "agent"),
        (body(agent="a", model="b"), "agent"),
        (body(multitask_strategy="wait"), "multitask_strategy"),
        (body(multitask_strategy=[1]), "multitask_strategy"),
    ],
    ids=plain,
)
def test_what_breaks_a_rule_is_refused(data: Any, field: str) -> None:
    code, at_fault, text = refused(data)
    assert (code, at_fault) == (None, field)
    assert text


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        (body(trigger="regenerate-message", messageId="m1"), "trigger", "cannot be generated again"),
        (body(messageId="m0"), "messageId", "an earlier message cannot be changed or sent again"),
        (body(messages=[message(role="assistant")], messageId="m1"), "messages", "must be a user's"),
        (body(messages=[message(role="system")]), "messages", "must be a user's"),
        (
            body(messages=[message({**IMAGE, "mediaType": "application/pdf"})]),
            "messages",
            "'application/pdf'",
        ),
        (body(messages=[message({"type": "data-note", "data": 1})]), "messages", "'data-note'"),
        (body(messages=[message({"type": "tool-search"})]), "messages", "'tool-search'"),
        (body(temperature=0), "temperature", "'temperature' is not known here"),
        (body(tools={"search": {}}), "tools", "'tools' is not known here"),
        (body(**{"é" * 200: True}), "é" * 100, "is not known here"),
    ],
    ids=plain,
)
def test_what_cannot_be_done_is_refused_and_never_passed_over(data: Any, field: str, says: str) -> None:
    code, at_fault, text = refused(data)
    assert (code, at_fault) == (Code.UNSUPPORTED_PARAMETER, field)
    assert says in text
    assert len(text) < 500


@given(any_json)
def test_any_other_json_is_refused_in_order(data: Any) -> None:
    for each in (data, body(messages=data), body(messages=[data]), body(messages=[message(data)])):
        refused(each)


# -- Stops --------------------------------------------------------------------------------------------


def stop(data: Any) -> str | None:
    asked = stop_asked(json.dumps(data).encode())
    assert asked.message_id is None
    return asked.turn_id


def test_a_stop_names_its_turn_or_none() -> None:
    assert stop({"activeStreamId": "t1"}) == "t1"
    assert stop({}) is None
    assert stop({"activeStreamId": None, "assistantMessage": None}) is None
    assert stop_asked(b"") == stop_asked(b" \n") == StopAsked()


def test_a_stop_with_the_message_that_the_chat_has_names_the_turn_of_that() -> None:
    shown = {"id": "t1", "role": "assistant", "parts": [], "metadata": {"activeStreamId": "t1"}}
    assert stop({"assistantMessage": shown}) == "t1"
    assert stop({"assistantMessage": shown, "activeStreamId": "t2"}) == "t2"
    assert stop({"assistantMessage": {"id": "own", "metadata": {"mine": 1}}}) is None
    assert stop({"assistantMessage": {"id": "own"}}) is None


def test_a_stop_may_name_the_message_whose_reply_has_not_begun() -> None:
    assert stop_asked(b'{"messageId": "m1"}') == StopAsked(message_id="m1")
    assert stop({"messageId": "m1", "activeStreamId": "t1"}) == "t1"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "body"),
        ({"messageId": "a b"}, "messageId"),
        ({"activeStreamId": 1}, "activeStreamId"),
        ({"activeStreamId": "a/b"}, "activeStreamId"),
        ({"assistantMessage": "x"}, "assistantMessage"),
        ({"turn": "t1"}, "turn"),
    ],
    ids=plain,
)
def test_a_stop_that_is_not_understood_stops_nothing(data: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        stop(data)
    assert raised.value.field == field


def test_a_stop_that_is_not_json_stops_nothing() -> None:
    with pytest.raises(Problem) as raised:
        stop_asked(b"{")
    assert raised.value.code is Code.INVALID_JSON
