from typing import Any

import pytest

from turnkeeper.actors.model.words import TERMINAL, TurnStatus, Verdict
from turnkeeper.web.command.exit_codes import ExitCode
from turnkeeper.web.command.outcomes import (
    cancel_exit_code,
    ending_exit_code,
    ending_text,
    still_running_of,
    usage_text,
    verdict_text,
)


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (
            {"status": "failed", "error": {"code": "context_load_failed", "type": None}},
            "failed: context_load_failed",
        ),
        (
            {
                "status": "failed",
                "error": {"code": "stage_failed", "type": "ValueError", "stage": "msg:censor"},
            },
            "failed: stage_failed (msg:censor, ValueError)",
        ),
        ({"status": "cancelled", "reason": {"code": "admin"}, "by": "root"}, "cancelled: admin, by root"),
        (
            {
                "status": "cancelled",
                "reason": {"code": "user_request", "by": "ada", "text": "enough"},
                "by": "ada",
            },
            "cancelled: user_request, by ada",
        ),
        (
            {"status": "cancelled", "reason": {"code": "stalled", "by": None, "text": "no event for 30 s"}},
            "cancelled: stalled, no event for 30 s",
        ),
        ({"status": "interrupted"}, "interrupted"),
        (
            {"status": "cancelled", "superseded_by": "t2", "began": False},
            "cancelled before it began: superseded by t2",
        ),
        ({"status": "cancelled", "superseded_by": "t2", "began": True}, "cancelled: superseded by t2"),
    ],
)
def test_an_ending_is_shown_with_its_reason(turn: dict[str, Any], text: str) -> None:
    assert ending_text(turn) == text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_words_and_an_exit_code(verdict: Verdict) -> None:
    answer = {"verdict": verdict.value, "turn": None, "settled_after_ms": 3.0}

    assert " " in verdict_text(answer)
    assert cancel_exit_code(answer, waited=True) in ExitCode


@pytest.mark.parametrize(
    ("verdict", "text"),
    [("requested", "asked to stop; the outcome is not known yet"), ("not_running", "nothing is running"),
     ("cancelled", "cancelled after 3.0 ms"),
     ("unresponsive", "did not stop: given up after 3.0 ms; it may still be running")],
)  # fmt: skip
def test_a_verdict_says_no_more_than_is_known(verdict: str, text: str) -> None:
    assert verdict_text({"verdict": verdict, "settled_after_ms": 3.0}) == text


@pytest.mark.parametrize(
    ("counts", "now", "then"),
    [
        ({"threads": 1}, "1 thread still runs", "1 thread still ran"),
        ({"tasks": 0, "processes": 2}, "2 processes still run", "2 processes still ran"),
        ({"tasks": 1, "threads": 1}, "1 task and 1 thread still run", "1 task and 1 thread still ran"),
    ],
)
def test_what_still_runs_is_said_as_of_a_stop_and_what_still_ran_as_of_the_end(
    counts: dict[str, int], now: str, then: str
) -> None:
    answer = {"verdict": "unresponsive", "settled_after_ms": 3.0, "still_running": counts}
    assert verdict_text(answer) == f"did not stop: given up after 3.0 ms; {now}"
    stopped = {**answer, "verdict": "cancelled"}
    assert verdict_text(stopped) == f"cancelled after 3.0 ms; {now}"
    turn = {"status": "unresponsive", "superseded_by": "t2", "still_running": counts}
    assert ending_text(turn) == f"unresponsive: superseded by t2; {then}"
    again = {"verdict": "finished_first", "turn": turn}
    assert verdict_text(again) == f"had ended already: unresponsive; {then}"


def test_what_runs_of_several_turns_is_added_up() -> None:
    some, more = {"tasks": 1, "threads": 2}, {"tasks": 1, "processes": 3}
    answers: list[dict[str, Any]] = [{"still_running": some}, {}, {"still_running": more}]
    assert still_running_of(answers) == {"tasks": 2, "threads": 2, "processes": 3}
    assert still_running_of([{}]) == {}


@pytest.mark.parametrize(("began", "text"), [(True, ""), (False, ", before it began"), (None, "")])
def test_a_turn_that_was_cancelled_before_it_began_is_shown_as_that(began: bool | None, text: str) -> None:
    turn = {"status": "cancelled"} if began is None else {"status": "cancelled", "began": began}
    answer = {"verdict": "cancelled", "settled_after_ms": 3.0, "turn": turn}
    assert verdict_text(answer) == f"cancelled after 3.0 ms{text}"


@pytest.mark.parametrize("waited", [True, False])
def test_a_cancel_that_is_not_waited_for_is_done_when_it_is_asked(waited: bool) -> None:
    code = cancel_exit_code({"verdict": "requested"}, waited=waited)

    assert code is (ExitCode.UNRESPONSIVE if waited else ExitCode.OK)


@pytest.mark.parametrize("status", TurnStatus)
def test_every_status_of_a_turn_that_finished_first_has_words(status: TurnStatus) -> None:
    assert status.replace("_", " ") in verdict_text({"verdict": "finished_first", "turn": {"status": status}})


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("completed", "finished before it could be stopped: completed"),
        ("failed", "finished before it could be stopped: failed"),
        ("cancelled", "had ended already: cancelled"),
        ("timed_out", "had ended already: timed out"),
    ],
)
def test_a_turn_that_was_stopped_long_ago_is_not_said_to_have_finished(status: str, text: str) -> None:
    assert verdict_text({"verdict": "finished_first", "turn": {"status": status}}) == text


@pytest.mark.parametrize("status", TurnStatus)
def test_a_turn_has_an_exit_code_exactly_if_it_has_ended(status: TurnStatus) -> None:
    if status in TERMINAL:
        code = ending_exit_code({"status": status.value}, stopped=False)
        assert (code is ExitCode.OK) is (status is TurnStatus.COMPLETED)
    else:
        with pytest.raises(ValueError, match="has not ended"):
            ending_exit_code({"status": status.value}, stopped=False)


def test_a_turn_that_ctrl_c_has_stopped_ends_as_a_command_does() -> None:
    assert ending_exit_code({"status": "cancelled"}, stopped=True) is ExitCode.INTERRUPTED
    assert ending_exit_code({"status": "completed"}, stopped=True) is ExitCode.OK


def test_a_word_of_a_later_server_is_shown_as_it_is() -> None:
    answer = {"verdict": "postponed", "turn": {"status": "parked"}}

    assert verdict_text(answer) == "postponed"
    assert cancel_exit_code(answer, waited=True) is ExitCode.FAILED
    assert ending_text({"status": "parked"}) == "parked"
    assert ending_exit_code({"status": "parked"}, stopped=False) is ExitCode.FAILED


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (None, ""),
        ({"input_tokens": None, "output_tokens": None}, ""),
        ({"input_tokens": 1200, "output_tokens": 0}, "1,200 input tokens, 0 output tokens"),
        ({"input_tokens": 1200, "cached_tokens": 1000}, "1,200 input tokens (1,000 cached)"),
        ({"output_tokens": 9, "reasoning_tokens": 7}, "9 output tokens (7 reasoning)"),
    ],
)
def test_what_a_turn_has_used_is_said_as_far_as_it_is_known(usage: dict[str, Any] | None, text: str) -> None:
    assert usage_text({"usage": usage}) == text
