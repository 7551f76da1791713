from typing import Any

import pytest

from tests.turns import record
from turnkeeper.actors.model.policy import STANDARD, Mark, policy_of
from turnkeeper.actors.model.records import (
    Cancellation,
    ChildTurn,
    Extras,
    LateEnd,
    Reason,
    SessionId,
    StillRunning,
    ToolCall,
    TurnError,
    TurnId,
    TurnRecord,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Layer, OnCap, Step, TurnStatus
from turnkeeper.web.command.timeline import (
    other_turns,
    other_turns_table,
    policy_table,
    session_text,
    timeline_table,
    turn_text,
)
from turnkeeper.web.http import codec

NOW = 100.0
STOP = Cancellation(Reason(CancelCode.USER_REQUEST, "bob", "too slow"), 3.0, 5.0)


def shown(turn: TurnRecord) -> Any:
    """The turn as a server sends it."""
    return codec.msgspec.json.decode(codec.encode(codec.encode_turn("s1", turn)))


def steps(turn: TurnRecord) -> list[str]:
    return [row[2] for row in timeline_table(shown(turn), NOW).rows]


def test_the_children_of_a_turn_are_among_its_steps() -> None:
    first = ChildTurn(SessionId("s2"), TurnId("t2"), 2.0, TurnStatus.CANCELLED, 4.0)
    second = ChildTurn(SessionId("s3"), TurnId("t3"), 3.0)
    assert steps(record("t1", started_at=1.5, extras=Extras(children=(first, second)))) == [
        "sent by ada, to the agent coder",
        "started",
        "sent to session s2",
        "sent to session s3",
        "its turn in session s2 ended: cancelled",
    ]


def test_every_step_is_shown_in_words() -> None:
    whole = record(
        "t1",
        status=TurnStatus.UNRESPONSIVE,
        queued_at=1.0,
        started_at=1.5,
        first_event_at=2.0,
        cancellation=replace(STOP, delivered_at=4.0),
        ended_at=7.0,
        ended_late=LateEnd(TurnStatus.COMPLETED, 60.0),
    )
    assert steps(whole) == [
        "sent by ada, to the agent coder",
        "began to wait (strategy is interrupt, said by the settings)",
        "started, after a wait of 500 ms",
        "its agent emitted its first event",
        'asked to stop by bob: user_request, saying "too slow"',
        (
            "cancelled: the step that must not be interrupted was over, or its time was up"
            " (max_hold is 30.0, said by the settings)"
        ),
        (
            "cancelled again: at half of the grace it had not stopped"
            " (cancel_grace is 5.0, said by the settings)"
        ),
        "let go of its session, 4000 ms after it was asked to stop",
        "ended: unresponsive: user_request, by bob (cancel_grace is 5.0, said by the settings)",
        "its coroutine has ended after all: completed",
    ]
    of_children = {Step.CHILD_SENT, Step.CHILD_ENDED}
    assert [each["step"] for each in shown(whole)["timeline"]] == [s for s in Step if s not in of_children]
    assert [each.get("queue_wait_ms") for each in shown(whole)["timeline"]][1:3] == [None, 500.0]
    assert [row[1] for row in timeline_table(shown(whole), NOW).rows][-2:] == ["6000 ms", "59s"]


def test_the_end_of_a_turn_names_the_calls_of_tools_that_it_had_not_come_back_from() -> None:
    calls = Extras(open_calls=(ToolCall("call_1", "search"), ToolCall("call_2", "fetch")))
    cut = record(
        "t1", status=TurnStatus.CANCELLED, started_at=1.0, cancellation=STOP, ended_at=7.0, extras=calls
    )
    ended = "ended: cancelled: user_request, by bob"
    assert steps(cut)[-1] == f"{ended}; it had not come back from search (call_1), fetch (call_2)"


def test_a_turn_that_waited_for_a_slot_says_which_fields_were_behind_that() -> None:
    policy = replace(STANDARD, on_cap=OnCap.WAIT)
    [_, queued] = steps(record("t1", status=TurnStatus.QUEUED, queued_at=1.0, own_policy=policy))
    assert queued.startswith("began to wait (strategy is interrupt")
    assert "on_cap is wait, said by the settings; priority is normal, said by the settings" in queued


def test_what_others_than_the_settings_decided_is_shown_with_who_said_it() -> None:
    marks = (
        Mark("turn_timeout", Layer.AGENT, "coder", 600.0),
        Mark("queue_limit", Layer.USER, "ada"),
        Mark("priority", Layer.REQUEST),
    )
    turn = record(own_policy=policy_of({"turn_timeout": 60.0, "queue_limit": 3}, marks))
    table = policy_table(shown(turn))
    assert table is not None
    assert table.rows == [
        ("turn_timeout", "60.0", "the host, about the agent coder", "600.0"),
        ("queue_limit", "3", "the host, about the user ada", ""),
        ("priority", "normal", "the send", ""),
    ]
    assert policy_table(shown(record())) is None
    assert policy_table({}) is None, "of an older server"


def test_a_layer_of_a_newer_server_is_shown_by_its_name() -> None:
    field = {"value": 1, "layer": "tenant", "name": "acme"}
    table = policy_table({"policy": {"queue_limit": field}})
    assert table is not None
    assert table.rows == [("queue_limit", "1", "tenant", "")]


def test_a_cancel_that_no_user_asked_for_is_shown_in_the_servers_words() -> None:
    reason = Reason(CancelCode.BUDGET_EXCEEDED, None, "more than 1000 events")
    turn = record(status=TurnStatus.CANCELLED, cancellation=Cancellation(reason, 3.0), ended_at=3.5)
    assert steps(turn)[1:] == [
        "asked to stop: budget_exceeded, more than 1000 events",
        "ended: cancelled: budget_exceeded, more than 1000 events",
    ]
    out_of_time = Cancellation(Reason(CancelCode.TIMEOUT), 3.0)
    assert "asked to stop: timeout" in steps(
        record(status=TurnStatus.TIMED_OUT, cancellation=out_of_time, ended_at=4.0)
    )


def test_a_turn_whose_agent_never_began_says_so() -> None:
    for began, text in ((False, "cancelled before it began"), (True, "cancelled")):
        turn = record(status=TurnStatus.CANCELLED, began=began, ended_at=3.0)
        assert steps(turn)[-1] == f"ended: {text}"
        assert turn_text(shown(turn), NOW).endswith(f": {text}")


def test_a_step_that_only_a_later_server_knows_is_shown_as_it_is() -> None:
    turn = {**shown(record()), "timeline": [{"step": "teleported", "at": 1.0, "ms": 0.0}]}
    assert timeline_table(turn, NOW).rows[0][2] == "teleported"


def test_a_cancel_without_a_user_is_shown_without_a_name() -> None:
    timed_out = Cancellation(Reason(CancelCode.TIMEOUT), 3.0)
    turn = record(status=TurnStatus.TIMED_OUT, started_at=1.0, cancellation=timed_out, ended_at=3.0)
    assert "asked to stop: timeout" in steps(turn)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": TurnStatus.QUEUED}, "waits; sent 1m39s ago"),
        ({"status": TurnStatus.RUNNING}, "runs, for 1m39s"),
        ({"status": TurnStatus.CANCELLING}, "was asked to stop and has not settled yet, after 1m39s"),
        (
            {"status": TurnStatus.CANCELLING, "extras": Extras(still_running=StillRunning(processes=1))},
            "was asked to stop and has not settled yet, after 1m39s; 1 process still runs",
        ),
        (
            {"status": TurnStatus.CANCELLING, "held": True},
            (
                "was asked to stop and has not settled yet, after 1m39s: "
                "it is held by a step that must not be interrupted"
            ),
        ),
        ({"status": TurnStatus.COMPLETED, "ended_at": 3.0}, "completed after 2000 ms"),
        (
            {"status": TurnStatus.COMPLETED, "ended_at": 3.0, "cancellation": STOP},
            "completed after 2000 ms, before it could be stopped",
        ),
        (
            {"status": TurnStatus.FAILED, "ended_at": 3.0, "error": TurnError("agent_error", "KeyError")},
            "ended after 2000 ms: failed: agent_error (KeyError)",
        ),
        (
            {"status": TurnStatus.CANCELLED, "ended_at": 3.0, "superseded_by": TurnId("t2")},
            "ended after 2000 ms: cancelled: superseded by t2",
        ),
    ],
    ids=lambda part: str(part["status"]) if isinstance(part, dict) else "",
)
def test_what_became_of_a_turn_is_shown_in_a_line(fields: dict[str, Any], text: str) -> None:
    assert turn_text(shown(record("t1", **fields)), NOW) == f"turn t1 {text}"


def test_a_turn_that_waits_is_shown_with_what_it_waits_for() -> None:
    turn = {**shown(record("t1", status=TurnStatus.QUEUED)), "waits_for": "server_cap"}
    assert turn_text(turn, NOW) == "turn t1 waits for server_cap; sent 1m39s ago"
    assert other_turns_table([turn], NOW).rows[0][-1] == "queued for server_cap"


def test_a_status_that_only_a_later_server_knows_is_shown_as_it_is() -> None:
    assert turn_text({**shown(record("t1")), "status": "paused"}, NOW) == "turn t1 is paused"


def session(**fields: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"queue": [], "recent_turns": [], "unresponsive_turns": [], "turn": None}
    return {"log_id": "s1", "user": "ada", "state": "idle", "subscribers": 0, **nothing, **fields}


def test_a_session_is_shown_in_a_line() -> None:
    assert session_text(session()) == "session s1 of ada is idle; 0 streams are open on it"
    assert session_text(session(subscribers=1)).endswith("1 stream is open on it")


def test_the_other_turns_are_those_that_wait_those_given_up_and_the_newest() -> None:
    turns = [shown(record(each)) for each in ("t1", "t2", "t3", "t4")]
    now = session(turn=turns[2], queue=[turns[3]], unresponsive_turns=[turns[1]], recent_turns=turns[2::-2])
    assert [each["task_id"] for each in other_turns(now)] == ["t4", "t2", "t1"]


def test_each_other_turn_is_a_row_that_says_why_it_ended() -> None:
    turns = [
        shown(record("t3", status=TurnStatus.QUEUED, user="bob")),
        shown(record("t2", status=TurnStatus.CANCELLED, cancellation=STOP, ended_at=4.0)),
        shown(record("t1", cancellation=STOP, ended_at=1.0)),
    ]
    rows = other_turns_table(turns, NOW).rows
    assert [(row[0], row[1], *row[3:]) for row in rows] == [
        ("t3", "bob", "1m39s", "queued"),
        ("t2", "ada", "3000 ms", "cancelled: user_request, by bob"),
        ("t1", "ada", "0.0 ms", "completed"),
    ]
