"""How a turn comes by a slot of the server's where its policy has it wait for one, and gives it back. Pure.

How many slots there are, who is next and why is not known here: `actors.admission` decides that. A session
asks with a ticket of its own and is granted that, or has asked in vain and gives it back; it has at most one.
"""

from typing import Final

from turnkeeper.actors.model.policy import STANDARD, Policy
from turnkeeper.actors.model.records import TurnSpec
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.value import replace, value
from turnkeeper.actors.model.words import OnCap, Strategy

from .effects import Decision, Effect, LeaveSlot
from .line import Line
from .states import Ending, Memory, Queued, Running, State

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us, and every turn passes here.
WAIT: Final = OnCap.WAIT
COLLAPSE: Final = Strategy.COLLAPSE
#: Mostly no turn waits whose agent has a cap: this very set stands for that, which is compared by identity.
NO_AGENTS: Final = frozenset[str]()


@value
class Slot:
    """A session's ticket, and the turn that it was asked for. ``granted``: whether that may run."""

    ticket: Ticket
    spec: TurnSpec
    granted: bool


def needs_slot(spec: TurnSpec) -> bool:
    """Whether the turn runs in a slot only."""
    policy = spec.head.own_policy
    return policy is not None and policy.on_cap is WAIT


def waits_for_a_moment(policy: Policy, not_before: float | None) -> bool:
    """Whether a send waits in an idle session, too: for that moment, or for others that are to join it."""
    return not_before is not None or (policy.strategy is COLLAPSE and policy.collapse_window > 0.0)


def is_beside(spec: TurnSpec) -> bool:
    """Whether the turn runs on the slot of another one, which has sent for it, and counts as no other."""
    return spec.head.parent is not None


def claim_of(owner: str, spec: TurnSpec) -> Claim:
    """What a turn claims that runs in a session of this owner's."""
    head = spec.head
    return Claim(owner, head.agent, (head.own_policy or STANDARD).priority)


def next_ticket(memory: Memory) -> Ticket:
    """The ticket of the session's next ask."""
    return Ticket(memory.home.session_id, memory.last_ticket + 1)


def drawn_ticket(memory: Memory) -> tuple[Memory, Ticket]:
    """A ticket that is never drawn again."""
    ticket = next_ticket(memory)
    return replace(memory, last_ticket=ticket.number), ticket


def slot_of(state: State) -> Slot | None:
    """The session's ticket, and what for, if it has one."""
    if type(state) is Running or type(state) is Ending:
        turn = state.turn
        return None if turn.ticket is None else Slot(turn.ticket, turn.spec, granted=True)
    if type(state) is Queued and state.asked is not None:
        front = state.line.front
        assert front is not None, "a slot is asked for the turn that is called up"
        return Slot(state.asked, front.spec, granted=False)
    return None


def waits_for_slots(state: Queued) -> bool:
    """Whether nothing of it is about to run: its next turn waits for a moment, or needs a slot."""
    first = state.line.next
    return first is None or state.asked is not None or needs_slot(first.spec)


def capped_agents(line: Line, holder: str | None = None) -> frozenset[str]:
    """The agents with a cap of turns in the line that ask for no slot, but for the ``holder``.

    `NO_AGENTS` itself where there are none with a cap.
    """
    found: tuple[str, ...] = ()
    for turn in line.turns:
        policy = turn.spec.head.own_policy
        if policy is not None and policy.max_of_agent is not None and policy.on_cap is not WAIT:
            found = (*found, turn.spec.agent)
    return frozenset(found) - {holder} if found else NO_AGENTS


def weight_of(state: Queued) -> tuple[bool, bool]:
    """Whether its next turn counts as one in flight already, and whether one has a slot to ask for still."""
    waits = waits_for_slots(state)
    delays = bool(state.line.later) or (waits and state.asked is None)
    return not waits and not is_beside(state.line.turns[0].spec), delays


def serves(slot: Slot, spec: TurnSpec) -> bool:
    """Whether a turn that takes the place of the one it was asked for may have it: if it claims the same."""
    mine, other = spec.policy, slot.spec.policy
    same = spec.head.agent == slot.spec.head.agent and mine.priority is other.priority
    return same and mine.on_cap is WAIT


def taken_or_left(decided: Decision, ticket: Ticket) -> Decision:
    """The same decision; a slot that was taken for a send and is not needed is given back."""
    after, effects = decided
    if type(after) is Running and after.turn.ticket is ticket:
        return decided  # the usual one without a call
    slot = slot_of(after)
    if slot is not None and slot.ticket == ticket:
        return decided
    # Drawn all the same: another send may be decided before this slot is given back.
    memory = replace(after.memory, last_ticket=ticket.number)
    return replace(after, memory=memory), (LeaveSlot(ticket), *effects)


def left(slot: Slot | None) -> tuple[Effect, ...]:
    """Give it back, granted or not."""
    return () if slot is None else (LeaveSlot(slot.ticket),)
