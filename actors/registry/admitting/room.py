"""Whether there is room for a turn or its message, looked at when it is decided: many may be on their way."""

from typing import Any, Final

from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Rearrange, Submit
from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.slots import Ticket
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Layer, OnCap
from turnkeeper.actors.registry.directory import Directory
from turnkeeper.actors.session.line import Waiting
from turnkeeper.actors.session.slots import (
    capped_agents,
    claim_of,
    next_ticket,
    waits_for_a_moment,
    waits_for_slots,
)
from turnkeeper.actors.session.states import Ending, Idle, Memory, Queued, Running, State
from turnkeeper.actors.session.steps.joins import join
from turnkeeper.actors.session.views import line_of

from .slots import Slots

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us, and every send passes here.
WAIT: Final = OnCap.WAIT


def with_room(directory: Directory, slots: Slots, before: State, message: Submit) -> Submit:
    """The send, with a slot in which its turn may start, or with why there is no room for it, if so."""
    policy, ledger = message.spec.head.own_policy or STANDARD, directory.ledger
    if policy.on_cap is WAIT:
        return _with_slot(ledger, slots, before, message, policy)
    if message.spec.head.parent is not None:
        return _beside(ledger, before, message, policy)
    most, owner = policy.max_in_flight, before.memory.home.owner
    if policy.max_of_agent is None and ledger.is_roomy(owner, message.bounded, most):
        return message
    refusal = _no_room(directory, before, message, policy)
    return message if refusal is None else replace(message, no_room=refusal)


def undo_room(slots: Slots, before: Memory, after: Memory) -> None:
    """What was decided since then comes to nothing: give back the slots that were taken for it.

    The last one is that of a send that could not be decided, if it was one.
    """
    for number in range(before.last_ticket + 1, after.last_ticket + 2):
        slots.leave(Ticket(before.home.session_id, number))


def _beside(ledger: Ledger[Any], before: State, message: Submit, policy: Policy) -> Submit:
    """The send of a turn that runs on the slot of the one that sends: only its agent may have too many."""
    owner, bounded = before.memory.home.owner, message.bounded
    refusal = ledger.too_stubborn(owner, bounded=bounded) or ledger.no_byte(owner, bounded=bounded)
    if refusal is None:
        refusal = _no_turn_of(ledger, before, message, policy)
    return message if refusal is None else replace(message, no_room=refusal)


def with_bytes(ledger: Ledger[Any], before: State, message: Rearrange) -> Rearrange:
    """The edit, with why nothing more may be kept, if so."""
    no_byte = ledger.no_byte(before.memory.home.owner, bounded=message.bounded)
    return message if no_byte is None else replace(message, no_room=no_byte)


def _no_room(directory: Directory, before: State, message: Submit, policy: Policy) -> SessionError | None:
    """Why no other turn may start now. A turn that takes the place of another one needs none itself."""
    home, bounded = before.memory.home, message.bounded
    too_stubborn = directory.ledger.too_stubborn(home.owner, bounded=bounded)
    if too_stubborn is not None:
        return too_stubborn
    if type(before) is not Idle or home.session_id not in directory.opening:
        # Else its place was taken when the session was opened.
        no_turn = directory.ledger.no_turn(home.owner, bounded=bounded, most=policy.max_in_flight)
        if no_turn is not None and not _takes_a_place(before):
            return no_turn
        no_byte = directory.ledger.no_byte(home.owner, bounded=bounded)
        if no_byte is not None:
            return no_byte
    return _no_turn_of(directory.ledger, before, message, policy)


def _no_turn_of(ledger: Ledger[Any], before: State, message: Submit, policy: Policy) -> SessionError | None:
    """Why no other turn of its agent may start, unless it takes the place of one."""
    agent = message.spec.agent
    if policy.max_of_agent is None:
        return None
    holder = before.turn.spec.agent if isinstance(before, Running | Ending) else None
    line = line_of(before)
    if agent == holder or (line is not None and agent in capped_agents(line, holder)):
        return None
    return ledger.no_turn_of(agent, policy.max_of_agent)


def _takes_a_place(state: State) -> bool:
    """Whether the session counts already, so that another turn of it makes no difference."""
    return not (type(state) is Idle or (type(state) is Queued and waits_for_slots(state)))


def _with_slot(ledger: Ledger[Any], slots: Slots, before: State, message: Submit, policy: Policy) -> Submit:
    """The send of a turn that needs a slot: with one if it could start now, or with why it may not wait."""
    owner, spec, bounded = before.memory.home.owner, message.spec, message.bounded
    refusal = None
    if not ledger.is_roomy(owner, bounded, policy.max_in_flight):
        refusal = ledger.no_byte(owner, bounded=bounded) or ledger.too_stubborn(owner, bounded=bounded)
        if refusal is None and bounded and not _takes_a_place(before):
            refusal = _beyond_its_own_cap(ledger, owner, policy)
    if refusal is None and waits_for_a_moment(policy, message.not_before):
        line = line_of(before)
        if line is None or not line.later:  # else the session counts among those that wait for one
            refusal = slots.no_place(owner, bounded=bounded)
        if refusal is not None and _joins(before, message):
            refusal = None
    elif refusal is None and (type(before) is Idle or _is_free(before)):
        ticket = next_ticket(before.memory)
        if slots.take(ticket, claim_of(owner, spec)):
            return replace(message, granted=ticket)
        refusal = slots.no_place(owner, bounded=bounded)
    return message if refusal is None else replace(message, no_room=refusal)


def _joins(before: State, message: Submit) -> bool:
    """Whether the message becomes a part of one that waits, and so needs no place of its own."""
    if message.not_before is not None:
        return False
    spec = message.spec
    return join(before.memory, line_of(before), Waiting(spec), spec.submitted_at) is not None


def _beyond_its_own_cap(ledger: Ledger[Any], owner: str, policy: Policy) -> SessionError | None:
    """Why a send that brings a cap for its user starts nothing: a turn waits for a slot by the host's."""
    decided = policy.decided("max_in_flight")
    if decided.layer is not Layer.REQUEST or ledger.in_flight(owner) < decided.value:
        return None
    return ledger.no_turn(owner, bounded=True, most=decided.value)


def _is_free(state: State) -> bool:
    """Whether nothing but a missing slot is in the way of a turn that is sent where turns wait."""
    return type(state) is Queued and state.line.front is None
