"""What is seen of a session, in each of its states."""

from dataclasses import replace
from typing import TypeVar

import pytest

from tests import turns
from tests.turns import memory, record, spec
from turnkeeper.actors.model.policy import STANDARD
from turnkeeper.actors.model.records import (
    Cancellation,
    ChildTurn,
    Extras,
    LateEnd,
    Moment,
    Reason,
    SessionId,
    TurnId,
    TurnRecord,
)
from turnkeeper.actors.model.words import CancelCode, OnCap, SessionState, Step, TurnStatus
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.record import unstarted
from turnkeeper.actors.session.states import Again, Closed, Ending, Idle, Running, State
from turnkeeper.actors.session.views import (
    InFlight,
    current_turn,
    find_turn,
    queued_turns,
    record_of,
    timeline,
    view,
)

H = TypeVar("H", Running, Ending)
USER = Reason(CancelCode.USER_REQUEST, "ada")


OLD, LAST, FLED = record("old", 1), record("last", 3), record("fled", 2, TurnStatus.UNRESPONSIVE)
NEVER = record("never", None, TurnStatus.CANCELLED)
MEMORY = memory(last_epoch=3, records=(OLD, LAST, NEVER), quarantined=(FLED,))
RUNNING = turns.running(spec(fingerprint=b"f"), memory=MEMORY)
CANCELLING = turns.cancelling(RUNNING, USER, again_at=5.0, phase=Again(7.0), front=Waiting(spec("next")))


def waited(state: H, since: float) -> H:
    return replace(state, turn=replace(state.turn, queued_at=since))


STATES: dict[SessionState, State] = {
    SessionState.IDLE: Idle(MEMORY),
    SessionState.RUNNING: RUNNING,
    SessionState.CANCELLING: CANCELLING,
    SessionState.CLOSED: Closed(MEMORY, USER),
}


@pytest.mark.parametrize(("name", "state"), STATES.items())
def test_a_view_shows_the_state_and_what_is_remembered(name: SessionState, state: State) -> None:
    seen = view(state)
    assert (seen.session_id, seen.user, seen.state) == ("s", "ada", name)
    assert (seen.recent, seen.quarantined, seen.subscribers) == (MEMORY.records, (FLED,), 0)
    assert seen.turn == current_turn(state)
    assert seen.queue == queued_turns(state)


@pytest.mark.parametrize("state", [RUNNING, CANCELLING])
def test_a_turn_in_a_list_shows_what_its_record_shows(state: Running | Ending) -> None:
    seen = InFlight(state)
    assert (seen.session_id, seen.owner) == ("s", "ada")
    record = record_of(state)
    assert seen.turn == record
    assert (seen.turn_id, seen.agent, seen.started_at) == (record.turn_id, record.agent, record.started_at)
    assert seen.options is state.turn.spec.options
    assert "turn t in flight in s of ada" in repr(seen).lower()


@pytest.mark.parametrize("name", [SessionState.IDLE, SessionState.CLOSED])
def test_at_rest_the_current_turn_is_the_last_that_held_the_session(name: SessionState) -> None:
    assert current_turn(STATES[name]) == LAST
    fled_last = replace(MEMORY, records=(OLD, NEVER))
    assert current_turn(replace(STATES[name], memory=fled_last)) == FLED


def test_a_new_session_has_no_turn() -> None:
    assert current_turn(Idle(memory())) is None


def test_only_a_successor_is_queued() -> None:
    assert queued_turns(CANCELLING) == (unstarted(spec("next"), TurnStatus.QUEUED),)
    assert queued_turns(replace(CANCELLING, line=None)) == ()
    assert queued_turns(RUNNING) == ()


@pytest.mark.parametrize("turn_id", ["t", "next", "fled", "old", "last", "never"])
def test_every_known_turn_is_found(turn_id: str) -> None:
    found = find_turn(CANCELLING, turn_id)
    assert found is not None
    assert found.turn_id == turn_id
    assert find_turn(CANCELLING, "unknown") is None


@pytest.mark.parametrize("state", [RUNNING, CANCELLING])
def test_the_first_event_of_the_turn_in_flight_is_taken_from_the_caller(state: Running | Ending) -> None:
    assert record_of(state, first_event_at=2.5).first_event_at == 2.5
    for seen in (
        current_turn(state, 2.5),
        find_turn(state, "t", 2.5),
        view(state, first_event_at=2.5).turn,
    ):
        assert seen == record_of(state, first_event_at=2.5)
    assert find_turn(state, "last", 2.5) == LAST
    assert current_turn(Idle(MEMORY), 2.5) == LAST


def test_a_turn_that_waited_says_since_when_whatever_becomes_of_it() -> None:
    assert record_of(waited(RUNNING, 1.5)).queued_at == 1.5
    assert record_of(waited(CANCELLING, 1.5)).queued_at == 1.5
    waits = replace(CANCELLING, line=Line(Waiting(spec("next"), 1, 3.5)))
    assert [turn.queued_at for turn in queued_turns(waits)] == [3.5]


# -- The timeline -----------------------------------------------------------------------------------


def steps_of(record: TurnRecord) -> list[tuple[str, float]]:
    return [(moment.step, moment.ms) for moment in timeline(record)]


def test_the_timeline_of_a_turn_has_only_what_has_happened() -> None:
    waits = unstarted(spec(), TurnStatus.QUEUED, 1.0)
    assert steps_of(waits) == [("submitted", 0.0), ("queued", 0.0)]
    assert steps_of(record_of(RUNNING)) == [("submitted", 0.0), ("started", 1000.0)]
    over = record_of(RUNNING, TurnStatus.COMPLETED, 9.0, None, 2.5)
    assert steps_of(over) == [
        ("submitted", 0.0),
        ("started", 1000.0),
        ("first_event", 1500.0),
        ("ended", 8000.0),
    ]
    assert timeline(over)[-1] == Moment("ended", 9.0, 8000.0, status=TurnStatus.COMPLETED)


def test_the_timeline_says_for_how_long_a_turn_waited_and_which_fields_had_it_wait_for_a_slot() -> None:
    patient = turns.running(spec(own_policy=replace(STANDARD, on_cap=OnCap.WAIT)), memory=MEMORY)
    queued, started = timeline(record_of(waited(patient, 1.25)))[1:]
    assert queued.decided_by == ("strategy", "on_cap", "priority")
    assert (queued.queue_wait_ms, started.queue_wait_ms) == (None, 750.0)


def test_the_timeline_of_a_cancelled_turn_says_who_asked_and_how_long_it_took_to_let_go() -> None:
    fled = replace(
        record_of(waited(CANCELLING, 1.25), TurnStatus.UNRESPONSIVE, 7.0, None, 2.5),
        ended_late=LateEnd(TurnStatus.COMPLETED, 11.0),
    )
    assert timeline(fled) == (
        Moment("submitted", 1.0, 0.0),
        Moment("queued", 1.25, 250.0, decided_by=("strategy",)),
        Moment("started", 2.0, 1000.0, queue_wait_ms=750.0),
        Moment("first_event", 2.5, 1500.0),
        Moment("cancel_requested", 3.0, 2000.0, USER),
        Moment("cancelled_again", 5.0, 4000.0, decided_by=("cancel_grace",)),
        Moment("settled", 7.0, 6000.0, status=TurnStatus.UNRESPONSIVE, settled_after_ms=4000.0),
        Moment("ended", 7.0, 6000.0, status=TurnStatus.UNRESPONSIVE, decided_by=("cancel_grace",)),
        Moment("ended_late", 11.0, 10000.0, status=TurnStatus.COMPLETED),
    )


@pytest.mark.parametrize(("by", "decided_by"), [(None, ("on_disconnect", "abandon_after")), ("ada", ())])
def test_of_a_turn_that_no_one_read_the_timeline_says_which_policy_wanted_it_stopped(
    by: str | None, decided_by: tuple[str, ...]
) -> None:
    """And not of one whose caller has gone: that is no matter of policy."""
    gone = Cancellation(Reason(CancelCode.CLIENT_DISCONNECTED, by), 3.0)
    (asked,) = [each for each in timeline(record_of(replace(CANCELLING, cancellation=gone))) if each.reason]
    assert (asked.step, asked.decided_by) == ("cancel_requested", decided_by)


def test_a_turn_that_never_held_the_session_has_nothing_to_settle() -> None:
    never = unstarted(spec(), TurnStatus.CANCELLED, 2.0, Cancellation(USER, 3.0), 3.0)
    assert [step for step, _ in steps_of(never)] == ["submitted", "queued", "cancel_requested", "ended"]


def test_the_timeline_has_when_a_turn_sent_for_others_and_when_these_ended() -> None:
    children = (
        ChildTurn(SessionId("s2"), TurnId("t2"), 3.0, TurnStatus.FAILED, 5.0),
        ChildTurn(SessionId("s3"), TurnId("t3"), 4.0),
    )
    moments = timeline(record("t1", submitted_at=1.0, started_at=2.0, extras=Extras(children=children)))
    of_children = [each for each in moments if each.turn is not None]
    assert [(each.step, each.ms, each.turn and each.turn.turn_id, each.status) for each in of_children] == [
        (Step.CHILD_SENT, 2000.0, "t2", None),
        (Step.CHILD_SENT, 3000.0, "t3", None),
        (Step.CHILD_ENDED, 4000.0, "t2", TurnStatus.FAILED),
    ]


def test_a_timeline_is_in_the_order_in_which_it_happened() -> None:
    early = unstarted(spec(), TurnStatus.CANCELLED, None, Cancellation(USER, 0.5), 1.0)
    assert steps_of(early) == [("cancel_requested", -500.0), ("submitted", 0.0), ("ended", 0.0)]
    last_words = record_of(CANCELLING, TurnStatus.COMPLETED, 9.0, None, 4.0)
    steps = [step for step, _ in steps_of(last_words)]
    assert steps.index("cancel_requested") < steps.index("first_event") < steps.index("cancelled_again")
