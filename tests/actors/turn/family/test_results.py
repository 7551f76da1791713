"""What a turn's end is to those who want its result."""

import asyncio
from typing import Any

import pytest

from tests.turns import record
from turnkeeper.actors.model.exceptions import ResultNotKept, TurnCancelled, TurnFailed, TurnMerged
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import Cancellation, Raised, Reason, Returned, TurnError
from turnkeeper.actors.model.words import TERMINAL, CancelCode, TurnStatus
from turnkeeper.actors.turn.family.results import failure_of, result_of


def goes_on() -> bool:
    return False


def ended(status: TurnStatus, outcome: Any = None, error: TurnError | None = None) -> TurnEnd:
    return TurnEnd(record("t1", status=status, error=error), outcome)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_every_end_but_completed_is_a_failure_that_says_how_the_turn_ended(status: TurnStatus) -> None:
    failure = failure_of(ended(status))
    if status is TurnStatus.COMPLETED:
        assert failure is None
    else:
        assert failure is not None
        assert (failure.turn_id, failure.status) == ("t1", status)
        kinds = {TurnStatus.FAILED: TurnFailed, TurnStatus.MERGED: TurnMerged}
        assert type(failure) is kinds.get(status, TurnCancelled)


@pytest.mark.parametrize("status", sorted(set(TurnStatus) - TERMINAL))
def test_what_is_no_end_has_no_failure(status: TurnStatus) -> None:
    with pytest.raises(ValueError, match="no end"):
        failure_of(ended(status))


def test_the_failure_names_the_turns_code_and_what_the_agent_raised() -> None:
    error = KeyError("x")
    failure = failure_of(ended(TurnStatus.FAILED, Raised(error, "agent_error"), TurnError("agent_error")))
    assert str(failure) == "turn t1 failed: agent_error"
    assert failure is not None
    assert failure.__cause__ is error


def test_the_result_is_what_the_agent_returned_if_that_is_still_known() -> None:
    assert result_of(ended(TurnStatus.COMPLETED, Returned(7)), goes_on) == 7
    with pytest.raises(ResultNotKept):
        result_of(ended(TurnStatus.COMPLETED), goes_on)
    with pytest.raises(TurnCancelled):
        result_of(ended(TurnStatus.CANCELLED), goes_on)


def test_a_failure_of_a_turn_that_was_cancelled_says_why() -> None:
    superseded = Cancellation(Reason(CancelCode.SUPERSEDED, "ada"), 1.0)
    failure = failure_of(TurnEnd(record("t1", status=TurnStatus.CANCELLED, cancellation=superseded), None))
    assert isinstance(failure, TurnCancelled)
    assert failure.reason == "superseded"
    assert str(failure) == "turn t1 ended as cancelled: superseded"


def test_in_a_turn_that_is_to_stop_as_well_the_end_of_another_one_is_no_error() -> None:
    with pytest.raises(asyncio.CancelledError):
        result_of(ended(TurnStatus.CANCELLED), lambda: True)
    with pytest.raises(TurnFailed):
        result_of(ended(TurnStatus.FAILED), lambda: True)
    assert result_of(ended(TurnStatus.COMPLETED, Returned(7)), lambda: True) == 7
