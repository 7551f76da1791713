"""Critical sections of a turn, for whose end a cancel waits, as stories; the monitor watches each of them."""

import pytest

from tests.actors.session.steps.test_restarts import DURABLE
from tests.actors.session.stories import ADMIN, CLOSE, GRACE, SHUTDOWN, USER, Session
from turnkeeper.actors.model.exceptions import HoldRefused
from turnkeeper.actors.model.messages import (
    CancelAnswer,
    Hold,
    TurnEnded,
    TurnReturned,
    Unhold,
)
from turnkeeper.actors.model.records import Returned, Stopped
from turnkeeper.actors.model.words import SessionState, TurnStatus, Verdict
from turnkeeper.actors.session.effects import (
    AnnounceQueued,
    CancelTurn,
    EndTurn,
    HoldCancel,
    NoteCancel,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.ladder import delayed
from turnkeeper.actors.session.states import Ending, Held, Running
from turnkeeper.actors.session.steps.sections import MOST
from turnkeeper.actors.session.views import state_name, timeline

#: The `max_hold` and the `wind_grace` of every turn of these stories.
MAX_HOLD, WIND = 30.0, 5.0


@pytest.fixture
def held(running: Session) -> Session:
    """A session whose turn is in a critical section, which ends in 30 s, and was stopped by its user."""
    running.hold()
    running.stop("t1", wait=False)
    return running


# -- While nothing stops the turn ---------------------------------------------------------------------


def test_a_critical_section_is_granted_for_as_long_as_the_policy_says_at_most(running: Session) -> None:
    assert running.hold(1) == running.now + MAX_HOLD
    assert running.hold(2, 3.0) == running.now + 3.0
    assert running.hold(3, 99.0) == running.now + MAX_HOLD
    assert running.did() == [Reply]


def test_one_inside_another_one_ends_no_later(running: Session) -> None:
    outer = running.hold(1, 3.0)
    running.now += 2.0
    assert running.hold(2, inside=1) == outer
    assert running.hold(3, 0.5, inside=2) == running.now + 0.5


def test_a_turn_that_ends_in_a_critical_section_just_ends(running: Session) -> None:
    running.hold()
    assert running.end().status is TurnStatus.COMPLETED


def test_the_number_of_critical_sections_is_bounded(running: Session) -> None:
    for number in range(MOST):
        running.hold(number)
    assert isinstance(running.hold(MOST), HoldRefused)
    running.unhold(0)
    assert running.hold(0) == running.now + MAX_HOLD


def test_what_another_turn_says_changes_nothing(running: Session) -> None:
    running.hold()
    before, asker = running.state, running.ask(Hold(running.epoch - 1, 2))
    running.answer(asker, HoldRefused)
    running.ask(Unhold(running.epoch - 1, 1))
    assert running.did() == [Reply]
    assert running.state is before


def test_a_session_without_a_turn_grants_none(session: Session) -> None:
    session.answer(session.ask(Hold(1, 1)), HoldRefused)
    assert session.did() == [Refuse]


# -- A cancel waits -----------------------------------------------------------------------------------


def test_a_stop_waits_for_the_end_of_the_critical_section(running: Session) -> None:
    running.hold()
    asker = running.stop("t1")
    assert running.did() == [HoldCancel, SetTimer]
    assert running.one(SetTimer).at == running.now + MAX_HOLD
    assert state_name(running.state) is SessionState.CANCELLING
    record = running.turn("t1")
    assert (record.status, record.held, record.reason) == (TurnStatus.CANCELLING, True, USER)

    running.now += 2.0
    running.unhold()
    assert running.did() == [CancelTurn, SetTimer, Reply]
    cancel = running.one(CancelTurn)
    assert (cancel.held, cancel.again, cancel.asked_at) == (True, False, running.now - 2.0)
    assert running.one(SetTimer).at == running.now + GRACE / 2
    assert not running.turn("t1").held

    running.now += 1.0
    record = running.end(Stopped())
    assert (record.status, record.cancel_delivered_at) == (TurnStatus.CANCELLED, running.now - 1.0)
    assert [str(moment.step) for moment in timeline(record)] == [
        "submitted",
        "started",
        "cancel_requested",
        "cancel_delivered",
        "settled",
        "ended",
    ]
    answer = running.answer(asker, CancelAnswer)
    assert (answer.verdict, answer.settled_after_ms) == (Verdict.CANCELLED, 3000.0)


def test_an_answer_that_is_not_waited_for_says_that_the_cancel_waits(running: Session) -> None:
    running.hold()
    answer = running.answer(running.stop("t1", wait=False), CancelAnswer)
    assert answer.turn is not None
    assert (answer.verdict, answer.turn.held) == (Verdict.REQUESTED, True)


def test_a_cancel_waits_for_all_of_them(running: Session) -> None:
    running.hold(1)
    running.hold(2)
    running.stop("t1", wait=False)
    running.unhold(1)
    assert running.did() == [SetTimer, Reply]
    running.unhold(2)
    assert running.did() == [CancelTurn, SetTimer, Reply]


def test_at_the_limit_the_cancel_is_delivered_whatever_the_turn_does(held: Session) -> None:
    assert held.wait(MAX_HOLD - 1.0) == (SetTimer(held.now + 1.0),)
    held.wait(1.0)
    assert held.did() == [CancelTurn, SetTimer]
    held.unhold()
    assert held.did() == [Reply]


def test_each_section_holds_a_cancel_back_for_its_own_time_and_no_longer(running: Session) -> None:
    limit = running.hold(1, 3.0)
    running.hold(2)
    running.stop("t1", wait=False)
    running.unhold(2)
    assert running.one(SetTimer).at == limit
    running.wait(3.0)
    assert running.all(CancelTurn)


def test_the_end_of_the_last_one_in_time_delivers_the_cancel(running: Session) -> None:
    running.hold(1, 3.0)
    running.hold(2)
    running.stop("t1", wait=False)
    running.now += 4.0
    running.unhold(2)
    assert running.did() == [CancelTurn, SetTimer, Reply]


def test_one_whose_time_is_up_holds_nothing_back(running: Session) -> None:
    running.hold(1, 3.0)
    running.now += 3.0
    running.stop("t1", wait=False)
    assert running.did() == [CancelTurn, SetTimer, Reply]


def test_one_that_begins_while_a_cancel_waits_does_not_put_it_off(running: Session) -> None:
    limit = running.hold(1, 3.0)
    running.stop("t1", wait=False)
    running.now += 1.0
    assert running.hold(2) == limit
    assert running.hold(3, 0.5, inside=1) == running.now + 0.5
    assert running.did() == [Reply]
    running.wait(2.0)
    assert running.all(CancelTurn)


def test_after_the_cancel_was_delivered_every_critical_section_is_refused(held: Session) -> None:
    held.unhold()
    assert isinstance(held.hold(2), HoldRefused)
    held.wait(GRACE / 2)
    assert isinstance(held.hold(2), HoldRefused)


def test_no_more_may_begin_while_a_cancel_waits_either(running: Session) -> None:
    for number in range(MOST):
        running.hold(number)
    running.stop("t1", wait=False)
    assert isinstance(running.hold(MOST), HoldRefused)


def test_the_turn_may_finish_first(running: Session) -> None:
    running.hold()
    asker = running.stop("t1")
    record = running.end(Returned("r"))
    assert (record.status, record.cancel_delivered_at, record.held) == (TurnStatus.COMPLETED, None, False)
    assert running.answer(asker, CancelAnswer).verdict is Verdict.FINISHED_FIRST


def test_a_turn_that_returns_is_in_no_critical_section_any_more(held: Session) -> None:
    held.tell(TurnReturned(held.epoch))
    assert held.did() == [CancelTurn, SetTimer]


# -- Several cancels ----------------------------------------------------------------------------------


def test_a_second_stop_waits_as_well(held: Session) -> None:
    asker = held.stop("t1")
    assert held.effects == ()
    held.unhold()
    held.tell(TurnEnded(held.epoch, Stopped()))
    assert held.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED


def test_force_waits_for_nothing(running: Session) -> None:
    running.hold()
    running.stop("t1", ADMIN, wait=False, force=True)
    assert running.did() == [CancelTurn, SetTimer, Reply]
    assert not running.one(CancelTurn).held


def test_force_ends_the_wait_of_another_cancel_whose_reason_stays(held: Session) -> None:
    held.stop("t1", ADMIN, wait=False, force=True)
    assert held.did() == [CancelTurn, SetTimer, Reply]
    assert (held.one(CancelTurn).held, held.one(CancelTurn).reason) == (True, USER)


def test_a_send_that_supersedes_waits_too_and_starts_after_all_the_graces_at_most(running: Session) -> None:
    began = running.now
    running.hold()
    running.send("t2")
    assert running.did() == [HoldCancel, SetTimer, AnnounceQueued]
    running.wait(MAX_HOLD)
    running.wait(GRACE / 2)
    running.now += GRACE / 2
    running.tell(TurnEnded(running.epoch, Stopped(), winds=True))
    running.wait(WIND)
    assert running.did()[-2:] == [StartTurn, Reply]
    assert running.now == began + MAX_HOLD + GRACE + WIND


def test_the_end_of_its_time_waits_too(session: Session) -> None:
    session.send("t1", timeout=3.0)
    session.hold()
    session.wait(3.0)
    assert session.did() == [HoldCancel, SetTimer]
    assert session.one(SetTimer).at == session.now + MAX_HOLD - 3.0


# -- Closing ------------------------------------------------------------------------------------------


def test_a_close_waits_too(running: Session) -> None:
    running.hold()
    running.shut(CLOSE)
    assert running.did() == [HoldCancel, SetTimer]
    assert running.one(SetTimer).at == running.now + MAX_HOLD


@pytest.mark.parametrize("waits", [False, True], ids=["in a section", "a cancel waits already"])
def test_a_shutdown_leaves_the_sections_half_of_its_grace_and_the_ladder_the_other(
    running: Session, waits: bool
) -> None:
    running.hold()
    if waits:
        running.stop("t1", wait=False)
    began = running.now
    running.shut(SHUTDOWN, 2.0)
    assert running.one(SetTimer).at == began + 1.0
    running.wait(1.0)
    assert running.all(CancelTurn)
    running.wait(0.5)
    running.wait(0.5)
    assert running.one(EndTurn).record.status is TurnStatus.UNRESPONSIVE
    assert running.now == began + 2.0


def test_a_shutdown_leaves_no_section_more_time_than_it_had(running: Session) -> None:
    limit = running.hold(1, 0.5)
    running.shut(SHUTDOWN, 2.0)
    assert running.one(SetTimer).at == limit


# -- What is kept -------------------------------------------------------------------------------------


def test_a_cancel_that_waits_counts_after_a_restart() -> None:
    session = Session(DURABLE)
    session.send("t1")
    session.hold()
    session.stop("t1", wait=False)
    session.load()
    assert session.turn("t1").status is TurnStatus.INTERRUPTED
    assert session.turn("t1").reason == USER


def test_a_stop_of_a_turn_that_a_shutdown_stops_is_noted_while_that_waits() -> None:
    session = Session(DURABLE)
    session.send("t1")
    session.hold()
    session.shut(SHUTDOWN, 2.0)
    session.stop("t1", wait=False)
    assert session.did() == [NoteCancel, Reply]


def test_sections_end_at_the_moment_that_was_said_however_late_that_is_in_force(held: Session) -> None:
    before, after = held.state, delayed(held.state, 2.0)
    assert isinstance(before, Ending)
    assert isinstance(after, Ending)
    assert isinstance(after.phase, Held)
    assert after.phase == before.phase
    held.end()
    held.send("t2")
    held.hold()
    assert isinstance(held.state, Running)
    assert delayed(held.state, 2.0) == held.state
