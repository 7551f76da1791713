import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import turns
from tests.fakes import plain
from tests.web.fakes_web import any_json
from tests.web.http import shapes
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    CancelledMany,
    Conversation,
    PolicyView,
    SessionView,
    StoppedTurn,
    Superseded,
)
from turnkeeper.actors.model.records import (
    Cancellation,
    ChildTurn,
    Extras,
    KeptResult,
    LateEnd,
    Reason,
    SessionId,
    StillRunning,
    TurnError,
    TurnId,
    TurnRecord,
    TurnRef,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Layer, SessionState, TurnStatus, Verdict
from turnkeeper.actors.policy.base import base, resolve
from turnkeeper.actors.policy.said import default
from turnkeeper.actors.policy.said import said as says
from turnkeeper.actors.session.fields import FIELDS
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.views import InFlight
from turnkeeper.web.http import codec


def record(turn_id: str = "t1", epoch: int | None = 7, **more: Any) -> TurnRecord:
    fields = {"status": TurnStatus.RUNNING, "agent": "echo", "submitted_at": 100.0, **more}
    return turns.record(turn_id, epoch, **fields)


def answer_of(answer: Any) -> Any:
    """What a client reads."""
    return json.loads(codec.encode(answer))


def test_half_of_a_surrogate_pair_is_written_beside_what_was_written_already() -> None:
    answer = answer_of(codec.encode_turn("s", record(user="\ud800", result=KeptResult([1, "x"], 9))))
    assert (answer["user"], answer["result"]) == ("\ud800", [1, "x"])


def test_an_accepted_send_names_its_task_and_what_it_superseded() -> None:
    alone = Accepted(SessionId("s"), TurnId("t2"), 8, TurnStatus.RUNNING)
    second = Accepted(
        SessionId("s"),
        TurnId("t2"),
        8,
        TurnStatus.RUNNING,
        Superseded(TurnId("t1"), Verdict.CANCELLED, 12.3456),
    )

    assert answer_of(codec.encode_accepted(alone))["superseded"] is None
    answer = answer_of(codec.encode_accepted(second))
    assert (answer["status"], answer["task_id"]) == ("ok", "t2")
    assert answer["superseded"] == {
        "task_id": "t1",
        "verdict": "cancelled",
        "settled_after_ms": 12.346,
        "rolled_back": False,
    }


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
    answer = answer_of(codec.encode_cancel(CancelAnswer(verdict, record(), 1.0)))

    assert (answer["status"], answer["message"], answer["verdict"]) == (status, message, verdict.value)
    assert answer["settled_after_ms"] == 1.0
    assert answer["turn"]["task_id"] == "t1"


def test_a_cancel_of_a_session_has_its_verdict_for_a_status() -> None:
    answer = answer_of(codec.encode_cancel_session("s", CancelAnswer(Verdict.NOT_RUNNING)))

    assert answer["status"] == "not_running"
    assert (answer["log_id"], answer["turn"], answer["settled_after_ms"]) == ("s", None, None)


def test_a_send_says_what_runs_on_of_the_turn_that_it_superseded() -> None:
    before = Superseded(TurnId("t1"), Verdict.UNRESPONSIVE, 1.0, still_running=StillRunning(processes=2))
    accepted = Accepted(SessionId("s"), TurnId("t2"), 8, TurnStatus.RUNNING, before)
    superseded = answer_of(codec.encode_accepted(accepted))["superseded"]
    assert superseded["still_running"] == {"tasks": 0, "threads": 0, "processes": 2}


def test_a_bulk_cancel_says_what_runs_on_of_each_turn_and_in_sum() -> None:
    found = StoppedTurn(SessionId("s"), TurnId("t1"), "ada", "default", TurnStatus.RUNNING)
    left = [StillRunning(tasks=1, threads=2), None, StillRunning(threads=1, processes=3)]
    results = [replace(found, still_running=each) for each in left]
    many = CancelledMany(3, tuple(results), 0, 1.0)
    answer = answer_of(
        codec.encode_cancelled_many(many, list(map(codec.encode_stopped, results)), dry_run=False)
    )
    assert answer["still_running"] == {"tasks": 1, "threads": 3, "processes": 3}
    assert [each.get("still_running") for each in answer["results"]] == [
        {"tasks": 1, "threads": 2, "processes": 0},
        None,
        {"tasks": 0, "threads": 1, "processes": 3},
    ]
    nothing = codec.encode_cancelled_many(replace(many, results=()), [], dry_run=False)
    assert "still_running" not in answer_of(nothing)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_cancel_says_what_runs_on_of_a_turn_exactly_if_that_was_stopped_or_given_up(
    verdict: Verdict,
) -> None:
    """One that has ended since it was given up is `finished_first`, with what ran then in its record."""
    left = replace(record(), extras=Extras(still_running=StillRunning(threads=1)))
    stopped_by_it = (Verdict.CANCELLED, Verdict.UNRESPONSIVE)
    for turn in (None, record(), left):
        stopped = CancelAnswer(verdict, turn)
        for answer in (codec.encode_cancel(stopped), codec.encode_cancel_session("s", stopped)):
            said = answer_of(answer)
            assert ("still_running" in said) is (turn is left and verdict in stopped_by_it)
            assert said.get("still_running") in (None, {"tasks": 0, "threads": 1, "processes": 0})


@pytest.mark.parametrize("state", [SessionState.IDLE, SessionState.CLOSED])
def test_a_session_at_rest_has_no_active_tasks(state: SessionState) -> None:
    view = SessionView(SessionId("s"), "ada", state, record(status=TurnStatus.COMPLETED))

    assert (
        answer_of(codec.encode_active(view))
        == answer_of(codec.encode_active(None))
        == {"status": "ok", "active_tasks": {}}
    )


def test_active_tasks_tell_of_the_turn_and_the_one_that_waits() -> None:
    turn = record(status=TurnStatus.CANCELLING, started_at=101.0)
    waiting = record("t2", None, status=TurnStatus.QUEUED, submitted_at=102.0)
    view = SessionView(SessionId("s"), "ada", SessionState.CANCELLING, turn, (waiting,))

    active = answer_of(codec.encode_active(view))["active_tasks"]

    assert active["session_id"] == "s"
    assert active["task_active"] is True
    assert active["task_cancelled"] is True
    assert active["created_at"] == 101.0
    assert active["router_tasks"] == ["t1", "t2"]


def test_all_active_tasks_are_listed_by_session() -> None:
    sent = turns.spec("t1", agent="echo", submitted_at=100.0)
    in_flight = InFlight(turns.running(sent, 7, started_at=101.0, memory=turns.memory()))

    answer = answer_of(codec.encode_all_active([codec.encode_listed([in_flight])]))

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


def test_a_turn_in_flight_shows_the_one_that_sent_for_it() -> None:
    parent = TurnRef(SessionId("s0"), TurnId("t0"))
    sent = turns.spec("t1")
    sent = replace(sent, head=replace(sent.head, parent=parent))
    in_flight = InFlight(turns.running(sent, 7, started_at=101.0, memory=turns.memory()))
    child = ChildTurn(SessionId("s2"), TurnId("t2"), 102.0)
    turn = replace(in_flight.turn, extras=Extras(children=(child,)))
    view = SessionView(SessionId("s"), "ada", SessionState.RUNNING, turn)
    listed = answer_of(codec.encode_all_active([codec.encode_listed([in_flight])]))["active_tasks"]["s"]
    active = answer_of(codec.encode_active(view))["active_tasks"]
    assert listed["parent"] == active["parent"] == {"log_id": "s0", "task_id": "t0"}
    assert active["children"] == [{"log_id": "s2", "task_id": "t2"}]


def of_coder() -> Any:
    return base("coder", default(Settings()), says(Layer.AGENT, "coder", {"turn_timeout": 60}))


def test_a_policy_is_shown_with_the_layer_of_each_field_and_what_a_send_may_set() -> None:
    coder = of_coder()
    answer = answer_of(codec.encode_policy("s", PolicyView("coder", "ada", coder.policy, coder.may)))
    assert (answer["log_id"], answer["user"], answer["agent"]) == ("s", "ada", "coder")
    assert set(answer["policy"]) == set(FIELDS)
    assert answer["policy"]["turn_timeout"] == {
        "value": 60.0,
        "layer": "agent",
        "name": "coder",
        "member": "timeout",
        "narrow_only": True,
    }
    assert answer["policy"]["priority"] == {
        "value": "normal",
        "layer": "default",
        "name": None,
        "member": None,
        "narrow_only": False,
    }


def test_a_send_is_answered_with_what_was_capped() -> None:
    def answer(asked: float) -> Any:
        policy = resolve(of_coder(), {"turn_timeout": asked})
        accepted = Accepted(SessionId("s"), TurnId("t"), 8, TurnStatus.RUNNING, own_policy=policy)
        return answer_of(codec.encode_accepted(accepted))

    capped = {"value": 60.0, "layer": "agent", "name": "coder", "capped": 600.0}
    assert answer(600)["capped"] == {"turn_timeout": capped}
    assert "capped" not in answer(6)


def test_a_turn_is_shown_with_the_layer_that_decided_each_field_of_its_policy() -> None:
    policy = resolve(of_coder(), {"turn_timeout": 600, "stall_timeout": 5})
    shown = answer_of(codec.encode_turn("s", record(own_policy=policy)))["policy"]
    assert shown["turn_timeout"] == {"value": 60.0, "layer": "agent", "name": "coder", "capped": 600.0}
    assert shown["stall_timeout"] == {"value": 5.0, "layer": "request", "name": None}
    assert shown["strategy"] == {"value": "interrupt", "layer": "default", "name": None}


def test_a_step_of_a_turn_names_what_its_policy_decided_and_who_said_so() -> None:
    policy = resolve(of_coder(), {})
    stop = Cancellation(Reason(CancelCode.TIMEOUT), 160.0, 162.5)
    turn = record(own_policy=policy, status=TurnStatus.CANCELLING, started_at=100.0, cancellation=stop)
    steps = answer_of(codec.encode_turn("s", turn))["timeline"]
    assert {each["step"]: each["decided_by"] for each in steps if "decided_by" in each} == {
        "cancel_requested": {"turn_timeout": {"value": 60.0, "layer": "agent", "name": "coder"}},
        "cancelled_again": {"cancel_grace": {"value": 5.0, "layer": "default", "name": None}},
    }


def test_a_session_shows_its_newest_turns_first() -> None:
    older = record(status=TurnStatus.COMPLETED)
    newer = record("t2", 8, status=TurnStatus.CANCELLED, submitted_at=105.0)
    view = SessionView(SessionId("s"), "ada", SessionState.IDLE, newer, recent=(older, newer), subscribers=2)

    answer = answer_of(codec.encode_session(view))

    assert [turn["task_id"] for turn in answer["recent_turns"]] == ["t2", "t1"]
    assert (answer["log_id"], answer["state"], answer["user"], answer["subscribers"]) == (
        "s",
        "idle",
        "ada",
        2,
    )


def said(*messages: Any) -> Conversation:
    return Conversation(SessionId("s"), messages, "7-3")


def encoded(conversation: Conversation, most: int, most_of_part: int = 1_000) -> codec.MessagesAnswer:
    return codec.encode_messages(conversation, most, most_of_part)


def test_a_conversation_comes_with_the_event_up_to_which_it_goes() -> None:
    answer = answer_of(encoded(said({"role": "user", "content": "grüße 😀"}, "text"), 1000))
    assert answer == {
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
    answer = answer_of(encoded(said("before", message, "after"), 1000))
    assert answer["messages"] == ["before", None, "after"]


def test_a_message_that_is_nested_deeper_than_json_writes_is_null_and_no_failure() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    deeper = deep
    for _ in range(100_000):
        deeper = [deeper]
    answer = answer_of(encoded(said(deep, deeper), 1_000_000))
    assert answer["messages"] == [deep, None]


def test_of_a_long_conversation_the_last_part_is_shown_and_how_much_is_omitted() -> None:
    """G8."""
    answer = answer_of(encoded(said(*(f"{n:08}" for n in range(100))), 55))
    assert answer["messages"] == ["00000095", "00000096", "00000097", "00000098", "00000099"]
    assert answer["omitted"] == 95
    answer = answer_of(encoded(said("short", "too long for that"), 10))
    assert (answer["messages"], answer["omitted"]) == ([], 2)


def test_large_parts_are_shown_by_their_type_and_size_and_take_no_room() -> None:
    """G8."""
    image = {"type": "image", "url": "A" * 5_000}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "hello"}]}] * 20
    answer = answer_of(encoded(said(*messages), 10_000))
    assert answer["omitted"] == 0
    shown = {"type": "image", "bytes": 5_025, "elided": True}
    assert (
        answer["messages"] == [{"role": "user", "content": [shown, {"type": "text", "text": "hello"}]}] * 20
    )


def test_a_text_that_leaves_no_room_for_others_is_shown_by_its_size() -> None:
    """G8."""
    messages = [{"role": "user", "content": "before"}, {"role": "user", "content": "x" * 20_000}]
    answer = answer_of(encoded(said(*messages), 10_000))
    assert answer["messages"] == [
        {"role": "user", "content": "before"},
        {"role": "user", "content": [{"type": "text", "bytes": 20_002, "elided": True}]},
    ]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("x" * 20_000, [{"type": "text", "bytes": 20_002, "elided": True}]),
        (
            {"role": "tool", **dict.fromkeys("abc", "x" * 4000)},
            {"role": "tool", "content": [{"type": None, "bytes": 12_036, "elided": True}]},
        ),
        ({"deep": {"a": ["x"] * 5_000}}, {"content": [{"type": None, "bytes": 20_016, "elided": True}]}),
    ],
)
def test_a_message_that_no_answer_has_room_for_hides_none_before_it(message: Any, shown: Any) -> None:
    """G8."""
    answer = answer_of(encoded(said("before", message), 10_000))
    assert (answer["messages"], answer["omitted"]) == (["before", shown], 0)


def test_messages_that_are_no_longer_kept_are_among_those_that_are_omitted() -> None:
    conversation = Conversation(SessionId("s"), ("one", "two", "three"), "7-3", omitted=40)
    assert answer_of(encoded(conversation, 1000))["omitted"] == 40
    assert answer_of(encoded(conversation, 8))["omitted"] == 42


def test_the_timeline_of_a_turn_says_what_happened_when_and_why() -> None:
    turn = record(
        status=TurnStatus.UNRESPONSIVE,
        started_at=100.5,
        cancellation=Cancellation(Reason(CancelCode.USER_REQUEST, "ada", "enough"), 101.0, 102.0),
        ended_at=103.0,
        ended_late=LateEnd(TurnStatus.COMPLETED, 110.0),
    )

    answer = answer_of(codec.encode_turn("s", turn))

    assert [(step["step"], step["ms"]) for step in answer["timeline"]] == [
        ("submitted", 0.0),
        ("started", 500.0),
        ("cancel_requested", 1000.0),
        ("cancelled_again", 2000.0),
        ("settled", 3000.0),
        ("ended", 3000.0),
        ("ended_late", 10000.0),
    ]
    grace = {"cancel_grace": {"value": 5.0, "layer": "default", "name": None}}
    assert answer["timeline"][2:5] == [
        {
            "step": "cancel_requested",
            "at": 101.0,
            "ms": 1000.0,
            "by": "ada",
            "code": "user_request",
            "text": "enough",
        },
        {"step": "cancelled_again", "at": 102.0, "ms": 2000.0, "decided_by": grace},
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


def test_a_failed_turn_shows_a_code_and_a_type_and_nothing_else_of_what_was_raised() -> None:
    turn = record(status=TurnStatus.FAILED, error=TurnError("agent_error", "ValueError"))

    assert answer_of(codec.encode_turn("s", turn))["error"] == {"code": "agent_error", "type": "ValueError"}


def test_a_turn_that_a_stage_failed_names_the_stage() -> None:
    error = TurnError("stage_failed", "ValueError", "pre_process_msg:censor")

    answer = answer_of(codec.encode_turn("s", record(status=TurnStatus.FAILED, error=error)))["error"]

    assert answer == {"code": "stage_failed", "type": "ValueError", "stage": "pre_process_msg:censor"}


# -- As before ----------------------------------------------------------------------------------------

# Whatever can stand in an answer, half a surrogate pair too: a host's own code may say it.
strings = st.text(st.characters(), max_size=6)
moments = st.floats(0, 2e9)
spans = st.none() | st.floats(-1e6, 1e9)
reasons = st.builds(Reason, st.sampled_from(CancelCode), st.none() | strings, st.none() | strings)
any_turn = st.builds(
    record,
    status=st.sampled_from(TurnStatus),
    started_at=st.none() | moments,
    cancellation=st.none() | st.builds(Cancellation, reasons, moments, st.none() | moments),
    ended_at=st.none() | moments,
    queued_at=st.none() | moments,
    first_event_at=st.none() | moments,
    superseded_by=st.none() | strings,
    error=st.none() | st.builds(TurnError, strings, st.none() | strings, st.none() | strings),
    ended_late=st.none() | st.builds(LateEnd, st.sampled_from(TurnStatus), moments),
    result=st.none() | st.builds(KeptResult, any_json, st.just(0), st.booleans()),
)
few = st.lists(any_turn, max_size=2).map(tuple)
views = st.builds(
    SessionView,
    strings,
    strings,
    st.sampled_from(SessionState),
    st.none() | any_turn,
    few,
    few,
    few,
    st.integers(0, 9),
)
cancels = st.builds(CancelAnswer, st.sampled_from(Verdict), st.none() | any_turn, spans, spans)
sends = st.builds(
    Accepted,
    strings,
    strings,
    st.none(),
    st.sampled_from(TurnStatus),
    st.none() | st.builds(Superseded, strings, st.sampled_from(Verdict), spans),
    st.booleans(),
)
listed = st.builds(
    SimpleNamespace,
    session_id=strings,
    started_at=moments,
    turn_id=strings,
    owner=strings,
    agent=strings,
    held=st.just(value=False),
    parent=st.none(),
)


def as_it_was(shape: Any) -> Any:
    """The same, as it was read before the answers had types."""
    return json.loads(json.dumps(shape))


@given(sends)
def test_a_send_is_answered_as_it_was(accepted: Accepted) -> None:
    assert answer_of(codec.encode_accepted(accepted)) == as_it_was(shapes.encode_accepted(accepted))


@given(cancels, strings)
def test_a_cancel_is_answered_as_it_was(answer: CancelAnswer, log_id: str) -> None:
    assert answer_of(codec.encode_cancel(answer)) == as_it_was(shapes.encode_cancel(answer))
    session = answer_of(codec.encode_cancel_session(log_id, answer))
    assert session == as_it_was(shapes.encode_cancel_session(log_id, answer))


@given(views)
def test_a_session_is_answered_as_it_was(view: SessionView) -> None:
    was = as_it_was(shapes.encode_session(view))
    assert answer_of(codec.encode_session(view)) == was
    assert answer_of(codec.encode_closed(view)) == {"status": "ok", **was}
    assert answer_of(codec.encode_active(view)) == as_it_was(shapes.encode_active(view))


@given(any_turn, strings)
def test_a_turn_is_answered_as_it_was(turn: TurnRecord, log_id: str) -> None:
    answer = answer_of(codec.encode_turn(log_id, turn))
    assert set(answer.pop("policy")) == set(FIELDS)
    for moment in answer["timeline"]:
        moment.pop("decided_by", None)
        moment.pop("queue_wait_ms", None)
    assert answer == as_it_was(shapes.encode_turn(log_id, turn))


@given(st.lists(listed, max_size=3).map(tuple))
def test_a_list_is_answered_as_it_was(active: Any) -> None:
    answer = answer_of(codec.encode_all_active([codec.encode_listed([each]) for each in active]))
    assert answer.pop("waiting_tasks") == {}
    assert answer == as_it_was(shapes.encode_all_active(active))


@given(st.lists(any_json | st.builds(object), max_size=4).map(tuple), st.integers(0, 100))
def test_a_conversation_is_answered_as_it_was(messages: tuple[Any, ...], most: int) -> None:
    conversation = Conversation(SessionId("s"), messages, None)

    answer = answer_of(encoded(conversation, most))

    assert answer == json.loads(shapes.encode_messages(conversation, most))


@given(st.none() | st.floats(0, 1e6))
def test_a_cancel_of_an_unknown_turn_is_a_problem_and_an_answer_as_it_was(remembered: float | None) -> None:
    answer = CancelAnswer(Verdict.NOT_RUNNING, remembered_for=remembered)

    assert answer_of(codec.encode_unknown_turn(answer)) == {
        "type": "about:blank",
        "title": "Not Found",
        "detail": "No active task found for this session",
        "code": "UNKNOWN_TURN",
        **as_it_was(shapes.encode_cancel(answer)),
        "remembered_for": codec.rounded(remembered),
    }
