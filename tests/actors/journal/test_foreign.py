"""What another process has appended is taken over, or the session is lost."""

import pytest

from tests.actors.session.stories import SHUTDOWN, START, Session
from turnkeeper.actors.journal.durable import durable
from turnkeeper.actors.journal.entries import CancelAsked, EarlyCancel, Started, Titled
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.journal.foreign import Diverged, taken_over
from turnkeeper.actors.model.messages import TurnReturned
from turnkeeper.actors.model.records import Cancellation, Reason, TurnId
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session.effects import CancelTurn, HoldCancel
from turnkeeper.actors.session.states import Asked, Ending, Held, Running

STOP = Reason(CancelCode.USER_REQUEST, "ada")


@pytest.fixture
def running() -> Running:
    session = Session()
    session.send("t1")
    assert isinstance(session.state, Running)
    return session.state


def test_a_cancel_of_the_turn_that_runs_here_is_delivered(running: Running) -> None:
    state, effects = taken_over(running, (CancelAsked(TurnId("t1"), STOP, START),), START)

    assert isinstance(state, Ending)
    assert state.cancellation == Cancellation(STOP, START)
    assert any(isinstance(effect, CancelTurn) for effect in effects)


def test_a_cancel_was_asked_for_when_the_log_says_and_its_grace_begins_when_it_is_known(
    running: Running,
) -> None:
    state, _ = taken_over(running, (CancelAsked(TurnId("t1"), STOP, START),), START + 5)

    assert isinstance(state, Ending)
    assert state.cancellation == Cancellation(STOP, START)
    assert state.phase == Asked(START + 5 + running.turn.spec.grace / 2, START + 5 + running.turn.spec.grace)


def test_a_cancel_of_a_turn_in_a_critical_section_waits_for_that() -> None:
    session = Session()
    session.send("t1")
    session.hold()
    state, effects = taken_over(session.state, (CancelAsked(TurnId("t1"), STOP, START),), START)

    assert isinstance(state, Ending)
    assert isinstance(state.phase, Held)
    assert any(isinstance(effect, HoldCancel) for effect in effects)


@pytest.mark.parametrize("how", ["it has returned by itself", "a shutdown stops it"])
def test_a_cancel_of_a_turn_that_is_on_its_way_out_counts_as_in_the_log(how: str) -> None:
    session = Session()
    session.send("t1")
    if how == "a shutdown stops it":
        session.shut(SHUTDOWN, 2.0)
    else:
        session.tell(TurnReturned(session.epoch))
    before, entries = session.state, (CancelAsked(TurnId("t1"), STOP, START),)
    state, effects = taken_over(before, entries, START + 5)

    assert durable(state) == fold(durable(before), entries, before.memory.home.limits)
    assert effects == ()
    assert taken_over(state, (CancelAsked(TurnId("t1"), STOP, START + 6),), START + 6) == (state, ())


def test_early_cancels_are_remembered_as_the_log_says(running: Running) -> None:
    limits = running.memory.home.limits
    entries = tuple(
        EarlyCancel(TurnId(f"t{n}"), STOP, START + at)
        for n, at in ((2, 0.0), (3, 1.0), (3, 2.0), (4, limits.early_cancel_ttl + 0.5))
    )
    state, _ = taken_over(running, entries, START + 100)

    assert state.memory.early == fold(durable(running), entries, limits).early


def test_a_cancel_of_another_turn_changes_nothing(running: Running) -> None:
    assert taken_over(running, (CancelAsked(TurnId("t0"), STOP, START),), START) == (running, ())


def test_an_early_cancel_is_remembered(running: Running) -> None:
    state, effects = taken_over(running, (EarlyCancel(TurnId("t2"), STOP, START),), START)

    assert [early.turn_id for early in state.memory.early] == ["t2"]
    assert effects == ()


def test_a_title_is_no_matter_of_the_session(running: Running) -> None:
    assert taken_over(running, (Titled("another"),), START) == (running, ())


def test_a_turn_that_runs_elsewhere_means_that_the_session_is_lost(running: Running) -> None:
    with pytest.raises(Diverged):
        taken_over(running, (Started(TurnId("t2"), 9, START),), START)


def test_nothing_that_another_has_written_means_that_the_log_is_gone(running: Running) -> None:
    with pytest.raises(Diverged):
        taken_over(running, (), START)
