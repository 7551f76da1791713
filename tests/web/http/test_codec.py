import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import plain
from tests.turns import LIMITS
from tests.web.fakes_web import EventSourceParser
from turnkeeper.actors.events.event import CLOSE, Event, to_json
from turnkeeper.actors.model.exceptions import EventNotJson, InvalidRequest
from turnkeeper.actors.model.messages import Accepted, CancelAnswer, Conversation, SessionView, Superseded
from turnkeeper.actors.model.records import (
    CancelCode,
    LateEnd,
    Reason,
    SessionId,
    SessionState,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
    TurnStatus,
    Verdict,
)
from turnkeeper.actors.session.states import Home, Memory, Running
from turnkeeper.actors.session.views import InFlight
from turnkeeper.actors.turn.turn import check_event_name
from turnkeeper.web.http import codec
from turnkeeper.web.http.problems import Problem

texts = st.text(st.characters(codec="utf-8"))
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


def record(**more: Any) -> TurnRecord:
    return TurnRecord(TurnId("t1"), 7, more.pop("status", TurnStatus.RUNNING), "ada", "echo", 100.0, **more)


def refusal(body: bytes) -> tuple[str, str | None]:
    """The code a send's body is refused with, and the field it names."""
    with pytest.raises((Problem, InvalidRequest)) as refused:
        codec.decode_send(body)
    error = refused.value
    if isinstance(error, Problem):
        assert error.status == 422
        return error.code, error.more.get("field")
    return error.code, error.field


# -- Requests ---------------------------------------------------------------------------------------


def test_a_list_of_parts_is_a_message() -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}]

    assert codec.decode_send(json.dumps(parts).encode()) == codec.SendBody(parts)


def test_an_object_says_the_message_and_how_to_run_it() -> None:
    body = {
        "message": "hi",
        "agent": "coder",
        "multitask_strategy": "reject",
        "task_id": "t1",
        "timeout": 1.5,
    }

    assert codec.decode_send(json.dumps(body).encode()) == codec.SendBody("hi", "coder", "reject", "t1", 1.5)


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
        ([], "message"),
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": 1}, "message"),
        ({"message": {}}, "message"),
        ({"message": []}, "message"),
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
        ({"message": "x", "task_id": 7}, "task_id"),
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
        codec.decode_send(b'{"message": "secret", ')

    assert "secret" not in refused.value.detail


@given(any_json)
def test_any_json_is_a_send_or_a_refusal_that_names_a_field(body: Any) -> None:
    field: str | None = "none yet"
    try:
        decoded = codec.decode_send(json.dumps(body).encode())
    except InvalidRequest as error:
        field = error.field
    else:
        assert decoded.message == (body if isinstance(body, list) else body["message"])
    assert field is not None


@given(st.binary())
def test_any_bytes_are_json_or_a_refusal(body: bytes) -> None:
    told = (422, "INVALID_JSON")
    try:
        codec.decode_json(body)
    except Problem as problem:
        told = (problem.status, problem.code)
    assert told == (422, "INVALID_JSON")


@given(any_json)
def test_json_comes_through_as_it_was_sent(body: Any) -> None:
    assert codec.decode_json(json.dumps(body, ensure_ascii=False).encode()) == body


@pytest.mark.parametrize(
    ("text", "default", "flag"),
    [
        (None, True, True),
        (None, False, False),
        ("true", False, True),
        ("1", False, True),
        ("false", True, False),
    ],
)
def test_a_flag_is_read(text: str | None, default: bool, flag: bool) -> None:
    assert codec.decode_flag(text, "wait", default=default) is flag


@pytest.mark.parametrize("text", ["", "no", "TRUE", "2", "true "])
def test_a_flag_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        codec.decode_flag(text, "wait", default=True)

    assert refused.value.field == "wait"


def test_if_match_is_one_task_id_in_quotes() -> None:
    assert codec.decode_if_match(None) is None
    assert codec.decode_if_match(' "t1" ') == "t1"


@pytest.mark.parametrize("text", ["", "t1", '"', '""', '"a", "b"', 'W/"t1"', "*"])
def test_any_other_if_match_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        codec.decode_if_match(text)

    assert refused.value.field == "If-Match"


@pytest.mark.parametrize("body", [[], {}, {"log_ids": []}, {"log_ids": "a"}, {"log_ids": ["a"], "ttl": 1}, 3])
def test_a_ticket_is_asked_for_by_a_list_of_sessions(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        codec.decode_ticket(json.dumps(body).encode())


# -- Answers ----------------------------------------------------------------------------------------


def test_an_accepted_send_names_its_task_and_what_it_superseded() -> None:
    alone = Accepted(SessionId("s"), TurnId("t2"), 8, TurnStatus.RUNNING)
    second = Accepted(
        SessionId("s"),
        TurnId("t2"),
        8,
        TurnStatus.RUNNING,
        Superseded(TurnId("t1"), Verdict.CANCELLED, 12.3456),
    )

    assert codec.encode_accepted(alone)["superseded"] is None
    answer = codec.encode_accepted(second)
    assert (answer["status"], answer["task_id"]) == ("ok", "t2")
    assert answer["superseded"] == {"task_id": "t1", "verdict": "cancelled", "settled_after_ms": 12.346}


@pytest.mark.parametrize(
    ("verdict", "status", "message"),
    [
        (Verdict.CANCELLED, "ok", "Task cancelled successfully"),
        (Verdict.FINISHED_FIRST, "ok", "Task had already finished"),
        (Verdict.UNRESPONSIVE, "error", "Task did not stop"),
        (Verdict.REQUESTED, "ok", "Cancellation requested"),
        (Verdict.NOT_RUNNING, "error", "No active task found for this session"),
    ],
)
def test_a_cancel_is_answered_in_the_words_clients_know(verdict: Verdict, status: str, message: str) -> None:
    answer = codec.encode_cancel(CancelAnswer(verdict, record(), 1.0))

    assert (answer["status"], answer["message"], answer["verdict"]) == (status, message, verdict.value)
    assert answer["settled_after_ms"] == 1.0
    assert answer["turn"]["task_id"] == "t1"


def test_there_are_words_for_every_verdict() -> None:
    assert set(codec.CANCEL_WORDS) == set(Verdict)


def test_a_cancel_of_a_session_has_its_verdict_for_a_status() -> None:
    answer = codec.encode_cancel_session("s", CancelAnswer(Verdict.NOT_RUNNING))

    assert answer["status"] == "not_running"
    assert (answer["log_id"], answer["turn"], answer["settled_after_ms"]) == ("s", None, None)


@pytest.mark.parametrize("state", [SessionState.IDLE, SessionState.CLOSED])
def test_a_session_at_rest_has_no_active_tasks(state: SessionState) -> None:
    view = SessionView(SessionId("s"), "ada", state, record(status=TurnStatus.COMPLETED))

    assert codec.encode_active(view) == codec.encode_active(None) == {"status": "ok", "active_tasks": {}}


def test_active_tasks_tell_of_the_turn_and_the_one_that_waits() -> None:
    turn = record(status=TurnStatus.CANCELLING, started_at=101.0)
    waiting = TurnRecord(TurnId("t2"), None, TurnStatus.QUEUED, "ada", "echo", 102.0)
    view = SessionView(SessionId("s"), "ada", SessionState.CANCELLING, turn, (waiting,))

    active = codec.encode_active(view)["active_tasks"]

    assert active["session_id"] == "s"
    assert active["task_active"] is True
    assert active["task_cancelled"] is True
    assert active["created_at"] == 101.0
    assert active["router_tasks"] == ["t1", "t2"]


def test_all_active_tasks_are_told_by_session() -> None:
    spec = TurnSpec(SessionId("s"), TurnId("t1"), "hello", "ada", "echo", 100.0, None, 5.0)
    in_flight = InFlight(Running(Memory(Home(SessionId("s"), "ada", LIMITS)), spec, 7, 101.0, None))

    answer = codec.encode_all_active((in_flight,))

    assert answer["status"] == "ok"
    assert (
        answer["active_tasks"]["s"].items()
        >= {
            "active": True,
            "created_at": 101.0,
            "user": "ada",
            "agent": "echo",
        }.items()
    )


def test_a_session_tells_its_newest_turns_first() -> None:
    older = record(status=TurnStatus.COMPLETED)
    newer = TurnRecord(TurnId("t2"), 8, TurnStatus.CANCELLED, "ada", "echo", 105.0)
    view = SessionView(SessionId("s"), "ada", SessionState.IDLE, newer, recent=(older, newer), subscribers=2)

    answer = codec.encode_session(view)

    assert [turn["task_id"] for turn in answer["recent_turns"]] == ["t2", "t1"]
    assert (answer["log_id"], answer["state"], answer["user"], answer["subscribers"]) == (
        "s",
        "idle",
        "ada",
        2,
    )


def said(*messages: Any) -> Conversation:
    return Conversation(SessionId("s"), messages, "7-3")


def test_a_conversation_is_told_with_the_event_up_to_which_it_goes() -> None:
    told = json.loads(codec.encode_messages(said({"role": "user", "content": "grüße 😀"}, "text"), 1000))
    assert told == {
        "status": "ok",
        "log_id": "s",
        "messages": [{"role": "user", "content": "grüße 😀"}, "text"],
        "omitted": 0,
        "cursor": "7-3",
    }


@pytest.mark.parametrize(
    "message", [object(), {1, 2}, float("nan"), b"bytes", {"a": object()}, "\ud800"], ids=plain
)
def test_a_message_that_json_cannot_say_is_null_and_takes_no_other_along(message: Any) -> None:
    told = json.loads(codec.encode_messages(said("before", message, "after"), 1000))
    assert told["messages"] == ["before", None, "after"]


def test_a_message_that_is_nested_deeper_than_json_writes_is_null_and_no_failure() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    deeper = deep
    for _ in range(100_000):
        deeper = [deeper]
    told = json.loads(codec.encode_messages(said(deep, deeper), 1_000_000))
    assert told["messages"] == [deep, None]


def test_of_a_long_conversation_the_last_of_it_is_told_and_how_much_is_not() -> None:
    """G8."""
    told = json.loads(codec.encode_messages(said(*(f"{n:08}" for n in range(100))), 55))
    assert told["messages"] == ["00000095", "00000096", "00000097", "00000098", "00000099"]
    assert told["omitted"] == 95
    told = json.loads(codec.encode_messages(said("short", "too long for that"), 10))
    assert (told["messages"], told["omitted"]) == ([], 2)


def test_the_timeline_of_a_turn_says_what_happened_when_and_why() -> None:
    turn = record(
        status=TurnStatus.UNRESPONSIVE,
        started_at=100.5,
        cancel_requested_at=101.0,
        cancelled_again_at=102.0,
        ended_at=103.0,
        reason=Reason(CancelCode.USER_REQUEST, "ada", "enough"),
        ended_late=LateEnd(TurnStatus.COMPLETED, 110.0),
    )

    answer = codec.encode_turn("s", turn)

    assert [(step["step"], step["ms"]) for step in answer["timeline"]] == [
        ("submitted", 0.0),
        ("started", 500.0),
        ("cancel_requested", 1000.0),
        ("cancelled_again", 2000.0),
        ("settled", 3000.0),
        ("ended", 3000.0),
        ("ended_late", 10000.0),
    ]
    assert answer["timeline"][2:5] == [
        {
            "step": "cancel_requested",
            "at": 101.0,
            "ms": 1000.0,
            "by": "ada",
            "code": "user_request",
            "text": "enough",
        },
        {"step": "cancelled_again", "at": 102.0, "ms": 2000.0},
        {
            "step": "settled",
            "at": 103.0,
            "ms": 3000.0,
            "status": "unresponsive",
            "settled_after_ms": 2000.0,
        },
    ]
    assert answer["timeline"][5].items() >= {"status": "unresponsive"}.items()
    assert answer["timeline"][6].items() >= {"outcome": "completed"}.items()
    assert answer["log_id"] == "s"


def test_a_failed_turn_tells_a_code_and_a_type_and_nothing_else_of_what_was_raised() -> None:
    turn = record(status=TurnStatus.FAILED, error=TurnError("agent_error", "ValueError"))

    assert codec.encode_turn("s", turn)["error"] == {"code": "agent_error", "type": "ValueError"}


def test_a_turn_that_a_stage_failed_tells_which() -> None:
    error = TurnError("stage_failed", "ValueError", "pre_process_msg:censor")

    told = codec.encode_turn("s", record(status=TurnStatus.FAILED, error=error))["error"]

    assert told == {"code": "stage_failed", "type": "ValueError", "stage": "pre_process_msg:censor"}


# -- Server-Sent Events -----------------------------------------------------------------------------


def parsed(
    data: bytes, *, cut: int | None = None
) -> tuple[list[tuple[str | None, str, str]], EventSourceParser]:
    parser = EventSourceParser()
    pieces = [data] if cut is None else [data[:cut], data[cut:]]
    messages = [message for piece in pieces for message in parser.feed(piece)]
    return [(message.own_id, message.event, message.data) for message in messages], parser


def test_an_event_is_its_id_its_name_and_one_line_of_data() -> None:
    wire = codec.encode_event(Event("delta", epoch=1700, n=3, text='{"text":"a"}'))

    assert wire == b'id: 1700-3\nevent: delta\ndata: {"text":"a"}\n\n'


def test_an_event_about_the_stream_itself_leaves_the_cursor_alone() -> None:
    assert codec.encode_event(Event("snapshot", text="{}")) == b"event: snapshot\ndata: {}\n\n"


def test_close_says_its_text_as_it_is() -> None:
    assert (
        codec.encode_event(Event(CLOSE, text="Task cancelled")) == b"event: close\ndata: Task cancelled\n\n"
    )


def test_an_event_is_encoded_once_however_many_read_it() -> None:
    event = Event("delta", epoch=1, n=1, text="1")

    assert codec.encode_event(event) is codec.encode_event(event)


def test_retry_is_in_milliseconds_and_a_heartbeat_is_nothing_to_a_reader() -> None:
    events, parser = parsed(codec.encode_retry(2.5) + codec.HEARTBEAT)

    assert events == []
    assert parser.retry == 2500
    assert parser.comments == 1


def is_a_name(name: str) -> bool:
    try:
        check_event_name(name)
    except Exception:  # noqa: BLE001 - refused, whatever the reason
        return False
    return True


event_names = st.text(min_size=1, max_size=20).filter(is_a_name)


@given(st.lists(st.tuples(event_names, any_json, st.integers(0, 2**60), st.integers(0, 2**40))), st.data())
def test_whatever_an_agent_emits_a_reader_of_the_standard_reads_back(
    emitted: list[tuple[str, Any, int, int]], data: st.DataObject
) -> None:
    wire = b"".join(
        codec.encode_event(Event(name, epoch=epoch, n=n, text=to_json(value)))
        for name, value, epoch, n in emitted
    )
    cut = data.draw(st.integers(0, len(wire)))

    events, _ = parsed(wire, cut=cut)

    assert [(own_id, name, json.loads(text)) for own_id, name, text in events] == [
        (f"{epoch}-{n}", name, value) for name, value, epoch, n in emitted
    ]


@given(st.text())
def test_any_text_can_be_told_on_one_line_or_is_refused(text: str) -> None:
    try:
        line = to_json({"text": text})
    except EventNotJson:
        assert any(0xD800 <= ord(char) <= 0xDFFF for char in text)
    else:
        assert "\n" not in line
        assert "\r" not in line


@pytest.mark.parametrize("size", [1, codec.PIECE // 10, codec.PIECE, 3 * codec.PIECE])
def test_events_are_joined_into_few_pieces_and_lose_nothing(size: int) -> None:
    events = [Event("delta", epoch=7, n=n, text=json.dumps("x" * size)) for n in range(25)]
    pieces = list(codec.encode_events(events))

    assert b"".join(pieces) == b"".join(map(codec.encode_event, events))
    longest = max(len(codec.encode_event(event)) for event in events)
    assert all(len(piece) < codec.PIECE + longest for piece in pieces)
    assert all(len(piece) >= codec.PIECE for piece in pieces[:-1])
