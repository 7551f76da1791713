"""Plants bugs in how turns end: critical sections, what they have begun, and what their ends run.

As `planted`, but the search is that of the sessions and the small alphabets which are about that.

    python -m tests.actors.session.planted_ends              all of them, as a table
    python -m tests.actors.session.planted_ends "hold"       those whose names contain the text
"""

import sys

from tests.actors.session.planted import ROOM, said
from tests.planting import Bug, Check, report

BUGS = (
    # -- Critical sections: when they are granted
    Bug(
        "hold: it is granted after the cancel was delivered",
        "steps/sections",
        "    return refuse(state, to, too_late_to_hold())",
        "    return state, (Reply(to, now + 1.0),)",
    ),
    Bug(
        "hold: one too many is granted",
        "steps/sections",
        "len(state.sections) >= MOST",
        "len(state.sections) > MOST",
    ),
    Bug(
        "hold: one too many is granted while a cancel waits",
        "steps/sections",
        "len(phase.sections) >= MOST",
        "len(phase.sections) > MOST",
    ),
    Bug(
        "hold: it is granted to another turn",
        "steps/sections",
        "if type(state) is Running and state.turn.epoch == message.epoch:\n        if len",
        "if type(state) is Running:\n        if len",
    ),
    Bug(
        "hold: it is not noted",
        "steps/sections",
        "sections=(*state.sections, section)",
        "sections=state.sections",
    ),
    Bug(
        "hold: one for less time lasts as long as may be", "steps/sections", "min(message.span, most)", "most"
    ),
    Bug(
        "hold: one for more time lasts longer than may be",
        "steps/sections",
        "min(message.span, most)",
        "message.span",
    ),
    Bug(
        "hold: one inside another one lasts longer",
        "steps/sections",
        "            until = min(until, section.until)",
        "            pass",
    ),
    Bug(
        "hold: one that begins later extends the wait",
        "steps/sections",
        "min(section.until, phase.until))",
        "section.until)",
    ),
    Bug(
        "hold: its end is not answered",
        "steps/sections",
        "return delivered, (*effects, Reply(to))",
        "return delivered, effects",
    ),
    # -- How long a cancel waits for them
    Bug("hold: a cancel does not wait", "ladder", "    if state.sections:\n", "    if False:\n"),
    Bug("hold: force waits, too", "steps/stops", "    if message.force:\n", "    if False:\n"),
    Bug(
        "hold: force does not end the wait",
        "steps/stops",
        "if message.force and type(asked.phase) is Held:",
        "if False:",
    ),
    Bug(
        "hold: every Stop ends the wait",
        "steps/stops",
        "if message.force and type(asked.phase) is Held:",
        "if type(asked.phase) is Held:",
    ),
    Bug(
        "hold: the end of one ends the wait for another one",
        "steps/sections",
        "        if sections:\n            held",
        "        if False:\n            held",
    ),
    Bug(
        "hold: a cancel waits for one whose time is up",
        "steps/sections",
        "ladder.in_time(_without(phase.sections, message.number), now)",
        "_without(phase.sections, message.number)",
    ),
    Bug(
        "hold: a cancel is held back by one whose time was up",
        "ladder",
        "sections = in_time(state.sections, now)",
        "sections = state.sections",
    ),
    Bug(
        "hold: the next one's limit is forgotten",
        "steps/sections",
        "(SetTimer(ladder.next_due(held)), Reply(to))",
        "(Reply(to),)",
    ),
    Bug("hold: the limit is forgotten", "ladder", "(holds, SetTimer(next_due(ending)))", "(holds,)"),
    Bug(
        "hold: at its limit nothing happens",
        "ladder",
        "        case Held():\n            return deliver(state, phase, now)",
        "        case Held():\n            return state, (SetTimer(now + 1.0),)",
    ),
    Bug(
        "hold: the first limit ends the wait",
        "states",
        "return max([section.until",
        "return min([section.until",
    ),
    Bug(
        "hold: a shutdown leaves it all its time",
        "ladder",
        "min(section.until, until)) for section",
        "section.until) for section",
    ),
    Bug(
        "hold: a shutdown leaves it all of the grace",
        "ladder",
        "    until = now + grace / 2\n",
        "    until = now + grace\n",
    ),
    Bug(
        "hold: a shutdown leaves the ladder all of the grace",
        "ladder",
        "min(held.grace, grace / 2)",
        "min(held.grace, grace)",
    ),
    Bug(
        "hold: a shutdown leaves what waits already alone",
        "ladder",
        "            return _held_for_less(phase, now, grace)",
        "            return phase",
    ),
    Bug(
        "hold: the grace counts from the cancel and not from its delivery",
        "ladder",
        "Asked(now + held.grace / 2, now + held.grace)",
        "Asked(cancellation.asked_at + held.grace / 2, cancellation.asked_at + held.grace)",
    ),
    Bug(
        "hold: it is not said when the cancel was delivered",
        "ladder",
        "cancellation=replace(cancellation, delivered_at=now), phase",
        "phase",
    ),
    Bug(
        "hold: the cancel that waited is noted once more",
        "ladder",
        "cancellation.asked_at, held=True)",
        "cancellation.asked_at)",
    ),
    Bug(
        "hold: the record does not say so", "record", "status is None and type(state.phase) is Held", "False"
    ),
    Bug(
        "hold: the record says so after its end",
        "record",
        "status is None and type(state.phase) is Held",
        "type(state.phase) is Held",
    ),
    # -- What a turn has begun
    Bug(
        "work: a turn that has returned goes on holding its cancel back",
        "steps/winding",
        "        case Held():\n            return ladder.deliver(state, phase, now)",
        "        case Held():\n            return state, ()",
    ),
    Bug(
        "work: it is not stopped",
        "ladder",
        "(StopWork(turn.epoch), SetTimer(next_due(ending)))",
        "(SetTimer(next_due(ending)),)",
    ),
    Bug(
        "work: it is not stopped by force",
        "ladder",
        "(StopWork(turn.epoch, again=True), SetTimer(next_due(climbed)))",
        "(SetTimer(next_due(climbed)),)",
    ),
    Bug(
        "work: it is not looked at again",
        "ladder",
        "(StopWork(turn.epoch), SetTimer(next_due(ending)))",
        "(StopWork(turn.epoch),)",
    ),
    Bug(
        "work: a turn that has returned counts as cancelled",
        "ladder",
        "Ending(state.memory, turn, None, Asked(",
        "Ending(state.memory, turn, Cancellation(Reason(next(iter(CAUSES))), now), Asked(",
    ),
    Bug("work: those that wait are lost", "ladder", "now + span), (), state.line)", "now + span), (), None)"),
    Bug(
        "work: a Stop of a turn that has returned is not kept",
        "ladder",
        "if state.cancellation is not None:\n        return state, ()",
        "if True:\n        return state, ()",
    ),
    Bug(
        "work: a Stop of a turn that has returned is not noted",
        "ladder",
        "if CAUSES[reason.code].lasts else ()",
        "if False else ()",
    ),
    Bug(
        "work: a shutdown of a turn that has returned is noted",
        "ladder",
        "if CAUSES[reason.code].lasts else ()",
        "if True else ()",
    ),
    Bug(
        "work: a send that takes the place of a turn that has returned is not noted",
        "steps/places",
        "ending = asked, (*noted, *effects)",
        "ending = asked, effects",
    ),
    Bug(
        "work: a close of a turn that has returned is not noted",
        "steps/closes",
        "(*effects, *noted, SetTimer",
        "(*effects, SetTimer",
    ),
    Bug(
        "work: another turn's return stops it",
        "machine",
        "if type(state) is Running and state.turn.epoch == message.epoch:\n        return ladder.returned",
        "if type(state) is Running:\n        return ladder.returned",
    ),
    Bug(
        "work: extras of a turn that ends by itself are lost",
        "machine",
        "now, None, first, began, result, message.extras)",
        "now, None, first, began, result)",
    ),
    Bug(
        "work: extras of a turn that fails are lost",
        "machine",
        "error_of(outcome), first, began, None, message.extras)",
        "error_of(outcome), first, began)",
    ),
    Bug(
        "work: extras of a turn on its way out are lost",
        "holding",
        "first_event_at, began, result, extras)",
        "first_event_at, began, result)",
    ),
    # -- What the end of a turn runs
    Bug(
        "hooks: the session does not wait for them",
        "steps/winding",
        "if message.winds or state.undo",
        "if state.undo",
    ),
    Bug("hooks: a turn that ended by itself has none", "machine", "if message.winds:", "if False:"),
    Bug(
        "hooks: they are run of a turn that goes on elsewhere",
        "steps/winding",
        "    if state.closing is not None and goes_on_elsewhere(state, outcome):\n"
        "        return hand_over(state, state.closing, outcome, now)\n"
        "    if message.winds or state.undo is not None:\n"
        "        return begin(state, status, now, message)\n",
        "    if message.winds or state.undo is not None:\n"
        "        return begin(state, status, now, message)\n"
        "    if state.closing is not None and goes_on_elsewhere(state, outcome):\n"
        "        return hand_over(state, state.closing, outcome, now)\n",
    ),
    Bug(
        "hooks: a turn goes on elsewhere whose hooks have run",
        "steps/winding",
        "    if phase.status is not INTERRUPTED:\n",
        "    if state.closing is not None and goes_on_elsewhere(state, phase.outcome):\n"
        "        return hand_over(state, state.closing, phase.outcome, now)\n"
        "    if phase.status is not INTERRUPTED:\n",
    ),
    Bug(
        "hooks: one that failed makes the turn fail",
        "steps/winding",
        "    phase = _knowing(phase, message.children)\n",
        "    phase = replace(phase, status=FAILED) if message.failed else phase\n",
    ),
    Bug(
        "hooks: a turn whose hooks are cut off is unresponsive",
        "steps/winding",
        "after, effects = _over(state, phase, Rollback.PARTLY, now)",
        "phase = replace(phase, status=UNRESPONSIVE, outcome=None)\n"
        "        after, effects = _over(state, phase, Rollback.PARTLY, now)",
    ),
    Bug(
        "hooks: the turn is called undone that was not to be",
        "steps/winding",
        "undone = rollback if state.undo is not None else None",
        "undone = rollback",
    ),
    Bug(
        "hooks: they are told to undo what is not to be undone",
        "steps/winding",
        "undo=state.undo is not None)",
        "undo=True)",
    ),
    Bug(
        "hooks: a turn is to be undone whose hooks run already",
        "steps/winding",
        " or type(state.phase) is Winding:\n        return decided",
        ":\n        return decided",
    ),
    Bug("hooks: they may run for ever", "steps/winding", "now + turn.spec.policy.wind_grace", "now + 1e6"),
    Bug(
        "hooks: they are not waited for after a restart",
        "steps/restarts",
        "if message.winds or state.undo",
        "if state.undo",
    ),
    Bug(
        "hooks: they are not run of a turn that a restart interrupts",
        "steps/restarts",
        "    elif message.winds:\n",
        "    elif False:\n",
    ),
    Bug(
        "hooks: they are run of a turn that is run again after a restart",
        "steps/restarts",
        "    if may_run_again(state.memory, turn):\n        memory, waiting",
        "    if not message.winds and may_run_again(state.memory, turn):\n        memory, waiting",
    ),
    Bug(
        "hooks: the record they get does not have the extras",
        "steps/winding",
        "phase.began, result, phase.extras)\n    after",
        "phase.began, result)\n    after",
    ),
    Bug(
        "hooks: the extras are lost meanwhile",
        "steps/winding",
        "Winding(until, status, outcome, extras=message.extras)",
        "Winding(until, status, outcome)",
    ),
    Bug(
        "restart: what the log has of a turn that was cut off is lost",
        "steps/restarts",
        "memory, ended = interrupted(state, now, extras=message.extras)",
        "memory, ended = interrupted(state, now)",
    ),
    Bug(
        "restart: what the log has of a turn that was cut off and cancelled is lost",
        "steps/restarts",
        "memory, end = interrupted(state, now, extras=message.extras)",
        "memory, end = interrupted(state, now)",
    ),
    Bug(
        "restart: what the log has of a turn that was cut off is lost while its hooks run",
        "steps/winding",
        "Rollback.PARTLY, phase.extras)",
        "Rollback.PARTLY)",
    ),
    Bug(
        "hooks: a late end is called stale",
        "steps/winding",
        "if phase.status is not UNRESPONSIVE or phase.late",
        "if True or phase.late",
    ),
    # -- Children
    Bug(
        "children: a turn that has ended but for them is unresponsive",
        "steps/winding",
        "message if message.ended is None else message.ended, now)",
        "message, now)",
    ),
)
SEARCH = Check(ROOM, ("-m", "tests.actors.session.search", "--first", "--ends", "5"), said)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH))
