"""What can be told of a session, in each of its states."""

from dataclasses import replace

import pytest

from turnkeeper.actors.records import (
    CancelCode,
    Reason,
    SessionId,
    SessionState,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
    TurnStatus,
)
from turnkeeper.actors.states import (
    Cancelling,
    Closed,
    Closing,
    Home,
    Idle,
    Memory,
    Running,
    State,
    Successor,
)
from turnkeeper.actors.views import current_turn, find_turn, queued_turns, record_of, unstarted, view

USER = Reason(CancelCode.USER_REQUEST, "ada")


def spec(turn_id: str) -> TurnSpec:
    return TurnSpec(SessionId("s"), TurnId(turn_id), "hi", "ada", "coder", 1.0, None, 4.0, b"f")


def record(turn_id: str, epoch: int | None, status: TurnStatus = TurnStatus.COMPLETED) -> TurnRecord:
    return TurnRecord(TurnId(turn_id), epoch, status, "ada", "coder", 1.0)


OLD, LAST, FLED = record("old", 1), record("last", 3), record("fled", 2, TurnStatus.UNRESPONSIVE)
NEVER = record("never", None, TurnStatus.CANCELLED)
MEMORY = Memory(Home(SessionId("s"), "ada"), 3, (OLD, LAST, NEVER), (), (FLED,))
RUNNING = Running(MEMORY, spec("t"), 4, 2.0, None)
CANCELLING = Cancelling(
    MEMORY, spec("t"), 4, 2.0, USER, 3.0, None, 5.0, 7.0, (), Successor(spec("next"), None)
)
STATES: dict[SessionState, State] = {
    SessionState.IDLE: Idle(MEMORY),
    SessionState.RUNNING: RUNNING,
    SessionState.CANCELLING: CANCELLING,
    SessionState.CLOSED: Closed(MEMORY, USER),
}


@pytest.mark.parametrize(("name", "state"), STATES.items())
def test_a_view_tells_the_state_and_what_is_remembered(name: SessionState, state: State) -> None:
    told = view(state)
    assert (told.session_id, told.user, told.state) == ("s", "ada", name)
    assert (told.recent, told.quarantined, told.subscribers) == (MEMORY.records, (FLED,), 0)
    assert told.turn == current_turn(state)
    assert told.queue == queued_turns(state)


def test_a_running_turn_is_told_as_it_stands() -> None:
    told = record_of(RUNNING)
    assert (told.turn_id, told.epoch, told.status, told.started_at) == ("t", 4, TurnStatus.RUNNING, 2.0)
    assert (told.cancel_requested_at, told.ended_at, told.fingerprint) == (None, None, b"f")


def test_a_cancelling_turn_tells_who_asked_when_and_who_comes_next() -> None:
    told = record_of(CANCELLING)
    assert (told.status, told.reason, told.superseded_by) == (TurnStatus.CANCELLING, USER, "next")
    assert (told.cancel_requested_at, told.cancelled_again_at, told.ended_at) == (3.0, 5.0, None)


@pytest.mark.parametrize("then", [None, Closing(USER, ())])
def test_a_turn_with_no_successor_is_not_superseded(then: Closing | None) -> None:
    assert record_of(replace(CANCELLING, then=then)).superseded_by is None


@pytest.mark.parametrize("state", [RUNNING, CANCELLING])
def test_the_record_of_an_end_adds_only_the_end(state: Running | Cancelling) -> None:
    error = TurnError("X")
    expected = replace(record_of(state), status=TurnStatus.FAILED, ended_at=9.0, error=error)
    assert record_of(state, TurnStatus.FAILED, 9.0, error) == expected


@pytest.mark.parametrize("name", [SessionState.IDLE, SessionState.CLOSED])
def test_at_rest_the_current_turn_is_the_last_that_held_the_session(name: SessionState) -> None:
    assert current_turn(STATES[name]) == LAST
    fled_last = replace(MEMORY, records=(OLD, NEVER))
    assert current_turn(replace(STATES[name], memory=fled_last)) == FLED


def test_a_new_session_has_no_turn() -> None:
    assert current_turn(Idle(Memory(Home(SessionId("s"), "ada")))) is None


def test_only_a_successor_is_queued() -> None:
    assert queued_turns(CANCELLING) == (unstarted(spec("next"), TurnStatus.QUEUED),)
    assert queued_turns(replace(CANCELLING, then=None)) == ()
    assert queued_turns(RUNNING) == ()


@pytest.mark.parametrize("turn_id", ["t", "next", "fled", "old", "last", "never"])
def test_every_known_turn_is_found(turn_id: str) -> None:
    found = find_turn(CANCELLING, turn_id)
    assert found is not None
    assert found.turn_id == turn_id
    assert find_turn(CANCELLING, "unknown") is None


def test_a_turn_that_never_started_has_no_epoch() -> None:
    told = unstarted(spec("t"), TurnStatus.CANCELLED, 9.0, USER, superseded_by=TurnId("n"))
    assert (told.epoch, told.started_at, told.ended_at) == (None, None, 9.0)
    assert (told.cancel_requested_at, told.superseded_by, told.reason) == (9.0, "n", USER)
    assert unstarted(spec("t"), TurnStatus.CANCELLED, 9.0, USER, asked_at=8.0).cancel_requested_at == 8.0
    assert unstarted(spec("t"), TurnStatus.QUEUED).cancel_requested_at is None
