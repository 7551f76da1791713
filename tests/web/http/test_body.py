"""Bodies: what is JSON, what is a message, and how what is neither is refused."""

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fakes_web import any_json
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import Send
from turnkeeper.actors.model.records import HOST
from turnkeeper.actors.model.words import Strategy
from turnkeeper.actors.session.fields import FIELDS, REFUSALS
from turnkeeper.web.http.body import (
    MAX_SESSIONS,
    SendBody,
    TicketBody,
    decode_json,
    decode_send,
    decode_ticket,
)
from turnkeeper.web.http.problems import Problem


def refusal(body: bytes) -> tuple[str, str | None]:
    """The code a send's body is refused with, and the field it names."""
    with pytest.raises((Problem, InvalidRequest)) as refused:
        decode_send(body)
    error = refused.value
    if isinstance(error, Problem):
        assert error.status == 422
        return error.code, error.field if error.field is not msgspec.UNSET else None
    return error.code, error.field


def test_a_list_of_parts_is_a_message() -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}]

    assert decode_send(json.dumps(parts).encode()) == SendBody(parts)


def test_a_part_comes_through_as_it_was_sent() -> None:
    part = {"type": "image", "url": "\ud800", "size": 1e999, "n": 10**30, "more": [None, {"a": "ä"}]}

    assert decode_send(json.dumps([part]).replace("Infinity", "1e999").encode()).message == [part]


def test_an_object_says_the_message_and_how_to_run_it() -> None:
    body = {
        "message": "hi",
        "agent": "coder",
        "multitask_strategy": "reject",
        "task_id": "t1",
        "timeout": 1.5,
    }

    assert decode_send(json.dumps(body).encode()) == SendBody("hi", "coder", Strategy.REJECT, "t1", 1.5)


OF_POLICY = {
    "cancel_grace": 2.5,
    "stall_timeout": 3.0,
    "wind_grace": 0.0,
    "max_hold": 0.0,
    "queue_limit": 0,
    "on_full": "drop_oldest",
    "collapse_parts": 2,
    "collapse_window": 1.0,
    "priority": "background",
    "max_in_flight": 1,
    "max_events": 1,
    "max_event_bytes": 1,
    "max_tokens": 1,
    "on_disconnect": "cancel",
    "abandon_after": 1.0,
    "on_restart": "rerun",
    "who_may_stop": "sender",
}


def sent(body: dict[str, Any]) -> Send:
    said = decode_send(json.dumps({"message": "hi", **body}).encode())
    return said.send("s1", HOST, wait=True, if_match=None, key=None)


def test_an_object_says_more_of_the_policy_of_its_turn() -> None:
    assert sent(OF_POLICY).policy == OF_POLICY
    assert sent({"queue_limit": 0, "priority": None}).policy == {"queue_limit": 0}
    assert sent({"multitask_strategy": "reject", "timeout": 5}).policy is None


def test_an_object_says_more_to_the_agent() -> None:
    assert sent({"params": {"a": [1, None]}}).params == {"a": [1, None]}
    assert sent({"params": None}).params is sent({}).params is None


def test_every_field_of_a_policy_is_a_member_of_a_send() -> None:
    members = {field.member for field in FIELDS.values() if not field.host}
    assert {*OF_POLICY, "multitask_strategy", "timeout"} == members
    assert members <= set(SendBody.__struct_fields__)


@pytest.mark.parametrize("name", OF_POLICY)
@pytest.mark.parametrize("odd", [-1, "soon", [], {}, True, 1.5e12])
def test_a_value_that_a_field_of_a_policy_cannot_have_is_refused(name: str, odd: Any) -> None:
    code = REFUSALS.get(name, InvalidRequest).code
    assert refusal(json.dumps({"message": "hi", name: odd}).encode()) == (code, name)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b"'x'",
        b'{"message": "x"} and more',
        b'\xef\xbb\xbf{"message": "x"}',
        b'{"message": "\xff"}',
        b'{"message": "a\nb"}',
        b'{"message": NaN}',
        b'{"message": "x", "timeout": NaN}',
        b'{"message": "x", "timeout": Infinity}',
        b'{"message": "x", "timeout": ' + b"1" * 5000 + b"}",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"message":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    assert refusal(body) == ("INVALID_JSON", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (1, "body"),
        (None, "body"),
        ("hello", "body"),
        (True, "body"),
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": 1}, "message"),
        ({"message": {}}, "message"),
        ({"message": ["hi"]}, "message"),
        ({"message": [[]]}, "message"),
        ({"message": [{"text": "hi"}]}, "message"),
        ({"message": [{"type": 1}]}, "message"),
        ({"message": [{"type": "text"}]}, "message"),
        ({"message": [{"type": "text", "text": 1}]}, "message"),
        ({"message": "\ud800"}, "message"),
        ({"message": [{"type": "text", "text": "\udfff"}]}, "message"),
        (["hi"], "message"),
        ({"message": "x", "agent": 1}, "agent"),
        ({"message": "x", "multitask_strategy": []}, "multitask_strategy"),
        ({"message": "x", "multitask_strategy": "queue"}, "multitask_strategy"),
        ({"message": "x", "task_id": 7}, "task_id"),
        ({"message": "x", "timeout": "5"}, "timeout"),
        ({"message": "x", "timeout": True}, "timeout"),
        ({"message": "x", "timeout": 0}, "timeout"),
        ({"message": "x", "timeout": 1e12}, "timeout"),
        ({"message": "x", "timeout": 10**400}, "timeout"),
        ({"message": "x", "params": []}, "params"),
        ({"message": "x", "params": "{}"}, "params"),
        ({"message": "x", "mesage": "y"}, "mesage"),
        ({"message": "x", "": "y"}, ""),
        ({"message": "x", "z" * 5000: 1}, "z" * 100),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_body_of_the_wrong_shape_is_refused_and_the_field_named(body: Any, field: str) -> None:
    assert refusal(json.dumps(body).encode()) == ("INVALID_REQUEST", field)


def test_a_refusal_does_not_repeat_the_body() -> None:
    with pytest.raises(Problem) as refused:
        decode_send(b'{"message": "secret", ')

    assert "secret" not in refused.value.detail


@given(any_json)
def test_any_json_is_a_send_or_a_refusal_that_names_a_field(body: Any) -> None:
    field: str | None = "none yet"
    try:
        decoded = decode_send(json.dumps(body).encode())
    except InvalidRequest as error:
        field = error.field
    else:
        assert decoded.message == (body if isinstance(body, list) else body["message"])
    assert field is not None


@given(st.binary())
def test_any_bytes_are_json_or_a_refusal(body: bytes) -> None:
    refusal = (422, "INVALID_JSON")
    try:
        decode_json(body)
    except Problem as problem:
        refusal = (problem.status, problem.code)
    assert refusal == (422, "INVALID_JSON")


# What is JSON to one reader and not to the other, or perhaps not the same.
TROUBLE = ["\\ud800", "\\udc00\\ud800", "1e999", "-0", "NaN", "-Infinity", "\xff", "\ufeff", "1.0e+2", "\0"]
TROUBLE += ["1" * 5000, "[" * 990 + "]" * 990]


@given(any_json, st.sampled_from(TROUBLE), st.booleans(), st.integers(0))
def test_the_quick_look_never_takes_what_the_slow_one_refuses_or_reads_otherwise(
    parts: Any, trouble: str, quoted: bool, place: int
) -> None:
    text = json.dumps([{"type": "x", "parts": parts}], ensure_ascii=False)
    text = text.replace("null", f'"{trouble}"' if quoted else trouble, place % 3)
    for body in (text.encode(), text.encode("latin-1", "replace"), text.encode()[: place % (len(text) + 1)]):
        try:
            quick = decode_send(body).message
        except (Problem, InvalidRequest):
            continue
        assert repr(quick) == repr(decode_json(body))


def test_a_number_that_is_none_is_said_to_be_no_json() -> None:
    for constant in (b"NaN", b"Infinity", b"-Infinity"):
        with pytest.raises(Problem, match=r"^NaN and Infinity are not JSON$"):
            decode_send(b'{"message": ' + constant + b"}")


@given(any_json)
def test_json_comes_through_as_it_was_sent(body: Any) -> None:
    assert decode_json(json.dumps(body, ensure_ascii=False).encode()) == body


def test_a_ticket_may_be_for_as_many_sessions_as_said() -> None:
    """G8."""
    most = [f"s{n}" for n in range(MAX_SESSIONS)]
    assert decode_ticket(json.dumps({"log_ids": most}).encode()).log_ids == most


def test_a_ticket_is_asked_for_by_a_list_of_sessions() -> None:
    assert decode_ticket(b'{"log_ids": ["a", "b"]}') == TicketBody(["a", "b"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "log_ids"),
        (3, "body"),
        ({"log_ids": []}, "log_ids"),
        ({"log_ids": "a"}, "log_ids"),
        ({"log_ids": [1]}, "log_ids"),
        ({"log_ids": ["a"] * (MAX_SESSIONS + 1)}, "log_ids"),
        ({"log_ids": ["a"], "ttl": 1}, "ttl"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_ticket_asked_for_otherwise_is_refused_and_the_field_named(body: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_ticket(json.dumps(body).encode())

    assert refused.value.field == field


@pytest.mark.parametrize("kind", [SendBody, TicketBody])
def test_every_field_says_what_it_means_and_what_it_must_be(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        metas = [each for each in get_args(field.type) if isinstance(each, msgspec.Meta)]
        assert any(meta.description and (meta.extra or {}).get("must") for meta in metas), field.name
