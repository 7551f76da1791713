"""What a busy session does with a send, and with the turn that waits meanwhile."""

from copy import deepcopy

import pytest

from tests.actors.session.stories import GRACE, Session
from turnkeeper.actors.model.exceptions import SessionBusy
from turnkeeper.actors.model.messages import Accepted, Superseded
from turnkeeper.actors.model.records import Outcome, Raised, Reason, Returned, SessionId, Stopped, TurnId
from turnkeeper.actors.model.words import CancelCode, Strategy, TurnStatus, Verdict, WaitsFor
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    EndTurn,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.states import Queued


@pytest.mark.parametrize("state", ["running", "cancelling", "superseding"])
def test_a_rejecting_send_to_a_busy_session_is_refused(request: pytest.FixtureRequest, state: str) -> None:
    session: Session = request.getfixturevalue(state)
    asker = session.send("t9", strategy=Strategy.REJECT)
    assert session.answer(asker, SessionBusy).turn_id == "t1"


def test_an_interrupting_send_cancels_and_waits_in_line(running: Session) -> None:
    asker = running.send("t2")
    assert running.did() == [CancelTurn, SetTimer, AnnounceQueued]
    assert running.one(CancelTurn).reason == Reason(CancelCode.SUPERSEDED, "ada")
    queued = running.one(AnnounceQueued)
    assert (queued.spec.turn_id, queued.queued_at) == ("t2", running.now)
    assert asker not in running.answers


def test_a_send_in_line_starts_when_its_predecessor_has_settled(running: Session) -> None:
    asker = running.send("t2")
    running.now += 0.5
    record = running.end(Stopped())
    assert running.did() == [EndTurn, StartTurn, Reply]
    assert (record.status, record.superseded_by) == (TurnStatus.CANCELLED, "t2")
    accepted = running.answer(asker, Accepted)
    assert accepted.status is TurnStatus.RUNNING
    assert accepted.epoch == running.epoch
    assert accepted.superseded == Superseded(TurnId("t1"), Verdict.CANCELLED, 500.0)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(Returned(), Verdict.FINISHED_FIRST), (Raised(OSError()), Verdict.FINISHED_FIRST)],
)
def test_a_send_learns_that_its_predecessor_finished_first(
    running: Session, outcome: Outcome, verdict: Verdict
) -> None:
    asker = running.send("t2")
    running.end(outcome)
    superseded = running.answer(asker, Accepted).superseded
    assert superseded is not None
    assert superseded.verdict is verdict


def test_a_send_that_does_not_wait_learns_that_a_cancel_was_requested(running: Session) -> None:
    asker = running.send("t2", wait=False)
    superseded = Superseded(TurnId("t1"), Verdict.REQUESTED, None)
    expected = Accepted(
        SessionId("s"),
        TurnId("t2"),
        None,
        TurnStatus.QUEUED,
        superseded,
        position=0,
        waits_for=WaitsFor.SESSION_BUSY,
    )
    assert running.answer(asker, Accepted) == expected
    running.end(Stopped())
    assert running.one(StartTurn).spec.turn_id == "t2"


def test_a_send_after_a_stop_waits_for_the_same_end(cancelling: Session) -> None:
    cancelling.send("t2", wait=False)
    assert cancelling.did() == [AnnounceQueued, Reply]
    cancelling.end(Stopped())
    assert cancelling.one(StartTurn).spec.turn_id == "t2"


def test_of_three_quick_sends_the_last_one_runs(running: Session) -> None:
    """t2 is over before it began, and its sender hears of it; t1 is cancelled once."""
    second = running.send("t2")
    third = running.send("t3")
    assert running.did() == [EndTurn, Reply, AnnounceQueued]
    dropped = running.one(EndTurn).record
    assert (dropped.turn_id, dropped.status, dropped.epoch) == ("t2", TurnStatus.CANCELLED, None)
    assert (dropped.superseded_by, dropped.started_at) == ("t3", None)
    answer = running.answer(second, Accepted)
    assert answer.status is TurnStatus.CANCELLED
    assert answer.superseded == Superseded(TurnId("t1"), Verdict.REQUESTED, None)
    record = running.end(Stopped())
    assert record.superseded_by == "t3"
    assert running.answer(third, Accepted).status is TurnStatus.RUNNING


def test_a_successor_with_a_timeout_gets_its_whole_time(running: Session) -> None:
    running.send("t2", timeout=3.0)
    running.now += 2.0
    running.end(Stopped())
    assert running.one(SetTimer).at == running.now + 3.0


def test_a_successor_starts_after_a_quarantine_and_not_before(running: Session) -> None:
    asker = running.send("t2")
    running.wait(GRACE / 2)
    assert running.did() == [CancelTurn, SetTimer]
    running.wait(GRACE / 2)
    assert running.did() == [EndTurn, Quarantine, StartTurn, Reply]
    superseded = running.answer(asker, Accepted).superseded
    assert superseded == Superseded(TurnId("t1"), Verdict.UNRESPONSIVE, GRACE * 1000)


# -- For a moment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0.0, 1.0])
@pytest.mark.parametrize("state", ["session", "running", "superseding"])
@pytest.mark.parametrize("strategy", Strategy)
def test_one_that_is_sent_for_a_moment_which_has_come_is_sent_now(
    request: pytest.FixtureRequest, strategy: Strategy, state: str, late: float
) -> None:
    """It may have been on its way for so long."""
    session: Session = request.getfixturevalue(state)
    twin = deepcopy(session)
    session.send("t9", strategy=strategy, not_before=session.now - late)
    twin.send("t9", strategy=strategy)
    assert repr((session.state, session.effects)) == repr((twin.state, twin.effects))


def test_one_that_is_sent_for_a_later_moment_waits(session: Session) -> None:
    session.send("t9", not_before=session.now + 1.0)
    assert isinstance(session.state, Queued)
