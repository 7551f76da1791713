"""What a session does with a cancel."""

from typing import Any

import pytest

from tests.actors.session.stories import ADMIN, POLICY, SHUTDOWN, USER, Session
from tests.turns import memory, spec
from tests.turns import running as running_state
from turnkeeper.actors.model.exceptions import NotYoursToStop
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    Stop,
    TurnEnded,
)
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import (
    Outcome,
    Raised,
    Returned,
    Stopped,
    TurnId,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Strategy, TurnStatus, Verdict, WhoMayStop
from turnkeeper.actors.session.effects import (
    CancelTurn,
    CloseStreams,
    EndTurn,
    NoteCancel,
    NoteEarlyCancel,
    Reply,
    SetTimer,
    StartTurn,
)
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.machine import step
from turnkeeper.actors.session.states import EarlyCancel, Ending, Idle, Running


def test_a_stop_cancels_and_is_answered_when_the_coroutine_has_ended(running: Session) -> None:
    asker = running.stop()
    assert running.did() == [CancelTurn, SetTimer]
    assert asker not in running.answers
    running.end(Stopped())
    assert running.did() == [EndTurn, Reply, CloseStreams]


def test_a_stop_that_does_not_wait_is_answered_requested(running: Session) -> None:
    answer = running.answer(running.stop(wait=False), CancelAnswer)
    assert answer.verdict is Verdict.REQUESTED
    assert answer.turn is not None
    assert answer.turn.status is TurnStatus.CANCELLING
    assert answer.settled_after_ms is None


@pytest.mark.parametrize("wait", [True, False])
def test_a_stop_of_an_idle_session_is_answered_not_running(session: Session, wait: bool) -> None:
    assert session.answer(session.stop(wait=wait), CancelAnswer) == CancelAnswer(Verdict.NOT_RUNNING)


def test_two_stops_are_one_stop(running: Session) -> None:
    first = running.stop()
    running.now += 1.0
    second = running.stop()
    assert running.effects == ()
    record = running.end(Stopped())
    assert running.answer(first, CancelAnswer) == CancelAnswer(Verdict.CANCELLED, record, 1000.0)
    assert running.answer(second, CancelAnswer) == CancelAnswer(Verdict.CANCELLED, record, 0.0)


def test_the_first_reason_is_the_turns_reason(running: Session) -> None:
    running.stop(reason=POLICY)
    running.stop(reason=USER)
    assert running.end(Stopped()).reason == POLICY


def test_a_second_stop_may_not_wait(running: Session) -> None:
    running.stop()
    assert running.answer(running.stop(wait=False), CancelAnswer).verdict is Verdict.REQUESTED


def test_many_stops_that_do_not_wait_are_remembered_once(running: Session) -> None:
    for _ in range(1000):
        running.stop(wait=False)
    assert isinstance(running.state, Ending)
    assert len(running.state.asks) == 1


def test_the_first_cancel_that_outlives_a_shutdown_is_noted(running: Session) -> None:
    running.shut(SHUTDOWN)
    running.stop(reason=SHUTDOWN)
    assert running.effects == ()
    running.stop(reason=ADMIN)
    assert running.effects == (NoteCancel(TurnId("t1"), ADMIN, running.now),)
    running.stop(reason=USER)
    assert running.effects == ()


def test_a_cancel_that_came_before_its_send_is_noted(running: Session) -> None:
    running.stop("t2")
    early = EarlyCancel(TurnId("t2"), USER, running.now)
    assert running.one(NoteEarlyCancel) == NoteEarlyCancel(early)


def test_an_unaimed_stop_drops_the_successor_too(running: Session) -> None:
    sender = running.send("t2")
    asker = running.stop()
    assert running.did() == [EndTurn, Reply]
    assert running.answer(sender, Accepted).status is TurnStatus.CANCELLED
    assert running.turn("t2").reason == USER
    record = running.end(Stopped())
    assert running.answer(asker, CancelAnswer).turn == record
    assert isinstance(running.state, Idle)


def test_a_stop_aimed_at_the_holder_leaves_the_successor(running: Session) -> None:
    running.send("t2")
    asker = running.stop("t1")
    assert running.effects == ()
    running.end(Stopped())
    assert running.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED
    assert running.one(StartTurn).spec.turn_id == "t2"
    assert not running.all(CloseStreams)


@pytest.mark.parametrize("wait", [True, False])
def test_a_stop_aimed_at_the_successor_drops_it_and_says_cancelled(running: Session, wait: bool) -> None:
    sender = running.send("t2")
    asker = running.stop("t2", wait=wait)
    answer = running.answer(asker, CancelAnswer)
    assert (answer.verdict, answer.turn, answer.settled_after_ms) == (
        Verdict.CANCELLED,
        running.turn("t2"),
        0.0,
    )
    assert running.answer(sender, Accepted).status is TurnStatus.CANCELLED
    running.end(Stopped())
    assert isinstance(running.state, Idle)
    assert running.one(CloseStreams).end == "Task cancelled", "a person stopped it, and nothing goes on"


@pytest.mark.parametrize("outcome", [Returned(), Raised(OSError()), Stopped()])
def test_a_stop_aimed_at_a_finished_turn_is_answered_with_how_it_ended(
    running: Session, outcome: Outcome
) -> None:
    record = running.end(outcome)
    answer = running.answer(running.stop("t1"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.FINISHED_FIRST, record, 0.0)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_late_stop_does_not_hit_the_successor(running: Session, stopped: bool) -> None:
    record = running.end()
    running.send("t2")
    if stopped:
        running.stop("t2", wait=False)
    before = running.state
    answer = running.answer(running.stop("t1"), CancelAnswer)
    assert answer == CancelAnswer(Verdict.FINISHED_FIRST, record, 0.0)
    assert running.state == before


def test_a_stop_aimed_at_a_quarantined_turn_is_answered_unresponsive_until_it_ends(running: Session) -> None:
    running.stop()
    epoch = running.swallow()
    assert running.answer(running.stop("t1"), CancelAnswer).verdict is Verdict.UNRESPONSIVE
    running.tell(TurnEnded(epoch, Returned()))
    assert running.answer(running.stop("t1"), CancelAnswer).verdict is Verdict.FINISHED_FIRST


def test_a_turn_can_be_stopped_without_a_reply_address(running: Session) -> None:
    running.tell(Stop(None, USER))
    running.end(Stopped())
    assert running.did() == [EndTurn, CloseStreams]


# -- Who may stop what --------------------------------------------------------------------------------

SENDER = WhoMayStop.SENDER


def sent_by_root(session: Session, turn_id: str, **more: Any) -> None:
    session.send(turn_id, user="root", who_may_stop=SENDER, wait=False, **more)


@pytest.mark.parametrize("aim", ["t1", None])
def test_a_turn_is_not_stopped_by_a_user_whom_its_policy_does_not_name(
    session: Session, aim: str | None
) -> None:
    sent_by_root(session, "t1")
    before = session.state
    refused = session.answer(session.stop(aim, asker="ada"), NotYoursToStop)
    assert refused.turn_id == "t1"
    assert session.state is before
    session.stop(aim, asker="root")
    assert session.did() == [CancelTurn, SetTimer]


def test_an_admin_stops_every_turn(session: Session) -> None:
    sent_by_root(session, "t1")
    session.stop(reason=ADMIN)
    assert session.did() == [CancelTurn, SetTimer]


def test_a_waiting_turn_is_not_dropped_by_a_user_who_may_not_stop_it(running: Session) -> None:
    sent_by_root(running, "t2")
    assert isinstance(running.answer(running.stop("t2", asker="ada"), NotYoursToStop), NotYoursToStop)
    running.stop("t2", asker="root")
    assert EndTurn in running.did()


def test_a_stop_without_a_name_leaves_the_turn_that_waits_to_those_who_may_stop_it(running: Session) -> None:
    sent_by_root(running, "t2")
    asker = running.stop(asker="ada")
    running.end(Stopped())
    assert running.answer(asker, CancelAnswer).verdict is Verdict.CANCELLED
    assert running.did() == [EndTurn, Reply, StartTurn]
    assert isinstance(running.state, Running)
    assert running.state.turn.spec.turn_id == "t2"


def test_a_clear_leaves_what_its_asker_may_not_stop(session: Session) -> None:
    """Not watched by the monitor: its letters know no line of three."""
    one, two, three = spec("t1"), spec("t2"), spec("t3", user="root", own_policy=Policy(who_may_stop=SENDER))
    line = Line(None, (Waiting(two), Waiting(three)))
    state = replace(running_state(one, memory=memory()), line=line)
    stop = Stop(TurnId("t1"), USER, clear=True, asker="ada")
    after, _ = step(state, stop, 5.0)
    assert isinstance(after, Ending)
    assert after.line == Line(None, (Waiting(three),))
    everything, _ = step(state, replace(stop, asker=None), 5.0)
    assert isinstance(everything, Ending)
    assert everything.line is None


def test_a_cancel_that_came_first_counts_only_for_a_turn_that_its_asker_may_stop(session: Session) -> None:
    session.stop("t1", asker="ada")
    sent_by_root(session, "t1", fingerprint=b"1")
    assert isinstance(session.state, Running)


def test_a_cancel_that_came_first_says_in_the_log_who_asked(session: Session) -> None:
    session.stop("t1", asker="ada")
    early = EarlyCancel(TurnId("t1"), USER, session.now, "ada")
    assert session.state.memory.early == (early,)
    assert session.effects[0] == NoteEarlyCancel(early)


@pytest.mark.parametrize(("wait", "kept"), [(True, ("t3",)), (False, ())])
def test_what_was_cleared_is_kept_for_an_asker_that_waits(running: Session, wait: bool, kept: Any) -> None:
    for _ in range(2):  # a cancel of a turn that runs, and of one that is on its way out
        running.send("t3", strategy=Strategy.ENQUEUE)
        running.stop(wait=wait, clear=True)
        assert isinstance(running.state, Ending)
        assert running.state.asks[-1].cleared == kept
