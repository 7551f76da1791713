"""The table is complete in kind, says each thing once, and a row knows a transition that is not its own."""

import typing
from itertools import product

import pytest

from tests.actors.session.search import start
from tests.turns import memory, record
from turnkeeper.actors.model.messages import CancelAnswer, Shut, Tick
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.words import CancelCode, Strategy, StreamEnd, Verdict
from turnkeeper.actors.session.effects import CloseStreams, CountStale, Effect, EndTurn, Reply, SetTimer
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.states import Closed, Idle, Running, State
from turnkeeper.actors.session.table.conditions import ALWAYS, INTERRUPTS, QUEUES, REJECTS, ROLLS_BACK
from turnkeeper.actors.session.table.rows import ROWS, Row

IDLE = start().state
REPLY, TIMER = Reply(None, CancelAnswer(Verdict.NOT_RUNNING)), SetTimer(1.0)


@pytest.mark.parametrize(
    ("state", "message"), list(product(typing.get_args(State), typing.get_args(Message)))
)
def test_every_message_has_a_row_in_every_state(state: type[State], message: type[Message]) -> None:
    assert any(row.state is state and row.message is message for row in ROWS)


def test_no_two_rows_of_a_state_and_message_are_under_the_same_condition() -> None:
    keys = [(row.state, row.message, row.when.text) for row in ROWS]
    assert len(keys) == len(set(keys))


def test_only_a_row_that_is_the_only_one_has_no_condition() -> None:
    for row in ROWS:
        alone = sum((other.state, other.message) == (row.state, row.message) for other in ROWS) == 1
        assert (row.when is ALWAYS) == alone == (row.when.text == ""), row


def test_every_effect_stands_in_the_table() -> None:
    done = {kind for row in ROWS for kind in (*row.must, *row.may)}
    assert done == set(typing.get_args(Effect))


def test_every_strategy_has_its_rows() -> None:
    """A member that is added to `Strategy` has to be given a condition, and rows."""
    asked = {
        Strategy.INTERRUPT: INTERRUPTS,
        Strategy.REJECT: REJECTS,
        Strategy.ENQUEUE: QUEUES,
        Strategy.COLLAPSE: QUEUES,
        Strategy.ROLLBACK: ROLLS_BACK,
    }
    assert set(asked) == set(Strategy)
    for condition in asked.values():
        (test,) = condition.tests
        assert {row.state for row in ROWS if test in row.when.tests} >= {Running}


def test_what_changes_nothing_refuses_answers_or_waits_on() -> None:
    for row in ROWS:
        if row.then is None:
            assert row.may == ()
            assert len(row.must) <= 1, row


STAYS = Row(Idle, Tick, "stays", ALWAYS, None, (Reply,))
CLOSES = Row(Idle, Shut, "closes", ALWAYS, Closed, (EndTurn, CloseStreams), (Reply,))
CLOSED = Closed(memory(), Reason(CancelCode.SESSION_CLOSED))


@pytest.mark.parametrize(
    ("row", "after", "effects", "fault"),
    [
        (STAYS, IDLE, (REPLY,), None),
        (STAYS, Idle(IDLE.memory), (REPLY,), "the session changes"),
        (STAYS, IDLE, (), "Reply is missing"),
        (STAYS, IDLE, (REPLY, REPLY), "Reply is out of place"),
        (STAYS, IDLE, (TIMER, REPLY), "SetTimer is out of place"),
        (CLOSES, IDLE, (), "the session is Idle, not Closed"),
        (CLOSES, CLOSED, (REPLY,), "EndTurn is missing"),
        (CLOSES, CLOSED, (CountStale(),), "CountStale is out of place"),
    ],
)
def test_a_row_knows_what_is_not_its_own(
    row: Row, after: State, effects: tuple[Effect, ...], fault: str | None
) -> None:
    assert row.fault(IDLE, after, effects) == fault


def test_what_a_row_may_do_comes_anywhere_and_what_it_must_in_its_order() -> None:
    end, close = EndTurn(record(), None), CloseStreams(StreamEnd.TASK_FINISHED)
    assert CLOSES.fault(IDLE, CLOSED, (REPLY, end, REPLY, close, REPLY)) is None
    assert CLOSES.fault(IDLE, CLOSED, (close, end)) == "CloseStreams is out of place"
    assert CLOSES.fault(IDLE, CLOSED, (end, end, close)) == "EndTurn is out of place"
