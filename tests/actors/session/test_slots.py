"""Tickets: drawn once each, for the turn that asks, and for one in its place that claims the same."""

import pytest

from tests.turns import memory, spec
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import OnCap, Priority, TurnStatus
from turnkeeper.actors.session.effects import LeaveSlot
from turnkeeper.actors.session.line import Line, Waiting
from turnkeeper.actors.session.record import remember, unstarted
from turnkeeper.actors.session.slots import (
    Slot,
    claim_of,
    drawn_ticket,
    left,
    needs_slot,
    next_ticket,
    serves,
    slot_of,
    taken_or_left,
)
from turnkeeper.actors.session.states import Holder, Idle, Queued, Running

WAITS = Policy(on_cap=OnCap.WAIT)
TURN = spec("t1", own_policy=WAITS)
TICKET = Ticket(TURN.session_id, 1)


def test_a_turn_needs_a_slot_only_where_its_policy_has_it_wait_for_one() -> None:
    assert needs_slot(TURN)
    assert not needs_slot(spec("t1"))
    assert not needs_slot(spec("t1", own_policy=replace(STANDARD, queue_limit=3)))


def test_a_ticket_is_drawn_once() -> None:
    before = memory()
    after, ticket = drawn_ticket(before)
    assert ticket == next_ticket(before) == Ticket(before.home.session_id, 1)
    assert next_ticket(after) == Ticket(before.home.session_id, 2)


def test_the_end_of_a_turn_lets_no_ticket_come_again() -> None:
    """Else a grant that comes late would be taken for one of the ticket that was drawn after it."""
    asked, _ = drawn_ticket(memory())
    ended = remember(asked, unstarted(TURN, TurnStatus.CANCELLED, 1.0, None, 2.0), 2.0)
    assert next_ticket(ended).number == 2


def test_a_claim_is_the_owner_s_whoever_sends() -> None:
    turn = spec("t1", user="root", agent="coder", own_policy=replace(WAITS, priority=Priority.BACKGROUND))
    assert claim_of("ada", turn) == Claim("ada", "coder", Priority.BACKGROUND)


def test_a_session_has_a_ticket_while_it_asks_and_while_its_turn_runs() -> None:
    asks = Queued(memory(), Line(Waiting(TURN)), TICKET)
    runs = Running(memory(), Holder(TURN, 1, 1.0, ticket=TICKET), None)
    assert slot_of(asks) == Slot(TICKET, TURN, granted=False)
    assert slot_of(runs) == Slot(TICKET, TURN, granted=True)
    assert slot_of(Idle(memory())) is None
    assert slot_of(Queued(memory(), Line(Waiting(TURN)))) is None
    assert slot_of(Running(memory(), Holder(TURN, 1, 1.0), None)) is None


@pytest.mark.parametrize(
    ("agent", "policy", "same"),
    [
        ("default", WAITS, True),
        ("coder", WAITS, False),
        ("default", replace(WAITS, priority=Priority.INTERACTIVE), False),
        ("default", STANDARD, False),
    ],
)
def test_a_slot_is_for_a_turn_that_claims_the_same(agent: str, policy: Policy, same: bool) -> None:
    slot = Slot(TICKET, spec("t1", agent="default", own_policy=WAITS), granted=True)
    assert serves(slot, spec("t2", agent=agent, own_policy=policy)) is same


def test_a_slot_that_was_taken_for_a_send_and_not_used_is_given_back() -> None:
    runs = Running(memory(), Holder(TURN, 1, 1.0, ticket=TICKET), None)
    assert taken_or_left((runs, ()), TICKET) == (runs, ())
    left_over = Idle(memory(last_ticket=1)), (LeaveSlot(TICKET),)
    assert taken_or_left((Idle(memory()), ()), TICKET) == left_over
    assert left(None) == ()
    assert left(slot_of(runs)) == (LeaveSlot(TICKET),)
