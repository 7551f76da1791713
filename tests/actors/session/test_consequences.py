"""Every cancel code and every terminal status has its consequences."""

import pytest

from turnkeeper.actors.model.exceptions import StageFailed
from turnkeeper.actors.model.records import Outcome, Raised, Returned, Stopped, TurnError
from turnkeeper.actors.model.words import TERMINAL, CancelCode, StreamEnd, TurnStatus, Verdict
from turnkeeper.actors.session import consequences
from turnkeeper.actors.session.consequences import CAUSES, ENDS, ended_late_as, error_of, settled_as
from turnkeeper.actors.session.fields import FIELDS

RAISED = Raised(ValueError("v"))


def test_every_cancel_code_is_decided() -> None:
    assert set(CAUSES) == set(CancelCode)


def test_every_terminal_status_is_decided_and_no_other() -> None:
    assert set(ENDS) == TERMINAL
    for status in set(TurnStatus) - TERMINAL:
        with pytest.raises(ValueError, match="has not ended"):
            consequences._end(status)


def test_a_verdict_says_cancelled_of_what_was_cancelled_and_of_nothing_else() -> None:
    assert {s for s, end in ENDS.items() if end.verdict is Verdict.CANCELLED} == {TurnStatus.CANCELLED}
    assert {s for s, end in ENDS.items() if end.stream is StreamEnd.TASK_CANCELLED} == {TurnStatus.CANCELLED}


def test_only_a_user_who_presses_stop_ends_the_streams() -> None:
    ending = {code for code, cause in CAUSES.items() if cause.ends_streams}
    assert ending == {CancelCode.USER_REQUEST, CancelCode.ADMIN}


def test_what_a_policy_decided_names_its_fields() -> None:
    assert CAUSES[CancelCode.TIMEOUT].decided_by == ("turn_timeout",)
    assert {name for cause in CAUSES.values() for name in cause.decided_by} <= set(FIELDS)


@pytest.mark.parametrize("code", CancelCode)
def test_a_cancelled_coroutine_ends_as_what_it_did(code: CancelCode) -> None:
    stopped = TurnStatus.TIMED_OUT if code is CancelCode.TIMEOUT else TurnStatus.CANCELLED
    assert settled_as(Stopped(), code) is stopped
    assert settled_as(Returned(), code) is TurnStatus.COMPLETED
    assert settled_as(RAISED, code) is TurnStatus.FAILED


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Returned(), TurnStatus.COMPLETED),
        (RAISED, TurnStatus.FAILED),
        (Stopped(), TurnStatus.CANCELLED),
    ],
)
def test_a_late_end_is_called_by_what_the_coroutine_did(outcome: Outcome, status: TurnStatus) -> None:
    assert ended_late_as(outcome) is status


def stage_failed() -> StageFailed:
    failed = StageFailed("a stage", stage="pre:look")
    failed.__cause__ = KeyError("k")
    return failed


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Returned(), None),
        (None, None),
        (RAISED, TurnError("AGENT_ERROR", "ValueError")),
        (Raised(OSError(), "CONTEXT_LOAD_FAILED"), TurnError("CONTEXT_LOAD_FAILED", "OSError")),
        (Raised(stage_failed(), "STAGE_FAILED"), TurnError("STAGE_FAILED", "KeyError", "pre:look")),
        (Stopped(), TurnError("spontaneous_cancel", "CancelledError")),
    ],
)
def test_a_failure_names_what_was_raised_and_nothing_of_its_text(
    outcome: Outcome | None, error: TurnError | None
) -> None:
    assert error_of(outcome) == error
