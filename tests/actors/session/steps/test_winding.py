"""What the end of a turn runs, such as what undoes it, as stories; the monitor watches each of them."""

import pytest

from tests.actors.session.steps.test_restarts import DURABLE, POLICIES
from tests.actors.session.stories import CLOSE, GRACE, SHUTDOWN, USER, Session
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    SessionView,
    Tick,
    TurnEnded,
    TurnReturned,
    WoundUp,
)
from turnkeeper.actors.model.records import (
    Extras,
    KeptResult,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    StillRunning,
    Stopped,
    TurnId,
    Usage,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import (
    CancelCode,
    Rollback,
    SessionState,
    Strategy,
    TurnStatus,
    Verdict,
)
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EndAttempt,
    EndTurn,
    NoteCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
    WindUp,
)
from turnkeeper.actors.session.machine import after_failure
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running, Winding
from turnkeeper.actors.session.views import owed_answers, state_name

#: The `wind_grace` of every turn of these stories.
WIND = 5.0
SUPERSEDED = Reason(CancelCode.SUPERSEDED, "ada")


@pytest.fixture
def rolled_back(running: Session) -> Session:
    """A session whose turn was cancelled by a send that rolls it back."""
    running.send("t2", strategy=Strategy.ROLLBACK)
    return running


@pytest.fixture
def winding(rolled_back: Session) -> Session:
    """One whose turn has stopped, and is being undone."""
    rolled_back.tell(TurnEnded(rolled_back.epoch, Stopped()))
    return rolled_back


def phase(session: Session) -> Winding:
    assert isinstance(session.state, Ending)
    assert isinstance(session.state.phase, Winding)
    return session.state.phase


# -- From the send to the successor -------------------------------------------------------------------


def test_the_turn_is_cancelled_undone_and_only_then_over(running: Session) -> None:
    epoch, began = running.epoch, running.now
    sender = running.send("t2", strategy=Strategy.ROLLBACK)
    assert running.did() == [NoteUndo, CancelTurn, SetTimer, AnnounceQueued]
    assert running.one(NoteUndo) == NoteUndo(TurnId("t1"), running.now)

    running.now += 1
    running.tell(TurnEnded(epoch, Stopped()))
    wind_up = running.one(WindUp)
    assert (wind_up.spec.turn_id, wind_up.record.epoch, wind_up.undo) == ("t1", epoch, True)
    assert (wind_up.record.status, wind_up.record.reason) == (TurnStatus.CANCELLED, SUPERSEDED)
    assert running.one(SetTimer).at == running.now + WIND
    assert state_name(running.state) is SessionState.CANCELLING

    running.now += 1
    running.tell(WoundUp(epoch))
    assert running.did() == [EndTurn, StartTurn, Reply]
    record = running.one(EndTurn).record
    assert (record.status, record.rollback, record.ended_at) == (
        TurnStatus.CANCELLED,
        Rollback.DONE,
        began + 2,
    )
    superseded = running.answer(sender, Accepted).superseded
    assert superseded is not None
    assert (superseded.verdict, superseded.rolled_back) == (Verdict.CANCELLED, True)
    assert superseded.settled_after_ms == 2000.0


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Returned("r"), TurnStatus.COMPLETED),
        (Raised(ValueError("v")), TurnStatus.FAILED),
        (Stopped(), TurnStatus.CANCELLED),
    ],
    ids=["returned", "raised", "stopped"],
)
def test_it_is_undone_however_it_ended(rolled_back: Session, outcome: Outcome, status: TurnStatus) -> None:
    epoch = rolled_back.epoch
    rolled_back.tell(TurnEnded(epoch, outcome, 7.0, True))
    assert rolled_back.one(WindUp).record.status is status
    rolled_back.tell(WoundUp(epoch))
    end = rolled_back.one(EndTurn)
    assert end.outcome is outcome
    assert (end.record.status, end.record.rollback) == (status, Rollback.DONE)
    assert (end.record.first_event_at, end.record.began) == (7.0, True)
    assert (end.record.result is not None) == (status is TurnStatus.COMPLETED)


def test_one_hook_that_failed_makes_it_undone_in_part(winding: Session) -> None:
    winding.tell(WoundUp(winding.epoch, failed=1))
    record = winding.one(EndTurn).record
    assert record.rollback is Rollback.PARTLY
    superseded = winding.one(Reply).answer.superseded
    assert (superseded.rollback, superseded.rolled_back) == (Rollback.PARTLY, False)


def test_what_takes_too_long_is_cut_short(winding: Session) -> None:
    epoch = winding.epoch
    assert winding.wait(WIND - 1) == (SetTimer(winding.now + 1),)
    winding.wait(1)
    assert winding.did() == [CutWinding, EndTurn, StartTurn, Reply]
    assert winding.one(CutWinding).epoch == epoch
    assert winding.one(EndTurn).record.rollback is Rollback.PARTLY
    assert winding.tell(WoundUp(epoch)) == (CountStale(),)


def test_a_successor_starts_after_both_graces_at_most(rolled_back: Session) -> None:
    began = rolled_back.now
    rolled_back.swallow()
    assert rolled_back.all(EndTurn) == []
    rolled_back.wait(WIND)
    assert isinstance(rolled_back.state, Running)
    assert rolled_back.now == began + GRACE + WIND


# -- What the end of any turn runs --------------------------------------------------------------------


USED = Extras(usage=Usage(1, 2))


def ends(session: Session, outcome: Outcome, extras: Extras | None = USED) -> None:
    """The turn ends, and there is something that its end runs."""
    session.tell(TurnEnded(session.epoch, outcome, 7.0, True, extras, winds=True))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Returned("r"), TurnStatus.COMPLETED),
        (Raised(ValueError("v")), TurnStatus.FAILED),
        (Stopped(), TurnStatus.FAILED),
    ],
    ids=["returned", "raised", "cancelled by itself"],
)
def test_a_turn_that_ends_by_itself_holds_the_session_until_that_is_run(
    running: Session, outcome: Outcome, status: TurnStatus
) -> None:
    epoch = running.epoch
    ends(running, outcome)
    assert running.did() == [WindUp, SetTimer]
    assert (running.one(WindUp).undo, running.one(SetTimer).at) == (False, running.now + WIND)
    assert state_name(running.state) is SessionState.RUNNING
    running.now += 1
    running.tell(WoundUp(epoch))
    end = running.one(EndTurn)
    assert end.outcome is outcome
    record = end.record
    assert (record.status, record.first_event_at, record.began) == (status, 7.0, True)
    assert (record.cancellation, record.rollback, record.extras) == (None, None, USED)
    assert (record.result is not None) == (status is TurnStatus.COMPLETED)
    assert isinstance(running.state, Idle)


def test_what_is_run_knows_how_the_turn_ended(running: Session) -> None:
    ends(running, Returned("r"))
    record = running.one(WindUp).record
    result = KeptResult("r", footprint("r"))
    assert (record.status, record.result, record.extras) == (TurnStatus.COMPLETED, result, USED)


def test_what_is_cut_off_or_fails_changes_no_status(running: Session) -> None:
    ends(running, Returned("r"))
    running.wait(WIND)
    assert running.did() == [CutWinding, EndTurn]
    assert running.one(EndTurn).record.status is TurnStatus.COMPLETED
    running.send("t2")
    ends(running, Stopped())
    running.tell(WoundUp(running.epoch, failed=2))
    record = running.one(EndTurn).record
    assert (record.status, record.rollback) == (TurnStatus.FAILED, None)


def test_a_turn_that_was_given_up_ends_after_that_and_says_what_of_it_runs(cancelling: Session) -> None:
    epoch, left = cancelling.epoch, Extras(still_running=StillRunning(threads=2))
    cancelling.wait(GRACE / 2)
    cancelling.now += GRACE / 2
    cancelling.tell(Tick(7.0, True, left, winds=True))
    assert cancelling.did() == [WindUp, SetTimer]
    cancelling.tell(WoundUp(epoch))
    assert cancelling.did() == [EndTurn, Quarantine]
    assert cancelling.one(EndTurn).record.still_running == StillRunning(threads=2)
    cancelling.tell(TurnEnded(epoch, Returned("late")))
    assert cancelling.turn("t1").still_running == StillRunning(threads=2)


@pytest.mark.parametrize("outcome", [Returned("r"), Stopped()], ids=["returned", "stopped"])
def test_a_turn_that_only_its_children_keep_has_not_ignored_its_cancel(
    cancelling: Session, outcome: Outcome
) -> None:
    epoch = cancelling.epoch
    cancelling.wait(GRACE / 2)
    cancelling.now += GRACE / 2
    ended = TurnEnded(epoch, outcome, 7.0, True, USED, winds=True)
    cancelling.tell(Tick(7.0, True, ended=ended, winds=True))
    assert cancelling.did() == [WindUp, SetTimer]
    cancelling.tell(WoundUp(epoch))
    record = cancelling.one(EndTurn).record
    assert record.status is (TurnStatus.COMPLETED if type(outcome) is Returned else TurnStatus.CANCELLED)
    assert record.extras == USED


# -- Meanwhile ----------------------------------------------------------------------------------------


def test_a_stop_meanwhile_gets_the_verdict_that_the_turn_had_finished_first(running: Session) -> None:
    ends(running, Returned("r"))
    asker = running.stop()
    assert running.did() == [NoteCancel]
    assert state_name(running.state) is SessionState.CANCELLING
    running.tell(WoundUp(running.epoch))
    assert running.did() == [EndTurn, Reply, CloseStreams]
    answer = running.answer(asker, CancelAnswer)
    assert (answer.verdict, running.turn("t1").reason) == (Verdict.FINISHED_FIRST, USER)


def test_a_send_meanwhile_starts_after_that(running: Session) -> None:
    ends(running, Returned("r"))
    sender = running.send("t2")
    assert running.did() == [NoteCancel, AnnounceQueued]
    running.tell(WoundUp(running.epoch))
    assert running.did() == [EndTurn, StartTurn, Reply]
    superseded = running.answer(sender, Accepted).superseded
    assert superseded is not None
    assert (superseded.verdict, superseded.rolled_back) == (Verdict.FINISHED_FIRST, False)


def test_a_send_that_rolls_back_comes_too_late_then(running: Session) -> None:
    ends(running, Returned("r"))
    running.send("t2", strategy=Strategy.ROLLBACK)
    assert running.all(NoteUndo) == []
    running.tell(WoundUp(running.epoch))
    assert running.one(EndTurn).record.rollback is None


def test_a_close_meanwhile_waits_for_that(running: Session) -> None:
    ends(running, Returned("r"))
    asker = running.shut(CLOSE)
    assert running.did() == [NoteCancel, SetTimer]
    running.tell(WoundUp(running.epoch))
    assert running.answer(asker, SessionView).state is SessionState.CLOSED


def test_a_shutdown_meanwhile_leaves_it_less_time(running: Session) -> None:
    ends(running, Returned("r"))
    running.shut(SHUTDOWN, 2.0)
    assert running.one(SetTimer).at == running.now + 2.0
    running.wait(2.0)
    assert running.did()[:2] == [CutWinding, EndTurn]


def test_a_shutdown_before_it_leaves_it_what_is_left(running: Session) -> None:
    running.shut(SHUTDOWN, 2.0)
    running.now += 1.5
    ends(running, Returned("r"))
    assert running.one(SetTimer).at == running.now + 0.5


@pytest.mark.parametrize("outcome", [None, Stopped()], ids=["it is given up", "it stopped"])
def test_a_turn_that_goes_on_elsewhere_has_not_come_to_its_end(outcome: Outcome | None) -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.shut(SHUTDOWN, 2.0)
    if outcome is None:
        session.wait(1.0)
        session.now += 1.0
        session.tell(Tick(winds=True))
    else:
        ends(session, outcome)
    assert session.did()[0] is EndAttempt
    assert session.turn("t1").status is TurnStatus.QUEUED


def test_a_turn_whose_end_has_been_run_does_not_go_on_elsewhere() -> None:
    """It was cancelled by itself, which is a failure, before the shutdown came."""
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    ends(session, Stopped())
    session.shut(SHUTDOWN, 2.0)
    session.tell(WoundUp(session.epoch))
    assert session.did()[0] is EndTurn
    assert session.turn("t1").status is TurnStatus.FAILED


def test_a_report_of_another_turn_ends_nothing(running: Session) -> None:
    ends(running, Returned("r"))
    assert running.tell(WoundUp(running.epoch - 1)) == (CountStale(),)
    assert running.tell(TurnEnded(running.epoch, Returned("r"))) == (CountStale(),)
    assert running.tell(TurnReturned(running.epoch)) == ()


# -- A turn that does not stop ------------------------------------------------------------------------


def test_a_turn_that_was_given_up_is_undone_and_quarantined_after_that(rolled_back: Session) -> None:
    epoch = rolled_back.swallow()
    assert rolled_back.did() == [WindUp, SetTimer]
    assert rolled_back.one(WindUp).record.status is TurnStatus.UNRESPONSIVE
    rolled_back.tell(WoundUp(epoch))
    assert rolled_back.did() == [EndTurn, Quarantine, StartTurn, Reply]
    (record,) = rolled_back.state.memory.quarantined
    assert (record.status, record.rollback) == (TurnStatus.UNRESPONSIVE, Rollback.DONE)
    rolled_back.tell(TurnEnded(epoch, Returned("late")))
    assert rolled_back.did() == [NoteLateEnd]


def test_its_late_end_may_come_before_there_is_a_record(rolled_back: Session) -> None:
    epoch = rolled_back.swallow()
    assert rolled_back.tell(TurnEnded(epoch, Returned("late"))) == ()
    assert rolled_back.tell(TurnEnded(epoch, Returned("late"))) == (CountStale(),)
    rolled_back.now += 1
    rolled_back.tell(WoundUp(epoch))
    assert rolled_back.did() == [EndTurn, Quarantine, NoteLateEnd, StartTurn, Reply]
    record = rolled_back.turn("t1")
    assert record.status is TurnStatus.UNRESPONSIVE
    assert record.ended_late == LateEnd(TurnStatus.COMPLETED, rolled_back.now)
    assert rolled_back.state.memory.quarantined == ()


# -- Joining ------------------------------------------------------------------------------------------


def test_a_turn_that_was_stopped_for_another_reason_is_undone_as_well(running: Session) -> None:
    asker = running.stop()
    running.send("t2", strategy=Strategy.ROLLBACK)
    assert running.did() == [NoteUndo, AnnounceQueued]
    running.tell(TurnEnded(running.epoch, Stopped()))
    assert running.one(WindUp).record.reason == USER
    running.tell(WoundUp(running.epoch))
    answer = running.answer(asker, CancelAnswer)
    assert answer.turn is not None
    assert (answer.verdict, answer.turn.rollback) == (Verdict.CANCELLED, Rollback.DONE)


def test_it_is_said_once_that_it_is_to_be_undone(rolled_back: Session) -> None:
    rolled_back.send("t3", strategy=Strategy.ROLLBACK)
    assert rolled_back.all(NoteUndo) == []
    assert rolled_back.turn("t2").status is TurnStatus.CANCELLED


def test_a_send_that_only_interrupts_takes_the_place_and_leaves_it_to_be_undone(winding: Session) -> None:
    sender = winding.send("t3")
    winding.tell(WoundUp(winding.epoch))
    superseded = winding.answer(sender, Accepted).superseded
    assert superseded is not None
    assert superseded.rolled_back is True


def test_a_stop_of_the_one_that_waits_does_not_keep_what_is_to_be_undone(rolled_back: Session) -> None:
    rolled_back.stop("t2")
    rolled_back.tell(TurnEnded(rolled_back.epoch, Stopped()))
    rolled_back.tell(WoundUp(rolled_back.epoch))
    assert rolled_back.one(EndTurn).record.rollback is Rollback.DONE
    assert isinstance(rolled_back.state, Idle)


def test_a_stop_while_it_is_undone_gets_the_verdict_after_that(winding: Session) -> None:
    asker = winding.stop("t1")
    assert winding.effects == ()
    winding.tell(WoundUp(winding.epoch))
    assert winding.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED


def test_an_answer_that_is_not_waited_for_does_not_say_what_is_not_known(running: Session) -> None:
    sender = running.send("t2", strategy=Strategy.ROLLBACK, wait=False)
    superseded = running.answer(sender, Accepted).superseded
    assert superseded is not None
    assert superseded.rolled_back is None


# -- Where there is nothing to undo -------------------------------------------------------------------


def test_a_send_to_a_session_at_rest_just_starts(session: Session) -> None:
    sender = session.send(strategy=Strategy.ROLLBACK)
    assert session.did() == [StartTurn, Reply]
    assert session.answer(sender, Accepted).superseded is None


def test_a_turn_that_had_not_started_is_just_dropped(rolled_back: Session) -> None:
    rolled_back.send("t3", strategy=Strategy.ROLLBACK)
    dropped = rolled_back.turn("t2")
    assert (dropped.status, dropped.rollback, dropped.began) == (TurnStatus.CANCELLED, None, False)


def test_a_turn_that_waits_for_its_next_attempt_is_undone_as_far_as_that_goes() -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.load()
    assert isinstance(session.state, Queued)
    sender = session.send("t2", strategy=Strategy.ROLLBACK)
    assert session.turn("t1").rollback is Rollback.PARTLY
    superseded = session.answer(sender, Accepted).superseded
    assert superseded is not None
    assert (superseded.rollback, superseded.rolled_back) == (Rollback.PARTLY, False)


# -- Closing ------------------------------------------------------------------------------------------


def test_a_close_waits_until_it_is_undone(winding: Session) -> None:
    asker = winding.shut(CLOSE)
    assert phase(winding).until == winding.now + WIND
    winding.tell(WoundUp(winding.epoch))
    assert winding.answer(asker, SessionView).state is SessionState.CLOSED
    assert winding.did()[0] is EndTurn
    assert winding.all(CloseStreams)


def test_a_shutdown_leaves_less_time_to_undo(winding: Session) -> None:
    winding.shut(SHUTDOWN, 2.0)
    assert winding.one(SetTimer).at == winding.now + 2.0
    winding.wait(2.0)
    assert winding.did()[:2] == [CutWinding, EndTurn]
    assert isinstance(winding.state, Closed)


def test_a_shutdown_divides_what_is_left_between_the_ladder_and_the_hooks(rolled_back: Session) -> None:
    began = rolled_back.now
    rolled_back.shut(SHUTDOWN, 2.0)
    assert rolled_back.one(SetTimer).at == began + 0.5
    rolled_back.wait(0.5)
    rolled_back.wait(0.5)
    assert rolled_back.did() == [WindUp, SetTimer]
    assert rolled_back.one(SetTimer).at == began + 2.0
    rolled_back.wait(1.0)
    assert isinstance(rolled_back.state, Closed)


def test_a_second_shutdown_never_leaves_more_time(rolled_back: Session) -> None:
    began = rolled_back.now
    rolled_back.shut(SHUTDOWN, 2.0)
    rolled_back.shut(SHUTDOWN, 8.0)
    rolled_back.shut(CLOSE)
    rolled_back.tell(TurnEnded(rolled_back.epoch, Stopped()))
    assert phase(rolled_back).until == began + 2.0


# -- After a restart ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [False, True], ids=["on the ladder", "while it was undone"])
def test_a_turn_whose_process_ends_meanwhile_is_undone_in_the_next_one(stopped: bool) -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.send("t2", strategy=Strategy.ROLLBACK)
    epoch = session.epoch
    if stopped:
        session.tell(TurnEnded(epoch, Stopped()))
    session.load()
    assert session.did() == [WindUp, SetTimer]
    assert session.one(WindUp).record.status is TurnStatus.INTERRUPTED
    session.tell(WoundUp(epoch))
    assert session.did()[:2] == [EndTurn, StartTurn]
    end = session.one(EndTurn)
    assert end.anew
    assert (end.record.status, end.record.epoch) == (TurnStatus.INTERRUPTED, epoch + 1)
    # What the turn had registered itself is gone, whatever that was.
    assert end.record.rollback is Rollback.PARTLY


def test_a_turn_that_a_restart_interrupts_has_an_end_that_runs_something() -> None:
    session = Session(DURABLE)
    session.send("t1")
    session.load(winds=True)
    assert session.did() == [WindUp, SetTimer]
    assert (session.one(WindUp).record.status, session.one(WindUp).undo) == (TurnStatus.INTERRUPTED, False)
    assert state_name(session.state) is SessionState.RUNNING
    session.stop("t1", wait=False)
    session.tell(WoundUp(session.epoch))
    record = session.one(EndTurn).record
    assert (record.status, record.rollback, record.reason) == (TurnStatus.INTERRUPTED, None, USER)


def test_a_turn_that_a_restart_runs_again_has_not_come_to_its_end() -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.load(winds=True)
    assert session.did() == [EndAttempt, SetTimer]


def test_its_process_may_end_again() -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.send("t2", strategy=Strategy.ROLLBACK)
    session.load()
    session.load()
    assert session.did() == [WindUp, SetTimer]


def test_a_successor_without_an_agent_ends_before_it_is_undone() -> None:
    session = Session(DURABLE, POLICIES)
    session.send("t1")
    session.send("t2", strategy=Strategy.ROLLBACK)
    session.load(replace(DURABLE, agents=frozenset()))
    assert session.did() == [EndTurn, WindUp, SetTimer]
    session.tell(WoundUp(session.epoch))
    assert session.did() == [EndTurn]


def test_a_failed_actor_leaves_a_turn_that_was_undone_in_part(winding: Session) -> None:
    left = after_failure(winding.state, winding.now)
    assert left.memory.records[-1].rollback is Rollback.PARTLY
    assert left.memory.records[-1].status is TurnStatus.INTERRUPTED
    assert owed_answers(winding.state)
