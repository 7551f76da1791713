"""What of a session is left after a restart."""

import pytest

from tests.actors.session.stories import ADMIN, CLOSE, GRACE, SHUTDOWN, START, USER, Session
from tests.turns import LIMITS, memory, record, running, spec
from turnkeeper.actors.journal.durable import Durable, OpenTurn, durable, restored
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import Submit
from turnkeeper.actors.model.records import (
    Cancellation,
    KeptResult,
    Reason,
    SessionId,
    Stopped,
    TurnOptions,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Strategy
from turnkeeper.actors.session.machine import step
from turnkeeper.actors.session.states import Asked, Closed, Ending, Home, Idle, Running

HOME = Home(SessionId("s"), "ada", LIMITS)
EPOCH = int(START * 1000)


def test_a_turn_is_left_without_its_addresses_and_options() -> None:
    sent = replace(spec("t1"), options=TurnOptions(3), ended_to=object())
    state = running(sent, 7, started_at=2.0, queued_at=1.0, memory=memory())
    assert durable(state).holder == OpenTurn(spec("t1"), 7, 2.0, 1.0)


def test_of_a_message_there_is_left_what_json_says() -> None:
    sent = spec("t1", message=[{"type": "text", "text": "é", "n": (1, 2)}])
    left = durable(running(sent, memory=memory())).holder
    assert left is not None
    assert left.spec.message == [{"type": "text", "text": "é", "n": [1, 2]}]


def test_a_message_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(EventNotJson):
        durable(running(spec("t1", message=object()), memory=memory()))


@pytest.mark.parametrize(
    ("result", "left"),
    [
        (KeptResult({"n": (1,)}, 9), KeptResult({"n": [1]}, 9)),
        (KeptResult("é", 9), KeptResult("é", 9)),
        (KeptResult(object(), 9), KeptResult(None, 0, left_out=True)),
        (KeptResult(None, 0, left_out=True), KeptResult(None, 0, left_out=True)),
        (None, None),
    ],
)
def test_of_a_result_there_is_left_what_json_says(result: KeptResult | None, left: KeptResult | None) -> None:
    kept = durable(Idle(memory(records=(record("t1", result=result),)))).records
    assert kept == (record("t1", result=left),)


def test_of_a_cancel_there_is_left_that_it_was_asked_for(running: Session) -> None:
    running.stop()
    running.wait(GRACE / 2)
    left = durable(running.state).holder
    assert left is not None
    assert left.cancellation == Cancellation(USER, START)


def test_what_a_shutdown_asks_for_is_not_left(running: Session) -> None:
    running.shut(SHUTDOWN)
    left = durable(running.state).holder
    assert left is not None
    assert left.cancellation is None
    running.now += 1.0
    running.stop(reason=ADMIN)
    left = durable(running.state).holder
    assert left is not None
    assert left.cancellation == Cancellation(ADMIN, START + 1.0)
    running.end(Stopped())
    assert durable(running.state).closed is None


def test_a_session_that_was_closed_is_closed_after_a_restart(session: Session) -> None:
    session.shut(CLOSE)
    assert durable(session.state).closed == CLOSE
    assert restored(durable(session.state), HOME) == Closed(memory(), CLOSE, CLOSE)


def test_a_turn_that_holds_its_session_still_does_after_a_restart(session: Session) -> None:
    session.send("t1", timeout=9.0)
    state = restored(durable(session.state), HOME)
    assert isinstance(state, Running)
    assert (state.turn.spec.turn_id, state.turn.epoch, state.deadline) == ("t1", EPOCH, START + 9.0)


def test_a_cancel_and_a_turn_that_waits_are_still_there_after_a_restart(running: Session) -> None:
    running.send("t2")
    state = restored(durable(running.state), HOME)
    assert isinstance(state, Ending)
    assert state.line is not None
    assert state.line.front is not None
    assert (state.line.front.spec.turn_id, state.line.front.queued_at) == ("t2", START)
    assert state.cancellation == Cancellation(Reason(CancelCode.SUPERSEDED, "ada"), START)
    assert state.phase == Asked(START + GRACE / 2, START + GRACE)


def test_a_turn_that_made_way_during_a_shutdown_is_still_cancelled_after_a_restart(running: Session) -> None:
    running.stop(reason=SHUTDOWN)
    running.send("t2")
    state = restored(durable(running.state), HOME)
    assert isinstance(state, Ending)
    assert state.cancellation.reason == Reason(CancelCode.SUPERSEDED, "ada")


def test_a_session_at_rest_counts_its_results_after_a_restart() -> None:
    records = tuple(record(f"t{n}", n, result=KeptResult("r", 50)) for n in (1, 2))
    state = restored(durable(Idle(memory(records=records, last_epoch=2, results=100))), HOME)
    assert state == Idle(memory(records=records, last_epoch=2, results=100))


def test_an_epoch_that_was_drawn_does_not_come_again_after_a_restart(running: Session) -> None:
    left = durable(running.state)
    assert left.last_epoch == EPOCH
    resting = restored(replace(left, holder=None), HOME)
    after, _ = step(resting, Submit(spec("t2"), Strategy.INTERRUPT), START - 100.0)
    assert isinstance(after, Running)
    assert after.turn.epoch == EPOCH + 1


@pytest.mark.parametrize("turn", [OpenTurn(spec("t1")), OpenTurn(spec("t1"), 7)])
def test_a_turn_that_has_not_started_cannot_hold_a_session(turn: OpenTurn) -> None:
    with pytest.raises(ValueError, match="t1 holds the session, and has not started"):
        restored(Durable(SessionId("s"), "ada", holder=turn), HOME)
