"""The records of turns, and which of them a session keeps."""

from dataclasses import replace
from typing import Any

import pytest

from tests import turns
from tests.fakes import plain
from tests.turns import LIMITS, memory, spec
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.records import (
    Cancellation,
    KeptResult,
    Raised,
    Reason,
    Returned,
    Stopped,
    TurnError,
    TurnId,
    TurnRecord,
)
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.session.line import Waiting
from turnkeeper.actors.session.record import kept_result, record_of, remember, unstarted
from turnkeeper.actors.session.states import Again, Closing, Ending, Memory, Running

USER = Reason(CancelCode.USER_REQUEST, "ada")
MEMORY = memory(limits=replace(LIMITS, kept_turns=3, turn_retention=50.0))


RUNNING = turns.running(spec(fingerprint=b"f"), memory=MEMORY)
CANCELLING = turns.cancelling(RUNNING, USER, again_at=5.0, phase=Again(7.0), front=Waiting(spec("next")))


def test_the_record_of_a_running_turn_is_a_snapshot() -> None:
    made = record_of(RUNNING)
    assert (made.turn_id, made.epoch, made.status, made.started_at) == ("t", 4, TurnStatus.RUNNING, 2.0)
    assert (made.cancel_requested_at, made.ended_at, made.fingerprint) == (None, None, b"f")


def test_a_cancelling_turn_shows_who_asked_and_when_and_which_turn_comes_next() -> None:
    made = record_of(CANCELLING)
    assert (made.status, made.reason, made.superseded_by) == (TurnStatus.CANCELLING, USER, "next")
    assert (made.cancel_requested_at, made.cancelled_again_at, made.ended_at) == (3.0, 5.0, None)


@pytest.mark.parametrize("closing", [None, Closing(USER, ())])
def test_a_turn_with_no_successor_is_not_superseded(closing: Closing | None) -> None:
    assert record_of(replace(CANCELLING, line=None, closing=closing)).superseded_by is None


@pytest.mark.parametrize("state", [RUNNING, CANCELLING])
def test_the_record_of_an_end_adds_only_the_end(state: Running | Ending) -> None:
    error = TurnError("X")
    expected = replace(record_of(state), status=TurnStatus.FAILED, ended_at=9.0, error=error)
    assert record_of(state, TurnStatus.FAILED, 9.0, error) == expected


def test_a_turn_that_never_started_has_no_epoch() -> None:
    asked = Cancellation(USER, 8.0)
    made = unstarted(spec(), TurnStatus.CANCELLED, 2.0, asked, 9.0, superseded_by=TurnId("n"))
    assert (made.epoch, made.started_at, made.queued_at, made.ended_at) == (None, None, 2.0, 9.0)
    assert (made.cancel_requested_at, made.superseded_by, made.reason) == (8.0, "n", USER)
    assert unstarted(spec(), TurnStatus.QUEUED).cancel_requested_at is None


def test_only_at_its_end_a_turn_is_known_never_to_have_begun() -> None:
    assert [record_of(RUNNING, began=began).began for began in (None, False, True)] == [None, None, True]
    ended = [record_of(RUNNING, TurnStatus.FAILED, 9.0, began=began).began for began in (None, False, True)]
    assert ended == [None, False, True]
    assert unstarted(spec(), TurnStatus.QUEUED).began is None
    assert unstarted(spec(), TurnStatus.CANCELLED, ended_at=9.0).began is False


# -- Remembering ------------------------------------------------------------------------------------


def ended(turn_id: str, at: float, epoch: int | None = None) -> TurnRecord:
    return turns.record(turn_id, epoch, ended_at=at)


def kept(memory: Memory) -> str:
    return " ".join(record.turn_id for record in memory.records)


def test_the_newest_records_are_kept_up_to_a_number() -> None:
    memory = MEMORY
    for number in range(1, 6):
        memory = remember(memory, ended(f"t{number}", float(number)), float(number))
        assert len(memory.records) <= 3
    assert kept(memory) == "t3 t4 t5"


def test_a_record_is_kept_for_its_time() -> None:
    memory = remember(remember(MEMORY, ended("t1", 10.0), 10.0), ended("t2", 40.0), 40.0)
    assert kept(remember(memory, ended("t3", 60.0), 60.0)) == "t1 t2 t3"
    assert kept(remember(memory, ended("t3", 61.0), 61.0)) == "t2 t3"


def test_the_last_epoch_never_goes_back() -> None:
    memory = remember(MEMORY, ended("t1", 0.0, epoch=7), 0.0)
    assert memory.last_epoch == 7
    assert remember(memory, ended("t2", 1.0, epoch=6), 1.0).last_epoch == 7
    assert remember(memory, ended("t3", 1.0), 1.0).last_epoch == 7


def test_what_the_results_take_is_what_the_records_that_are_kept_have_of_them() -> None:
    kept = MEMORY
    sizes = []
    for n, size in enumerate((10, 20, 30, 40, None, 60)):
        result = None if size is None else KeptResult("x", size)
        kept = remember(kept, turns.record(f"t{n}", n + 1, ended_at=float(n), result=result), float(n))
        sizes.append(kept.results)
    assert sizes == [10, 30, 60, 90, 70, 100]
    assert remember(kept, turns.record("late", 9, ended_at=500.0), 500.0).results == 0


def test_what_the_params_take_counts_with_the_results_of_the_records_that_are_kept() -> None:
    kept, sizes, large = MEMORY, [], '{"x":"' + "a" * 1_000 + '"}'
    for n, params in enumerate((large, None, large, None, None)):
        result = KeptResult("x", 10)
        record = turns.record(f"t{n}", n + 1, ended_at=float(n), params_json=params, result=result)
        kept = remember(kept, record, float(n))
        sizes.append(kept.results)
    size = footprint(large)
    assert sizes == [size + 10, size + 20, 2 * size + 30, size + 30, size + 30]


@pytest.mark.parametrize("result", ["xxxx", "\u20ac" * 4, ["x", 1]], ids=plain)
def test_a_result_is_kept_up_to_its_bound(result: Any) -> None:
    size = footprint(result)

    def kept(most: int) -> KeptResult | None:
        return kept_result(Returned(result), memory(limits=replace(LIMITS, result=most)))

    assert kept(size) == KeptResult(result, size)
    assert kept(size - 1) == KeptResult(None, 0, left_out=True)


@pytest.mark.parametrize("outcome", [None, Stopped(), Raised(ValueError()), Returned(None)], ids=plain)
def test_what_returned_nothing_has_no_result(outcome: Any) -> None:
    assert kept_result(outcome, MEMORY) is None
