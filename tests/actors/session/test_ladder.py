"""The grace ladder: cancelled, cancelled again, given up."""

import pytest

from tests.actors.session.stories import GRACE, SHUTDOWN, START, USER, Session, closed
from tests.turns import LIMITS
from turnkeeper.actors.model.exceptions import SessionBusy
from turnkeeper.actors.model.messages import CancelAnswer, Tick, TurnEnded, TurnReturned
from turnkeeper.actors.model.records import (
    Extras,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    StillRunning,
    Stopped,
    TurnId,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, SessionState, Strategy, TurnStatus, Verdict
from turnkeeper.actors.session.due import rung_due
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    EndTurn,
    NoteCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
    StopWork,
    WindUp,
)
from turnkeeper.actors.session.ladder import delayed
from turnkeeper.actors.session.states import Ending, Idle
from turnkeeper.actors.session.views import state_name

# -- The ladder ---------------------------------------------------------------------------------------


def test_the_ladder_is_cancelled_cancelled_again_quarantined(running: Session) -> None:
    asker = running.stop()
    asked_at = running.now
    assert running.one(SetTimer).at == asked_at + GRACE / 2
    running.wait(GRACE / 2)
    again = CancelTurn(TurnId("t1"), running.epoch, USER, asked_at, again=True)
    assert running.effects == (again, SetTimer(asked_at + GRACE))
    assert running.turn("t1").cancelled_again_at == asked_at + GRACE / 2
    epoch = running.epoch
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams]
    assert running.one(Quarantine).epoch == epoch
    record = running.one(EndTurn).record
    assert (record.status, record.ended_at) == (TurnStatus.UNRESPONSIVE, asked_at + GRACE)
    assert record.cancelled_again_at == asked_at + GRACE / 2
    assert running.answer(asker, CancelAnswer) == CancelAnswer(Verdict.UNRESPONSIVE, record, GRACE * 1000)
    assert running.state.memory.quarantined == (record,)
    assert running.records == ()


def test_a_tick_that_comes_too_early_sets_the_timer_again(session: Session) -> None:
    session.send(timeout=10.0)
    assert session.wait(9.0) == (SetTimer(START + 10.0),)
    session.stop()
    assert session.wait(1.0) == (SetTimer(START + 11.0),)
    session.wait(1.0)
    assert session.wait(1.0) == (SetTimer(START + 13.0),)


def test_a_tick_that_comes_very_late_skips_no_rung(running: Session) -> None:
    """The loop was blocked, so the coroutine had no chance yet to end."""
    running.stop()
    asked_at = running.now
    running.wait(10 * GRACE)
    again = CancelTurn(TurnId("t1"), running.epoch, USER, asked_at, again=True)
    assert running.effects == (again, SetTimer(running.now + GRACE / 2))
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams]


def test_a_tick_at_rest_does_nothing(session: Session) -> None:
    assert session.wait(1.0) == ()
    assert closed(session).wait(1.0) == ()


def test_the_end_of_the_time_starts_the_ladder(session: Session) -> None:
    session.send(timeout=3.0)
    session.wait(3.0)
    assert session.effects == (
        CancelTurn(TurnId("t1"), session.epoch, Reason(CancelCode.TIMEOUT), START + 3.0),
        SetTimer(START + 3.0 + GRACE / 2),
    )
    session.wait(GRACE / 2)
    session.wait(GRACE / 2)
    record = session.one(EndTurn).record
    assert (record.status, record.reason) == (TurnStatus.UNRESPONSIVE, Reason(CancelCode.TIMEOUT))


def test_a_stop_after_the_timeout_learns_that_the_turn_timed_out(session: Session) -> None:
    session.send(timeout=3.0)
    session.wait(3.0)
    asker = session.stop()
    assert session.effects == ()
    record = session.end(Stopped())
    answer = session.answer(asker, CancelAnswer)
    assert (answer.verdict, answer.turn) == (Verdict.FINISHED_FIRST, record)
    assert record.status is TurnStatus.TIMED_OUT
    assert session.one(CloseStreams).end == "Task finished"


def test_a_timeout_after_a_stop_changes_nothing(session: Session) -> None:
    session.send(timeout=3.0)
    session.now += 2.0
    session.stop()
    session.wait(1.0)
    assert session.effects == (SetTimer(START + 2.0 + GRACE / 2),)
    assert session.end(Stopped()).status is TurnStatus.CANCELLED


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Returned(), TurnStatus.COMPLETED),
        (Raised(OSError()), TurnStatus.FAILED),
        (Stopped(), TurnStatus.CANCELLED),
    ],
)
def test_the_late_end_of_a_quarantined_turn_is_noted_and_not_published(
    running: Session, outcome: Outcome, status: TurnStatus
) -> None:
    running.send("t2")
    epoch = running.swallow()
    running.now += 7.0
    late = LateEnd(status, running.now)
    assert running.tell(TurnEnded(epoch, outcome)) == (NoteLateEnd(TurnId("t1"), late),)
    record = running.turn("t1")
    assert (record.status, record.ended_late) == (TurnStatus.UNRESPONSIVE, late)
    assert running.state.memory.quarantined == ()
    assert running.records == (record,)
    assert running.turn("t2").status is TurnStatus.RUNNING


@pytest.mark.parametrize("state", ["idle", "cancelling", "closed"])
def test_a_late_end_is_noted_in_every_state(running: Session, state: str) -> None:
    running.stop()
    epoch = running.swallow()
    match state:
        case "cancelling":
            running.send("t2")
            running.stop()
        case "closed":
            running.shut()
        case _:
            pass
    running.tell(TurnEnded(epoch, Returned()))
    assert running.did() == [NoteLateEnd]
    assert running.turn("t1").ended_late == LateEnd(TurnStatus.COMPLETED, running.now)
    assert running.tell(TurnEnded(epoch, Returned())) == (CountStale(),)


def test_several_turns_may_be_quarantined_and_end_in_any_order(running: Session) -> None:
    epochs = []
    for n in (2, 3):
        running.send(f"t{n}")
        epochs.append(running.swallow())
    assert [record.turn_id for record in running.state.memory.quarantined] == ["t1", "t2"]
    running.tell(TurnEnded(epochs[1], Returned()))
    running.tell(TurnEnded(epochs[0], Returned()))
    assert [record.turn_id for record in running.records] == ["t2", "t1"]
    assert running.epoch > max(epochs)


# -- Less time ----------------------------------------------------------------------------------------


def test_a_shutdown_may_give_less_grace_but_not_more(session: Session) -> None:
    session.send("t1")
    session.shut(SHUTDOWN, grace=1.0)
    assert session.one(SetTimer).at == START + 0.5
    other = Session()
    other.send("t1")
    other.shut(SHUTDOWN, grace=100.0)
    assert other.one(SetTimer).at == START + GRACE / 2


def test_a_shutdown_shortens_the_ladder_and_keeps_its_rungs(running: Session) -> None:
    running.stop()
    running.shut(SHUTDOWN, grace=1.0)
    assert running.one(SetTimer).at == running.now + 0.5
    running.wait(0.5)
    assert running.did() == [CancelTurn, SetTimer]
    running.wait(0.5)
    assert running.did() == [EndTurn, Quarantine, Reply, CloseStreams, Reply]


def test_a_shutdown_late_in_the_ladder_does_not_lengthen_it(running: Session) -> None:
    running.stop()
    end_at = running.now + GRACE
    running.wait(GRACE / 2)
    running.shut(SHUTDOWN, grace=100.0)
    assert running.one(SetTimer).at == end_at


def test_a_close_without_a_grace_leaves_the_ladder_as_it_is(running: Session) -> None:
    running.stop()
    again_at = running.now + GRACE / 2
    running.shut()
    assert running.one(SetTimer).at == again_at


# -- What a turn has begun ----------------------------------------------------------------------------


@pytest.fixture
def returned(running: Session) -> Session:
    """A session whose turn has returned by itself, and something that it has begun runs on."""
    running.tell(TurnReturned(running.epoch))
    return running


def test_what_a_turn_has_begun_is_stopped_when_it_has_returned(returned: Session) -> None:
    assert returned.effects == (StopWork(returned.epoch), SetTimer(returned.now + GRACE / 2))
    record = returned.turn("t1")
    assert (record.status, record.cancellation, record.held) == (TurnStatus.RUNNING, None, False)
    assert state_name(returned.state) is SessionState.RUNNING


def test_it_ends_as_its_coroutine_did_without_a_cancellation(returned: Session) -> None:
    returned.now += 1.0
    record = returned.end(Returned("r"))
    assert (record.status, record.cancellation) == (TurnStatus.COMPLETED, None)
    assert isinstance(returned.state, Idle)


def test_a_coroutine_that_was_cancelled_by_itself_is_a_failure_then_too(returned: Session) -> None:
    assert returned.end(Stopped()).status is TurnStatus.FAILED


def test_what_does_not_stop_is_stopped_by_force_and_given_up(returned: Session) -> None:
    epoch = returned.epoch
    returned.wait(GRACE / 2)
    assert returned.effects == (StopWork(epoch, again=True), SetTimer(returned.now + GRACE / 2))
    returned.now += GRACE / 2
    left = Extras(still_running=StillRunning(threads=1))
    returned.tell(Tick(extras=left))
    assert returned.did() == [EndTurn, Quarantine]
    record = returned.one(EndTurn).record
    assert (record.status, record.cancellation, record.extras) == (TurnStatus.UNRESPONSIVE, None, left)
    returned.tell(TurnEnded(epoch, Returned("r")))
    assert returned.one(NoteLateEnd).late.outcome is TurnStatus.COMPLETED


def test_its_time_limit_has_been_met(session: Session) -> None:
    session.send("t1", timeout=1.0)
    session.tell(TurnReturned(session.epoch))
    assert session.wait(1.0) == (SetTimer(session.now + GRACE / 2 - 1.0),)


def test_a_stop_meanwhile_joins_the_ladder_and_is_noted(returned: Session) -> None:
    asker, epoch = returned.stop(), returned.epoch
    assert returned.effects == (NoteCancel(TurnId("t1"), USER, returned.now),)
    assert returned.turn("t1").status is TurnStatus.CANCELLING
    asked_at = returned.now
    returned.wait(GRACE / 2)
    again = CancelTurn(TurnId("t1"), epoch, USER, asked_at, again=True)
    assert returned.effects == (again, SetTimer(returned.now + GRACE / 2))
    record = returned.end(Returned("r"))
    assert (record.status, record.reason) == (TurnStatus.COMPLETED, USER)
    assert returned.answer(asker, CancelAnswer).verdict is Verdict.FINISHED_FIRST


def test_a_stop_of_what_does_not_stop_says_so(returned: Session) -> None:
    asker = returned.stop()
    returned.swallow()
    assert returned.answer(asker, CancelAnswer).verdict is Verdict.UNRESPONSIVE


def test_a_second_stop_is_not_noted(returned: Session) -> None:
    returned.stop(wait=False)
    returned.stop(wait=False)
    assert returned.all(NoteCancel) == []


def test_a_send_meanwhile_starts_when_nothing_runs_any_more(returned: Session) -> None:
    returned.send("t2")
    assert returned.did() == [NoteCancel, AnnounceQueued]
    record = returned.end(Returned("r"))
    assert (record.status, record.superseded_by) == (TurnStatus.COMPLETED, "t2")
    assert returned.all(StartTurn)


def test_a_send_that_rejects_is_refused_meanwhile(returned: Session) -> None:
    asker = returned.send("t2", strategy=Strategy.REJECT)
    returned.answer(asker, SessionBusy)


def test_a_send_that_rolls_back_meanwhile_has_it_undone(returned: Session) -> None:
    returned.send("t2", strategy=Strategy.ROLLBACK)
    assert returned.did() == [NoteUndo, NoteCancel, AnnounceQueued]
    returned.tell(TurnEnded(returned.epoch, Returned("r")))
    assert returned.one(WindUp).undo


def test_a_shutdown_meanwhile_shortens_the_ladder_and_is_not_noted(returned: Session) -> None:
    returned.shut(SHUTDOWN, 2.0)
    assert returned.did() == [SetTimer]
    assert returned.one(SetTimer).at == returned.now + 1.0
    returned.wait(1.0)
    returned.wait(1.0)
    assert returned.turn("t1").status is TurnStatus.UNRESPONSIVE


def test_a_restart_meanwhile_interrupts_it() -> None:
    session = Session(replace(LIMITS, durable=True, agents=frozenset({"coder"})))
    session.send("t1")
    session.tell(TurnReturned(session.epoch))
    session.load()
    record = session.turn("t1")
    assert (record.status, record.cancellation) == (TurnStatus.INTERRUPTED, None)


def test_the_return_of_a_turn_that_was_cancelled_changes_nothing(cancelling: Session) -> None:
    before = cancelling.state
    assert cancelling.tell(TurnReturned(cancelling.epoch)) == ()
    assert cancelling.state is before


def test_the_return_of_another_turn_is_counted(running: Session) -> None:
    assert running.tell(TurnReturned(running.epoch - 1)) == (CountStale(),)
    epoch = running.epoch
    running.end()
    assert running.tell(TurnReturned(epoch)) == (CountStale(),)


def test_its_times_count_from_when_it_is_in_force(returned: Session) -> None:
    before, after = returned.state, delayed(returned.state, 2.0)
    assert isinstance(before, Ending)
    assert isinstance(after, Ending)
    assert rung_due(after.phase) == rung_due(before.phase) + 2.0
