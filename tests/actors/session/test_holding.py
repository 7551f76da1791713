"""Getting hold of a session and letting go of it; its stories are in test_machine and test_restarts."""

import pytest

from tests.actors.session.alphabet import Address
from tests.actors.session.stories import CLOSE, SHUTDOWN, USER
from tests.turns import LIMITS, cancelling, memory, running, spec
from turnkeeper.actors.model.messages import Accepted, SessionView, Superseded
from turnkeeper.actors.model.policy import Policy
from turnkeeper.actors.model.records import Cancellation, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import OnRestart, StreamEnd, TurnStatus, Verdict
from turnkeeper.actors.session.effects import CloseStreams, EndTurn, NoteClosed, Reply, SetTimer, StartTurn
from turnkeeper.actors.session.holding import close, cut_off, drawn, end_waiting, let_go, may_run_again, start
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.record import record_of
from turnkeeper.actors.session.states import Closed, Closing, Holder, Idle, Running

TO = Address("the sender")
AGAIN = replace(LIMITS, agents=frozenset({"coder"}))


@pytest.mark.parametrize(
    ("last", "now", "epoch"), [(0, 1.5, 1500), (1499, 1.5, 1500), (1500, 1.5, 1501), (9000, 1.5, 9001)]
)
def test_an_epoch_is_the_clocks_and_larger_than_the_last(last: int, now: float, epoch: int) -> None:
    assert drawn(last, now) == epoch


@pytest.mark.parametrize("timeout", [None, 3.0])
def test_a_turn_starts_and_its_sender_is_answered_last(timeout: float | None) -> None:
    one, before = spec("t", timeout=timeout), Superseded(TurnId("s"), Verdict.CANCELLED, 1.0)
    state, effects = start(memory(last_epoch=7), one, 2.0, TO, before, 1.0, 2)
    assert state == Running(memory(last_epoch=7), Holder(one, 2000, 2.0, 1.0, 2), timeout and 5.0)
    assert effects[0] == StartTurn(one, 2000, 2.0, 1.0, 2)
    assert effects[1:-1] == (() if timeout is None else (SetTimer(5.0),))
    assert effects[-1] == Reply(TO, Accepted(one.session_id, one.turn_id, 2000, TurnStatus.RUNNING, before))


def test_a_turn_that_lets_go_leaves_an_idle_session() -> None:
    state = cancelling(running(spec(), memory=memory()), USER)
    record = record_of(state, TurnStatus.CANCELLED, 4.0)
    end = EndTurn(record, None)
    assert let_go(state, state.memory, record, [end], 4.0) == (Idle(state.memory), (end,))


@pytest.mark.parametrize(
    ("attempt", "waits", "again"),
    [(1, False, True), (2, False, True), (3, False, False), (3, True, True), (4, True, False)],
)
def test_a_turn_is_started_only_so_many_times(attempt: int, waits: bool, again: bool) -> None:
    one = spec(own_policy=Policy(on_restart=OnRestart.RERUN))
    turn = Waiting(one, attempt) if waits else Holder(one, 1, 1.0, None, attempt)
    assert may_run_again(memory(limits=AGAIN), turn) is again
    assert not may_run_again(memory(), turn)


def test_a_turn_that_is_cut_off_has_no_sender_any_more_and_uses_up_an_epoch() -> None:
    left, waiting = cut_off(Holder(replace(spec(), ended_to=TO), 1000, 1.0, 0.5, 1), memory(), 1.0)
    assert left == memory(last_epoch=1001)
    assert waiting == Waiting(spec(), 2, 0.5)


def test_the_end_of_a_turn_that_waits_has_an_id_only_if_it_had_been_started() -> None:
    asked = Cancellation(USER, 2.0)
    for attempt, epoch, began in ((1, None, False), (2, 2000, None)):
        waiting = Waiting(replace(spec(), ended_to=TO), attempt, 1.0)
        left, end = end_waiting(memory(last_epoch=9), waiting, TurnStatus.CANCELLED, 2.0, asked, TurnId("n"))
        record = end.record
        assert (record.epoch, record.began, record.attempt) == (epoch, began, attempt)
        assert (record.cancellation, record.superseded_by, record.queued_at) == (asked, "n", 1.0)
        assert (end.anew, end.ended_to) == (attempt == 2, TO)
        assert left.records == (record,)


@pytest.mark.parametrize(
    ("reason", "good", "text"), [(CLOSE, CLOSE, "Task finished"), (SHUTDOWN, None, "Server shutting down")]
)
def test_a_session_is_closed_for_good_or_for_now(reason: object, good: object, text: str) -> None:
    left = Line(Waiting(spec(), 2))
    closing = Closing(reason, (TO, None), good)  # type: ignore[arg-type]
    state, effects = close(memory(), closing, left, StreamEnd.TASK_FINISHED, 2.0)
    assert state == Closed(memory(), reason, good, left)  # type: ignore[arg-type]
    noted = [effect for effect in effects if isinstance(effect, NoteClosed)]
    assert len(noted) == (good is not None)
    assert effects[len(noted)] == CloseStreams(StreamEnd(text))
    (reply,) = effects[len(noted) + 1 :]
    assert isinstance(reply, Reply)
    assert isinstance(reply.answer, SessionView)
    assert [turn.turn_id for turn in reply.answer.queue] == ["t"]
