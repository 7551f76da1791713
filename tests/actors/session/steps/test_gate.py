"""What keeps a send from becoming a turn."""

from dataclasses import replace

import pytest

from tests.actors.session.stories import USER, Session
from tests.turns import LIMITS, spec
from turnkeeper.actors.model.exceptions import (
    PreconditionFailed,
    SessionClosed,
    SessionError,
    TooManyTurns,
    TooManyUnresponsive,
    TurnIdReused,
)
from turnkeeper.actors.model.messages import Accepted, CancelAnswer, TurnEnded
from turnkeeper.actors.model.records import Returned, SessionId, Stopped, TurnId, TurnRecord
from turnkeeper.actors.model.words import Strategy, TurnStatus, Verdict
from turnkeeper.actors.session.effects import CancelTurn, EndTurn, Reply, StartTurn

# -- Repeated ids and preconditions -------------------------------------------------------------------


def test_a_repeated_send_to_the_running_turn_starts_nothing(session: Session) -> None:
    session.send("a", fingerprint=b"1")
    asker = session.send("a", fingerprint=b"1")
    assert session.did() == [Reply]
    expected = Accepted(SessionId("s"), TurnId("a"), session.epoch, TurnStatus.RUNNING, repeated=True)
    assert session.answer(asker, Accepted) == expected


@pytest.mark.parametrize("began", [False, True])
def test_a_repeated_send_learns_whether_its_turn_began(running: Session, began: bool) -> None:
    running.tell(TurnEnded(running.epoch, Returned(), None, began=began))
    running.send("a", fingerprint=b"1")
    running.tell(TurnEnded(running.epoch, Returned(), None, began=began))
    assert running.answer(running.send("a", fingerprint=b"1"), Accepted).began is began


def test_a_repeated_send_learns_how_its_turn_stands(running: Session) -> None:
    def retried(strategy: Strategy = Strategy.INTERRUPT) -> TurnStatus:
        answer = running.answer(running.send("a", strategy=strategy, fingerprint=b"1"), Accepted)
        assert answer.repeated
        return answer.status

    running.send("a", fingerprint=b"1")
    assert retried() is TurnStatus.QUEUED
    running.end(Stopped())
    assert retried(Strategy.REJECT) is TurnStatus.RUNNING
    running.stop()
    assert retried() is TurnStatus.CANCELLING
    epoch = running.swallow()
    assert retried() is TurnStatus.UNRESPONSIVE
    running.tell(TurnEnded(epoch, Returned()))
    assert retried() is TurnStatus.UNRESPONSIVE
    running.shut()
    assert retried() is TurnStatus.UNRESPONSIVE


@pytest.mark.parametrize("over", [False, True])
def test_an_id_that_stands_for_another_message_is_refused(session: Session, over: bool) -> None:
    session.send("a", fingerprint=b"1")
    if over:
        session.end()
    session.answer(session.send("a", fingerprint=b"2"), TurnIdReused)


def test_a_forgotten_id_starts_anew(session: Session) -> None:
    session = Session(replace(LIMITS, kept_turns=1))
    session.send("a", fingerprint=b"1")
    session.end()
    session.send("t2")
    session.end()
    assert not session.answer(session.send("a", fingerprint=b"2"), Accepted).repeated


@pytest.mark.parametrize("state", ["session", "running", "cancelling", "superseding"])
def test_an_id_that_only_the_log_still_knows_is_known(request: pytest.FixtureRequest, state: str) -> None:
    """In a session that is closed, too, and before its precondition, an early cancel and the bounds."""
    session: Session = request.getfixturevalue(state)
    past = TurnRecord(spec("a", fingerprint=b"1").head, 7, TurnStatus.FAILED, ended_at=1.0, began=True)
    session.stop("a")
    before = session.state
    asker = session.send("a", fingerprint=b"1", past=past, if_match="x", no_room=NO_ROOM)
    assert session.did() == [Reply]
    expected = Accepted(SessionId("s"), TurnId("a"), 7, TurnStatus.FAILED, repeated=True, began=True)
    assert session.answer(asker, Accepted) == expected
    session.answer(session.send("a", fingerprint=b"2", past=past), TurnIdReused)
    assert session.state is before
    session.shut()
    assert session.answer(session.send("a", fingerprint=b"1", past=past), Accepted) == expected
    session.answer(session.send("a", fingerprint=b"2", past=past), TurnIdReused)


def test_what_a_session_knows_of_a_turn_is_newer_than_what_its_log_has(running: Session) -> None:
    running.send("a", fingerprint=b"1")
    past = TurnRecord(spec("a", fingerprint=b"1").head, None, TurnStatus.QUEUED)
    running.end(Stopped())
    asker = running.send("a", fingerprint=b"1", past=past)
    assert running.answer(asker, Accepted).status is TurnStatus.RUNNING


@pytest.mark.parametrize("match", ["t1", None])
def test_a_send_whose_precondition_holds_is_taken(running: Session, match: str | None) -> None:
    running.end()
    running.answer(running.send("t2", if_match=match), Accepted)


def test_a_precondition_may_name_the_turn_in_flight(running: Session) -> None:
    running.answer(running.send("t2", wait=False, if_match="t1"), Accepted)
    running.answer(running.send("t3", wait=False, if_match="t1"), Accepted)


@pytest.mark.parametrize("state", ["session", "running", "superseding"])
def test_a_send_whose_precondition_is_stale_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    session.answer(session.send("t9", if_match="t2"), PreconditionFailed)


@pytest.mark.parametrize("state", ["session", "running", "superseding"])
def test_a_stop_whose_precondition_is_stale_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    session.answer(session.stop(if_match="t2"), PreconditionFailed)


def test_a_stop_whose_precondition_holds_is_taken(running: Session) -> None:
    running.stop(if_match="t1", wait=False)
    assert running.one(CancelTurn).epoch == running.epoch


def test_a_repeated_send_is_known_although_it_made_its_own_precondition_stale(running: Session) -> None:
    """The answer to the first try was lost on its way; the retry must not read as a conflict."""
    running.end()
    running.send("a", fingerprint=b"1", if_match="t1")
    assert running.answer(running.send("a", fingerprint=b"1", if_match="t1"), Accepted).repeated


def test_a_turn_that_never_started_is_not_the_last_turn(superseding: Session) -> None:
    superseding.stop()
    superseding.end(Stopped())
    superseding.answer(superseding.send("t3", if_match="t2"), PreconditionFailed)
    superseding.answer(superseding.send("t3", if_match="t1"), Accepted)


# -- Early cancels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["session", "running", "cancelling", "superseding"])
def test_a_cancel_that_comes_before_its_send_counts(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    answer = session.answer(session.stop("a"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.NOT_RUNNING, remembered_for=30.0)
    asked_at = session.now
    session.now += 29.0
    sender = session.send("a", fingerprint=b"1")
    assert session.did() == [EndTurn, Reply]
    record = session.one(EndTurn).record
    assert (record.status, record.reason, record.epoch) == (TurnStatus.CANCELLED, USER, None)
    assert (record.cancel_requested_at, record.ended_at) == (asked_at, session.now)
    assert session.answer(sender, Accepted).status is TurnStatus.CANCELLED


def test_an_early_cancel_counts_once_and_the_retry_learns_of_it(session: Session) -> None:
    session.stop("a")
    session.send("a", fingerprint=b"1")
    assert session.state.memory.early == ()
    retry = session.answer(session.send("a", fingerprint=b"1"), Accepted)
    assert (retry.status, retry.repeated) == (TurnStatus.CANCELLED, True)


def test_an_early_cancel_is_forgotten_after_its_time(session: Session) -> None:
    session.stop("a")
    session.now += 30.0
    assert session.answer(session.send("a", fingerprint=b"1"), Accepted).status is TurnStatus.RUNNING


def test_asking_again_renews_an_early_cancel(session: Session) -> None:
    session.stop("a")
    session.now += 20.0
    session.stop("a")
    session.now += 20.0
    assert len(session.state.memory.early) == 1
    assert session.answer(session.send("a", fingerprint=b"1"), Accepted).status is TurnStatus.CANCELLED


def test_early_cancels_are_bounded_and_the_oldest_goes_first(session: Session) -> None:
    for n in range(9):
        session.stop(f"a{n}")
    assert [early.turn_id for early in session.state.memory.early] == [f"a{n}" for n in range(1, 9)]


def test_early_cancels_that_are_too_old_are_let_go(session: Session) -> None:
    session.stop("a")
    session.now += 30.0
    session.stop("b")
    assert [early.turn_id for early in session.state.memory.early] == ["b"]


def test_an_early_cancel_does_not_hit_another_turn(session: Session) -> None:
    session.stop("a")
    assert session.answer(session.send("b", fingerprint=b"1"), Accepted).status is TurnStatus.RUNNING


# -- Turns that were given up -------------------------------------------------------------------------


def test_a_session_whose_turns_do_not_stop_takes_no_more_sends_at_its_bound() -> None:
    """G8: each would leave another coroutine running."""
    session = Session(replace(LIMITS, quarantined=2))
    epochs = []
    for turn_id in ("t1", "t2"):
        session.send(turn_id)
        session.stop()
        epochs.append(session.swallow())
    assert isinstance(session.answer(session.send("t3"), SessionError), TooManyUnresponsive)
    assert not session.all(StartTurn)
    session.tell(TurnEnded(epochs[0], Stopped()))
    session.send("t4")
    assert session.one(StartTurn).spec.turn_id == "t4"


def test_a_retry_is_answered_even_at_that_bound() -> None:
    session = Session(replace(LIMITS, quarantined=1))
    session.send("t1", fingerprint=b"same")
    session.stop()
    session.swallow()
    assert session.answer(session.send("t1", fingerprint=b"same"), Accepted).repeated


# -- Room ---------------------------------------------------------------------------------------------

NO_ROOM = TooManyTurns("no room")


@pytest.mark.parametrize("state", ["session", "running", "cancelling", "superseding"])
def test_a_send_for_which_there_is_no_room_is_refused_and_changes_nothing(
    request: pytest.FixtureRequest, state: str
) -> None:
    """G8: the turn in flight goes on, and the one that waits goes on waiting."""
    session: Session = request.getfixturevalue(state)
    before = session.state
    asker = session.send("t9", no_room=NO_ROOM)
    assert session.answer(asker, TooManyTurns) is NO_ROOM
    assert session.state is before


def test_what_starts_nothing_is_answered_even_without_room(running: Session) -> None:
    """G8: idempotency and early cancels come before the bounds."""
    running.end()
    running.send("a", fingerprint=b"1")
    running.end()
    assert running.answer(running.send("a", fingerprint=b"1", no_room=NO_ROOM), Accepted).repeated
    running.stop("b")
    asker = running.send("b", fingerprint=b"1", no_room=NO_ROOM)
    assert running.answer(asker, Accepted).status is TurnStatus.CANCELLED


def test_a_closed_session_says_that_it_is_closed_also_without_room(session: Session) -> None:
    session.shut()
    session.answer(session.send("t1", no_room=NO_ROOM), SessionClosed)
