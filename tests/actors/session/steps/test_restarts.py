"""What becomes of turns at a restart, as stories; the monitor of the search watches each of them."""

import pytest

from tests.actors.session.stories import CLOSE, GRACE, POLICY, SHUTDOWN, USER, Session
from tests.turns import LIMITS
from turnkeeper.actors.model.exceptions import SessionBusy
from turnkeeper.actors.model.messages import Accepted, CancelAnswer, SessionView, Superseded, TurnEnded
from turnkeeper.actors.model.records import LateEnd, Returned, Stopped, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import OnRestart, SessionState, Strategy, TurnStatus, Verdict
from turnkeeper.actors.session.effects import (
    CancelTurn,
    CloseStreams,
    CountStale,
    EndAttempt,
    EndTurn,
    NoteClosed,
    NoteLateEnd,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.states import Idle, Queued
from turnkeeper.actors.session.steps.restarts import needs_recovery
from turnkeeper.actors.session.views import current_turn, queued_turns, state_name

POLICIES = {"coder": OnRestart.CONTINUE, "again": OnRestart.RERUN, "once": OnRestart.INTERRUPT}
DURABLE = replace(LIMITS, durable=True, agents=frozenset(POLICIES))
AGAIN = pytest.mark.parametrize("agent", ["coder", "again"])


@pytest.fixture
def session() -> Session:
    """A session with a journal."""
    return Session(DURABLE, POLICIES)


@pytest.fixture
def waiting(session: Session) -> Session:
    """One whose turn waits for its second attempt."""
    session.send("t1")
    session.load()
    return session


# -- A turn that ran ------------------------------------------------------------------------------------


def test_a_turn_is_interrupted_whose_agent_says_nothing_else(session: Session) -> None:
    session.send("t1", agent="once")
    cut = session.epoch
    session.load()
    end = session.one(EndTurn)
    assert end.anew
    assert (end.record.status, end.record.epoch, end.record.attempt) == (TurnStatus.INTERRUPTED, cut + 1, 1)
    assert session.state == Idle(session.state.memory)
    assert session.state.memory.last_epoch == cut + 1


def test_a_turn_is_interrupted_whose_agent_is_no_longer_there(session: Session) -> None:
    session.send("t1", agent="gone")
    session.load()
    assert session.one(EndTurn).record.status is TurnStatus.INTERRUPTED


@AGAIN
def test_a_turn_waits_and_is_started_again_in_an_epoch_of_its_own(session: Session, agent: str) -> None:
    session.send("t1", agent=agent)
    cut = session.epoch
    session.now += 10.0
    session.load()
    assert session.did() == [EndAttempt, SetTimer]
    waits = session.one(EndAttempt).record
    assert (waits.status, waits.attempt) == (TurnStatus.QUEUED, 2)
    assert waits.epoch is not None
    assert waits.epoch > cut
    assert state_name(session.state) is SessionState.QUEUED
    assert session.one(SetTimer).at == session.now + 1.0
    session.wait(1.0)
    start = session.one(StartTurn)
    assert (start.spec.turn_id, start.attempt) == ("t1", 2)
    assert start.epoch > waits.epoch
    assert session.end().attempt == 2


def test_each_attempt_waits_longer_than_the_one_before_and_there_are_only_so_many(
    session: Session,
) -> None:
    session.send("t1")
    waited = []
    for _ in range(2):
        session.load()
        waited.append(session.one(SetTimer).at - session.now)
        session.wait(waited[-1])
    assert waited == [1.0, 2.0]
    session.load()
    assert session.one(EndTurn).record.attempt == 3
    assert session.turn("t1").status is TurnStatus.INTERRUPTED


def test_its_time_counts_anew_with_each_attempt(session: Session) -> None:
    session.send("t1", timeout=3.0)
    session.now += 2.0
    session.load()
    session.wait(1.0)
    assert session.one(SetTimer).at == session.now + 3.0


def test_a_turn_whose_cancel_was_asked_is_interrupted_with_its_cancel(session: Session) -> None:
    session.send("t1")
    session.stop(reason=USER)
    session.load()
    record = session.one(EndTurn).record
    assert (record.status, record.reason) == (TurnStatus.INTERRUPTED, USER)
    assert isinstance(session.state, Idle)


def test_a_cancel_that_only_a_shutdown_asked_for_is_none(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    session.load()
    assert session.one(EndAttempt).record.cancellation is None


def test_a_cancel_after_that_of_a_shutdown_counts(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    session.stop(reason=USER)
    session.load()
    assert session.one(EndTurn).record.reason == USER


def test_the_end_of_a_coroutine_of_before_is_stale(waiting: Session) -> None:
    waiting.wait(1.0)
    epoch = waiting.epoch
    waiting.load()
    waiting.tell(TurnEnded(epoch, Returned("late")))
    assert waiting.effects == (CountStale(),)


# -- What waited for it ---------------------------------------------------------------------------------


def test_the_turn_that_waited_starts_after_the_one_that_was_interrupted(session: Session) -> None:
    session.send("t1")
    session.send("t2")
    session.load()
    assert session.did() == [EndTurn, StartTurn]
    ended, start = session.one(EndTurn).record, session.one(StartTurn)
    assert (ended.turn_id, ended.status, ended.superseded_by) == ("t1", TurnStatus.INTERRUPTED, "t2")
    assert (start.spec.turn_id, start.attempt) == ("t2", 1)
    assert ended.epoch is not None
    assert start.epoch > ended.epoch


def test_the_turn_that_waited_is_over_if_its_agent_is_gone(session: Session) -> None:
    session.send("t1")
    session.send("t2", agent="gone")
    session.load()
    assert [(end.record.turn_id, end.record.status) for end in session.all(EndTurn)] == [
        ("t1", TurnStatus.INTERRUPTED),
        ("t2", TurnStatus.INTERRUPTED),
    ]
    assert session.turn("t2").epoch is None
    assert isinstance(session.state, Idle)


def test_what_was_given_up_has_ended_with_its_process(session: Session) -> None:
    session.send("t1")
    session.stop()
    session.swallow()
    assert needs_recovery(session.state)
    session.load()
    late = LateEnd(TurnStatus.INTERRUPTED, session.now)
    assert session.effects == (NoteLateEnd(TurnId("t1"), late),)
    assert session.turn("t1").ended_late == late
    assert not needs_recovery(session.state)


def test_a_session_at_rest_recovers_as_it_is(session: Session) -> None:
    session.send("t1")
    session.end()
    before = session.state
    assert not needs_recovery(before)
    session.load()
    assert (session.state, session.effects) == (before, ())


# -- A shutdown -----------------------------------------------------------------------------------------


@AGAIN
def test_a_shutdown_hands_a_turn_over_that_stops(session: Session, agent: str) -> None:
    session.send("t1", agent=agent)
    asker = session.shut(SHUTDOWN)
    assert session.one(CancelTurn).reason == SHUTDOWN
    ended = Stopped()
    session.tell(TurnEnded(session.epoch, ended))
    assert session.did() == [EndAttempt, CloseStreams, Reply]
    attempt = session.one(EndAttempt)
    assert attempt.outcome is ended
    assert attempt.record.status is TurnStatus.QUEUED
    view = session.answer(asker, SessionView)
    assert view.state is SessionState.CLOSED
    assert view.queue == (attempt.record,)
    session.load()
    assert session.did() == [SetTimer]
    session.wait(1.0)
    assert session.one(StartTurn).attempt == 2


def test_a_shutdown_hands_a_turn_over_that_does_not_stop(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    session.swallow()
    assert session.did() == [EndAttempt, Quarantine, CloseStreams, Reply]
    assert session.one(EndAttempt).outcome is None
    assert session.state.memory.quarantined == ()


def test_a_turn_that_finishes_in_a_shutdown_has_finished(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    assert session.end(Returned("done")).status is TurnStatus.COMPLETED


@pytest.mark.parametrize("agent", ["once", "gone"])
def test_a_shutdown_cancels_a_turn_that_is_not_run_again(session: Session, agent: str) -> None:
    session.send("t1", agent=agent)
    session.shut(SHUTDOWN)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


def test_a_shutdown_cancels_a_turn_without_a_journal() -> None:
    session = Session(replace(DURABLE, durable=False), POLICIES)
    session.send("t1")
    session.shut(SHUTDOWN)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


def test_a_turn_is_not_handed_over_that_was_stopped_first(session: Session) -> None:
    session.send("t1")
    session.stop(reason=USER)
    session.shut(SHUTDOWN)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


def test_a_turn_is_not_handed_over_whose_session_is_closed_as_well(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    session.shut(CLOSE)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


def test_a_turn_that_waits_waits_on_over_a_shutdown_and_its_sender_is_told(session: Session) -> None:
    session.send("t1")
    asker = session.send("t2")
    session.shut(SHUTDOWN)
    superseded = Superseded(TurnId("t1"), Verdict.REQUESTED, None)
    assert session.answer(asker, Accepted).status is TurnStatus.QUEUED
    assert session.answer(asker, Accepted).superseded == superseded
    session.end(Stopped())
    assert session.turn("t1").superseded_by == "t2"
    assert session.turn("t2").status is TurnStatus.QUEUED
    assert needs_recovery(session.state) is False
    session.load()
    assert session.did() == [StartTurn]
    assert session.one(StartTurn).queued_at is not None


def test_a_cancel_reaches_a_turn_that_waits_for_another_process(session: Session) -> None:
    session.send("t1")
    session.send("t2")
    session.shut(SHUTDOWN)
    assert session.answer(session.stop("t2"), CancelAnswer).verdict is Verdict.CANCELLED
    session.end(Stopped())
    session.load()
    assert session.effects == ()


def test_a_close_ends_a_turn_that_waits_for_another_process(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN)
    session.tell(TurnEnded(session.epoch, Stopped()))
    session.shut(CLOSE)
    assert session.did() == [EndTurn, NoteClosed, Reply]
    assert session.one(EndTurn).anew


# -- While a turn waits -----------------------------------------------------------------------------------


def test_the_turn_that_waits_is_the_sessions_current_one_and_its_queue(waiting: Session) -> None:
    turn = waiting.turn("t1")
    assert turn.status is TurnStatus.QUEUED
    assert current_turn(waiting.state) == turn
    assert queued_turns(waiting.state) == (turn,)


def test_a_send_takes_its_place(waiting: Session) -> None:
    asker = waiting.send("t2")
    assert waiting.did() == [EndTurn, StartTurn, Reply]
    end = waiting.one(EndTurn)
    assert (end.record.status, end.record.superseded_by, end.anew) == (TurnStatus.CANCELLED, "t2", True)
    assert end.record.epoch is not None
    assert waiting.one(StartTurn).epoch > end.record.epoch
    accepted = waiting.answer(asker, Accepted)
    assert accepted.status is TurnStatus.RUNNING
    assert accepted.superseded == Superseded(TurnId("t1"), Verdict.CANCELLED, 0.0)


def test_a_send_that_rejects_is_refused(waiting: Session) -> None:
    refused = waiting.answer(waiting.send("t2", strategy=Strategy.REJECT), SessionBusy)
    assert refused.turn_id == "t1"
    assert isinstance(waiting.state, Queued)


@pytest.mark.parametrize("aim", [None, "t1"])
def test_a_stop_ends_it_at_once_with_an_id(waiting: Session, aim: str | None) -> None:
    last = waiting.state.memory.last_epoch
    asker = waiting.stop(aim)
    assert waiting.did() == [EndTurn, Reply, CloseStreams]
    end = waiting.one(EndTurn)
    assert (end.record.status, end.record.epoch, end.anew) == (TurnStatus.CANCELLED, last + 1, True)
    assert waiting.answer(asker, CancelAnswer) == CancelAnswer(Verdict.CANCELLED, end.record, 0.0)
    assert waiting.wait(GRACE) == ()


def test_a_stop_that_no_person_pressed_leaves_the_streams_open(waiting: Session) -> None:
    waiting.stop(reason=POLICY)
    assert waiting.did() == [EndTurn, Reply]


def test_a_stop_that_names_another_turn_leaves_it_alone(waiting: Session) -> None:
    assert waiting.answer(waiting.stop("t9"), CancelAnswer).verdict is Verdict.NOT_RUNNING
    assert isinstance(waiting.state, Queued)


def test_a_close_ends_it(waiting: Session) -> None:
    waiting.shut(CLOSE)
    assert waiting.did() == [EndTurn, NoteClosed, CloseStreams, Reply]
    assert waiting.one(EndTurn).record.reason == CLOSE


def test_a_shutdown_leaves_it_waiting(waiting: Session) -> None:
    waiting.shut(SHUTDOWN)
    assert waiting.did() == [CloseStreams, Reply]
    waiting.load()
    assert waiting.did() == [SetTimer]
    assert isinstance(waiting.state, Queued)


def test_it_is_interrupted_if_the_next_process_lacks_its_agent(waiting: Session) -> None:
    waiting.load(replace(DURABLE, agents=frozenset({"again"})))
    end = waiting.one(EndTurn)
    assert (end.record.status, end.anew) == (TurnStatus.INTERRUPTED, True)
