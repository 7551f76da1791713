"""How a turn is said that has not completed."""

from typing import Any

import pytest

from tests.fakes import plain
from tests.turns import record
from turnkeeper.actors.events.wire import turn_data
from turnkeeper.actors.model.records import Cancellation, Reason, TurnError
from turnkeeper.actors.model.words import TERMINAL, CancelCode, StreamEnd, TurnStatus
from turnkeeper.web.wires.openai.completions.ends import (
    Failed,
    error_of_close,
    error_of_end,
    error_of_restart,
    error_of_size,
)
from turnkeeper.web.wires.said import Ended, StreamClosed


def ended(status: TurnStatus, code: CancelCode | None = None, error: str | None = None) -> Ended:
    cancellation = None if code is None else Cancellation(Reason(code), 2.0)
    failed = None if error is None else TurnError(error)
    turn = record(status=status, cancellation=cancellation, error=failed)
    return Ended(status, turn_data(turn), None)


def test_only_a_turn_that_has_completed_is_no_error() -> None:
    for status in TERMINAL:
        assert (error_of_end(ended(status)) is None) == (status is TurnStatus.COMPLETED)


KINDS = {409: "invalid_request_error", 500: "server_error", 503: "server_error", 504: "server_error"}


@pytest.mark.parametrize(
    ("end", "status", "code", "why"),
    [
        (ended(TurnStatus.CANCELLED, CancelCode.USER_REQUEST), 409, "user_request", "asked for it"),
        (ended(TurnStatus.CANCELLED, CancelCode.SUPERSEDED), 409, "superseded", "a newer message"),
        (ended(TurnStatus.CANCELLED, CancelCode.SHUTDOWN), 503, "shutdown", "the server shut down"),
        (ended(TurnStatus.TIMED_OUT, CancelCode.TIMEOUT), 504, "timed_out", "too long"),
        (ended(TurnStatus.UNRESPONSIVE, CancelCode.USER_REQUEST), 500, "unresponsive", "not ended in time"),
        (
            ended(TurnStatus.FAILED, error="UPSTREAM_TIMEOUT"),
            500,
            "upstream_timeout",
            "has failed: upstream_timeout",
        ),
        (
            ended(TurnStatus.FAILED, CancelCode.USER_REQUEST, error="agent_error"),
            500,
            "agent_error",
            "agent_error",
        ),
        (ended(TurnStatus.INTERRUPTED), 500, "interrupted", "was interrupted"),
        (ended(TurnStatus.MERGED), 409, "merged", "its message joined"),
    ],
    ids=plain,
)
def test_each_end_has_a_status_a_code_and_a_reason(end: Ended, status: int, code: str, why: str) -> None:
    failed = error_of_end(end, "so far")
    assert failed is not None
    error = failed.answer.error
    assert (failed.status, error.type, error.code) == (status, KINDS[status], code)
    assert (error.text, error.turn) == ("so far", end.turn)
    assert why in error.message


@pytest.mark.parametrize(
    ("failed", "status", "code"),
    [
        (error_of_close(StreamClosed(StreamEnd.SHUTDOWN), "so far"), 503, "shutting_down"),
        (error_of_close(StreamClosed(StreamEnd.SESSION_LOST)), 503, "session_lost"),
        (error_of_close(StreamClosed(None)), 500, "events_lost"),
        (error_of_restart(), 503, "restarted"),
        (error_of_size(5), 500, "reply_too_long"),
    ],
    ids=plain,
)
def test_what_else_keeps_a_client_from_its_reply_is_an_error(failed: Failed, status: int, code: Any) -> None:
    error = failed.answer.error
    assert (failed.status, error.type, error.code) == (status, KINDS[status], code)
