"""Plants bugs among those who wait for a slot, and asks the search whether it finds them.

python -m tests.actors.session.planted_slots            all of them, as a table; fails if one is not found
python -m tests.actors.session.planted_slots "grant"    those whose names contain the text
"""

import sys

from tests.actors.session.planted import ROOM, said
from tests.planting import Bug, Check, report

BUGS = (
    # -- A slot that is not given back
    Bug(
        "a turn that is stopped goes on asking",
        "steps/stops",
        "effects = go(memory, line, now, None, slot_of(state))",
        "effects = go(memory, line, now)",
    ),
    Bug(
        "a close keeps the slot",
        "holding",
        "(*noted, *left(slot), ends, *answers)",
        "(*noted, ends, *answers)",
    ),
    Bug(
        "a turn that goes on elsewhere keeps its slot here",
        "holding",
        "StreamEnd.SHUTDOWN, now, slot_of(state))",
        "StreamEnd.SHUTDOWN, now)",
    ),
    Bug("a turn that has ended keeps its slot", "machine", "ticket = state.turn.ticket", "ticket = None"),
    Bug(
        "a cancelled turn keeps its slot",
        "holding",
        "go(memory, line, now, None, slot_of(state))",
        "go(memory, line, now, None)",
    ),
    Bug(
        "a slot that was taken for a send is kept though that does not need it",
        "machine",
        "return decided if message.granted is None else taken_or_left(decided, message.granted)",
        "return decided",
    ),
    Bug("a slot is given back twice", "slots", "(LeaveSlot(slot.ticket),)", "(LeaveSlot(slot.ticket),) * 2"),
    # -- Who has it
    Bug(
        "a turn starts without a slot",
        "holding",
        "if slot is not None or needs_slot(front.spec):",
        "if slot is not None:",
    ),
    Bug(
        "a slot passes to a turn that claims another",
        "slots",
        "same = spec.head.agent == slot.spec.head.agent and mine.priority is other.priority",
        "same = True",
    ),
    Bug(
        "the next one behind keeps the slot, and overtakes other sessions",
        "holding",
        "if slot is not None and was_called_up and serves(",
        "if slot is not None and serves(",
    ),
    Bug(
        "a successor does not get the slot of the turn that it takes the place of",
        "holding",
        "go(memory, line, now, superseded, slot_of(state))",
        "go(memory, line, now, superseded)",
    ),
    Bug(
        "a turn that takes the place of one that asks does so anew",
        "steps/places",
        "go(memory, line, now, superseded, slot_of(state))",
        "go(memory, line, now, superseded)",
    ),
    # -- Grants and tickets
    Bug("a grant is lost", "machine", "return granted(state, message.ticket, now)", "return state, ()"),
    Bug(
        "a late grant is believed",
        "machine",
        "if type(state) is Queued and state.asked == message.ticket:",
        "if type(state) is Queued and state.asked is not None:",
    ),
    Bug(
        "a tick starts a turn that waits for a slot",
        "machine",
        "    if state.asked is None and front is not None and (",
        "    if state.asked is not None:\n        return granted(state, state.asked, now)\n"
        "    if state.asked is None and front is not None and (",
    ),
    Bug("a tick has a turn ask again", "machine", "if state.asked is None and front is not None", "if front"),
    Bug(
        "a ticket is drawn twice",
        "slots",
        "return replace(memory, last_ticket=ticket.number), ticket",
        "return memory, ticket",
    ),
    Bug(
        "the ticket of a send that does not need its slot is drawn again",
        "slots",
        "replace(after.memory, last_ticket=ticket.number)",
        "after.memory",
    ),
    Bug(
        "an edit makes a turn forget that it asks",
        "steps/places",
        "return replace(state, memory=memory, line=line) if type(state) is Queued else Queued(memory, line)",
        "return Queued(memory, line)",
    ),
    # -- What is said of it
    Bug(
        "its sender is not answered", "holding", "effects = (ReplyPlaced(to, waits, ticket),)", "effects = ()"
    ),
    Bug(
        "its sender is answered twice",
        "holding",
        "replace(front, to=None, not_before=None)",
        "replace(front, not_before=None)",
    ),
    Bug(
        "the next one behind is not called up in the log",
        "holding",
        "moved = () if was_called_up else (MoveWaiting(front.spec.turn_id, Place.FRONT),)",
        "moved = ()",
    ),
    Bug(
        "a retry is answered without its place",
        "steps/gate",
        "if each.position == CALLED_UP and type(state) is Queued and state.asked is not None:",
        "if False:",
    ),
)
SEARCH = Check(ROOM, ("-m", "tests.actors.session.search", "--first", "--slots", "4"), said)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH))
