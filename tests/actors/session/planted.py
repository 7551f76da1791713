"""Plants bugs in the core, and asks the search alone whether it finds them.

Each bug is a change of one place in `actors/session`, made in a copy. No story is run: what a table row, the
monitor or the drain does not object to is not found. A bug that only costs a repetition of work, or that no
caller can see, does not stand here.

    python -m tests.actors.session.planted              all of them, as a table; fails if one is not found
    python -m tests.actors.session.planted "kept"       those whose names contain the text
"""

import sys

from tests.planting import Bug, Check, report

ROOM = "session"

BUGS = (
    # -- What is undone
    Bug(
        "undone: the next turn starts first",
        "steps/winding",
        "    after = replace(state, phase=phase)\n",
        "    return settle(state, phase, status, phase.outcome, now)\n"
        "    after = replace(state, phase=phase)\n",
    ),
    Bug(
        "undone: a hook that failed does not count",
        "steps/winding",
        "Rollback.PARTLY if message.failed else",
        "Rollback.DONE if message.failed else",
    ),
    Bug(
        "undone: what takes too long is not cut short",
        "steps/winding",
        "(CutWinding(state.turn.epoch), *effects)",
        "effects",
    ),
    Bug("undone: a shutdown leaves all its time", "steps/winding", "until = min(until, closing.by)", "pass"),
    Bug("undone: a late end is forgotten", "steps/winding", "replace(phase, late=message)", "phase"),
    Bug(
        "undone: a restart forgets it",
        "steps/restarts",
        "if message.winds or state.undo is not None:",
        "if message.winds:",
    ),
    Bug(
        "undone: it is said for each send",
        "steps/winding",
        "is not Ending or state.undo is not None or",
        "is not Ending or",
    ),
    Bug(
        "undone: the wish is not noted",
        "steps/winding",
        "(NoteUndo(state.turn.spec.turn_id, now), *effects)",
        "effects",
    ),
    # -- How long it took, and until when
    Bug("seconds for milliseconds", "holding", "(now - ask.at) * 1000.0", "now - ask.at"),
    Bug(
        "the wait of a send counts from the cancel",
        "holding",
        "now - front.spec.submitted_at",
        "now - state.cancellation.asked_at",
    ),
    Bug(
        "a second Stop counts from the first",
        "steps/stops",
        "    asked = replace(asked, asks=_joined(",
        "    now = asked.cancellation.asked_at\n    asked = replace(asked, asks=_joined(",
    ),
    Bug("a late tick lengthens the ladder", "ladder", "end_at if now < end_at else now", "now"),
    Bug(
        "a shutdown does not shorten the second rung",
        "ladder",
        "Again(min(end_at, now + grace))",
        "Again(end_at)",
    ),
    Bug(
        "a shutdown lengthens the grace",
        "ladder",
        "min(turn.spec.grace, grace)",
        "max(turn.spec.grace, grace)",
    ),
    Bug(
        "the first cancel forgets when it came",
        "ladder",
        "cancellation = Cancellation(reason, now)\n    if",
        "cancellation = Cancellation(reason, turn.started_at)\n    if",
    ),
    Bug(
        "the second cancel is not noted",
        "ladder",
        "replace(cancellation, again_at=now)",
        "cancellation",
    ),
    # -- What is refused
    Bug(
        "a precondition holds where nothing ran",
        "steps/gate",
        "current is not None and",
        "current is None or",
    ),
    Bug(
        "a precondition of a send without an id is not looked at",
        "steps/gate",
        "and message.if_match is None",
        "",
    ),
    Bug(
        "a send for which there is no room is taken", "steps/gate", "or _without_room(state, message, to)", ""
    ),
    Bug("a Stop's precondition is not looked at", "machine", "message.if_match is not None and", "False and"),
    Bug("the oldest turn is the current one", "views", "return max(started", "return min(started"),
    Bug(
        "a turn that never started is the current one", "views", "if record.epoch is not None)", "if record)"
    ),
    Bug(
        "one more turn may be given up",
        "steps/gate",
        "len(memory.quarantined) <",
        "len(memory.quarantined) <=",
    ),
    Bug(
        "one turn less may be given up",
        "steps/gate",
        "len(memory.quarantined) <",
        "len(memory.quarantined) + 1 <",
    ),
    Bug(
        "busy comes before closed",
        "steps/sends",
        "type(state) is Ending and state.closing is not None:",
        "type(state) is Ending and state.closing is not None and message.strategy is Strategy.INTERRUPT:",
    ),
    Bug(
        "another message under a known id is a retry",
        "steps/gate",
        "record.fingerprint != head.fingerprint",
        "record.fingerprint is None",
    ),
    Bug("a retry of a turn that only the log has starts it again", "steps/gate", " or message.past", ""),
    Bug(
        "a retry is looked at after its precondition",
        "steps/gate",
        "if record is None:\n",
        "if record is None or message.if_match is not None:\n",
    ),
    # -- What ends with a turn
    Bug("streams end as the last who asked wants", "holding", "ends_streams or CAUSES", "CAUSES"),
    Bug(
        "an admin's Stop leaves the streams open",
        "consequences",
        "ends_streams=True)",
        "ends_streams=code is CancelCode.USER_REQUEST)",
    ),
    Bug(
        "a client that has gone ends the streams",
        "consequences",
        "case CancelCode.USER_REQUEST |",
        "case CancelCode.CLIENT_DISCONNECTED | CancelCode.USER_REQUEST |",
    ),
    Bug(
        "a Stop of the waiting turn leaves the streams open",
        "steps/stops",
        "asks=_joined(after.asks, Ask(None, now, message.reason))",
        "asks=after.asks",
    ),
    Bug(
        "only the first Stop's reason is kept",
        "steps/stops",
        "any(other.reason.code is ask.reason.code for other in asks)",
        "asks",
    ),
    Bug(
        "a close hides a shutdown",
        "steps/closes",
        "closes_as is None else",
        "closes_as is not None else",
    ),
    Bug("a shutdown ends the streams as a close", "holding", ".closes_as or end)", " and end)"),
    Bug(
        "the sender is not told of the end",
        "holding",
        "EndTurn(record, outcome, state.turn.spec.ended_to)]",
        "EndTurn(record, outcome)]",
    ),
    Bug(
        "the sender of a dropped turn is not told of its end",
        "holding",
        "return remember(memory, record, now), EndTurn(record, None, spec.ended_to)\n    record",
        "return remember(memory, record, now), EndTurn(record, None)\n    record",
    ),
    Bug(
        "the sender of a turn cancelled early is not told of its end",
        "steps/gate",
        "EndTurn(record, None, spec.ended_to)",
        "EndTurn(record, None)",
    ),
    Bug(
        "the error of a cancelled turn is lost",
        "holding",
        "error_of(outcome) if status is TurnStatus.FAILED else None",
        "None",
    ),
    Bug(
        "the first event of a turn is lost",
        "holding",
        "= message.first_event_at, message.began, message.extras",
        "= None, message.began, message.extras",
    ),
    Bug(
        "whether a cancelled turn began is lost",
        "holding",
        "= message.first_event_at, message.began, message.extras",
        "= message.first_event_at, None, message.extras",
    ),
    Bug(
        "the result of a cancelled turn that had finished is lost",
        "holding",
        "    result = kept_result(outcome, state.memory)\n    first",
        "    result = None\n    first",
    ),
    Bug("a turn that only waited began", "record", "None if ended_at is None else False", "None"),
    Bug("a retry is not told whether its turn began", "steps/gate", "        began=record.began,\n", ""),
    # -- What is remembered
    Bug(
        "the record does not name the successor",
        "record",
        "superseded_by = line.front.spec.head.turn_id",
        "pass",
    ),
    Bug(
        "a dropped turn does not name the one that took its place",
        "steps/places",
        "dropped, now, spec.turn_id, holder, undo=undo)",
        "dropped, now, None, holder, undo=undo)",
    ),
    Bug(
        "the oldest records are kept",
        "record",
        "[len(records) - limits.kept_turns + 1 :]",
        "[: limits.kept_turns - 1]",
    ),
    Bug("one record more is kept", "record", "limits.kept_turns + 1 :]", "limits.kept_turns :]"),
    Bug("old records are kept", "record", "and first < oldest", "and first > now"),
    Bug("young records are let go of", "record", "kept.ended_at >= oldest", "kept.ended_at > now"),
    Bug(
        "the oldest early cancels are kept", "record", "[-limits.early_cancels :]", "[: limits.early_cancels]"
    ),
    Bug(
        "an early cancel is forgotten by number only",
        "record",
        "and cancel.asked_at < each.asked_at + limits.early_cancel_ttl",
        "",
    ),
    Bug("an early cancel stands there twice", "record", "each.turn_id != cancel.turn_id and", ""),
    Bug("an early cancel lasts a moment longer", "record", "now < early.asked_at", "now <= early.asked_at"),
    Bug("an early cancel hits every send", "record", "early.turn_id == turn_id and", ""),
    Bug(
        "a given-up turn that has ended counts for ever",
        "machine",
        "replace(memory, quarantined=rest)",
        "memory",
    ),
    Bug(
        "a given-up turn that has ended is called unresponsive",
        "steps/stops",
        "record.ended_late is None",
        "True",
    ),
    Bug(
        "a given-up turn that still runs is called finished",
        "steps/stops",
        "record.ended_late is None",
        "record.ended_late is not None",
    ),
    Bug(
        "a turn that was dropped did not wait",
        "holding",
        "unstarted(spec, status, turn.queued_at, asked",
        "unstarted(spec, status, None, asked",
    ),
    Bug(
        "a turn that waited did not wait",
        "holding",
        "front.to, superseded, front.queued_at, front.attempt, behind\n",
        "front.to, superseded, None, front.attempt, behind\n",
    ),
    # -- What is still there after a restart
    Bug(
        "a shutdown closes for good",
        "steps/closes",
        "reason if CAUSES[reason.code].lasts else None",
        "reason",
    ),
    Bug(
        "a shutdown hides a close for good",
        "steps/closes",
        "before.for_good or closing.for_good",
        "closing.for_good",
    ),
    Bug(
        "a close after a shutdown is not for good",
        "steps/closes",
        "before.for_good or closing.for_good",
        "before.for_good",
    ),
    Bug(
        "what a shutdown closed cannot be closed for good",
        "steps/closes",
        "if for_good is None or state.for_good is not None:",
        "if True:",
    ),
    Bug("a close is not noted", "holding", "() if closing.for_good is None else", "() and"),
    Bug("a late end is not noted", "machine", "(NoteLateEnd(record.turn_id, late),)", "()"),
    Bug(
        "an early cancel is not noted",
        "steps/stops",
        "(NoteEarlyCancel(early), Reply(to, answer))",
        "(Reply(to, answer),)",
    ),
    Bug(
        "a cancel during a shutdown is not noted",
        "steps/stops",
        "(NoteCancel(state.turn.spec.turn_id, reason, now),)",
        "()",
    ),
    Bug(
        "each cancel during a shutdown is noted",
        "steps/stops",
        "lasting_cancel(state) is not None or",
        "state.cancellation is None or",
    ),
    Bug("the second rung is a cancel of its own", "ladder", "asked_at, again=True", "asked_at"),
    Bug(
        "a turn starts at the moment of its send",
        "holding",
        "StartTurn(spec, epoch, now,",
        "StartTurn(spec, epoch, spec.submitted_at,",
    ),
    Bug(
        "a turn that waited starts as if it had not",
        "holding",
        "StartTurn(spec, epoch, now, queued_at, attempt)",
        "StartTurn(spec, epoch, now, None, attempt)",
    ),
    # -- After a restart
    Bug(
        "a turn is interrupted in the epoch that was cut off",
        "holding",
        "epoch=drawn(turn.epoch, now), rollback",
        "epoch=turn.epoch, rollback",
    ),
    Bug(
        "a turn is cut off in the epoch that was cut off", "holding", "drawn(turn.epoch, now))", "turn.epoch)"
    ),
    Bug(
        "a waiting turn ends in an epoch that was seen",
        "holding",
        "drawn(memory.last_epoch, now),\n        status",
        "memory.last_epoch,\n        status",
    ),
    Bug(
        "a turn is run again after its cancel",
        "holding",
        "not state.asks and lasting_cancel(state) is None and",
        "",
    ),
    Bug(
        "a turn is run again after its cancel and a restart",
        "steps/restarts",
        "after, effects = _recover_ending(state, message, now)",
        "after, effects = _recover_running(state, message, now)",
    ),
    Bug(
        "the turn that waits is lost at a restart",
        "steps/restarts",
        "_sifted(memory, state.line, now)\n    return let_go(",
        "_sifted(memory, None, now)\n    return let_go(",
    ),
    Bug(
        "the turn that waits is lost over a shutdown",
        "steps/closes",
        "return memory, line_of(replace(front, to=None), line.rest, line.later), (reply,)",
        "return memory, None, (reply,)",
    ),
    Bug("one attempt more", "holding", "attempt <= limits.attempts", "attempt <= limits.attempts + 1"),
    Bug(
        "an attempt is made at once",
        "machine",
        "(front.not_before is None or now >= front.not_before):\n        return go",
        "True:\n        return go",
    ),
    Bug(
        "the second attempt counts as the first",
        "holding",
        "turn.attempt + 1, turn.queued_at)",
        "turn.attempt, turn.queued_at)",
    ),
    Bug(
        "a turn ends with the process that only shuts down",
        "steps/winding",
        "if state.closing is not None and goes_on_elsewhere",
        "if False and goes_on_elsewhere",
    ),
    Bug(
        "a session closed for good hands its turn over",
        "holding",
        "closing.for_good is not None or",
        "",
    ),
    Bug("a turn is handed over that no journal has", "holding", "or not memory.home.limits.durable", ""),
    Bug(
        "a send to a waiting session says nothing of the turn that waited",
        "steps/places",
        "go(memory, line, now, superseded, slot_of(state))",
        "go(memory, line, now, None, slot_of(state))",
    ),
    Bug(
        "what was given up runs on after a restart",
        "steps/restarts",
        "memory = replace(memory, quarantined=())",
        "pass",
    ),
    Bug(
        "the waiting turn is dropped although its agent is there",
        "steps/restarts",
        "on_restart_of(turn.spec) is not None",
        "on_restart_of(turn.spec) is None",
    ),
    # -- Who may stop what
    Bug(
        "a turn is stopped by a user who may not",
        "machine",
        "if message.asker is not None and",
        "if message.asker is None and",
    ),
    Bug(
        "the owner may stop every turn, whatever its policy says",
        "rights",
        "asker == turn.head.user",
        "asker == owner",
    ),
    Bug(
        "a Stop takes a waiting turn with it that its asker may not stop",
        "steps/stops",
        "        if not may_stop(turn.spec, owner, asker):\n            line = without(line, turn)",
        "        pass",
    ),
    Bug(
        "a cancel before its send counts although its asker may not stop the turn",
        "steps/gate",
        " or not may_stop(spec, memory.home.owner, early.asker)",
        "",
    ),
    # -- Beside the messages
    Bug(
        "a failure forgets the turn that waits",
        "machine",
        "for queued in queued_turns(state):",
        "for queued in ():",
    ),
    Bug(
        "a failure forgets the turn in flight",
        "machine",
        "if isinstance(state, Running | Ending):\n        record =",
        "if isinstance(state, Running):\n        record =",
    ),
    Bug(
        "a failure forgets the turns that were given up",
        "machine",
        "for record in state.memory.quarantined:\n",
        "for record in ():\n",
    ),
    Bug(
        "a failure opens a closed session",
        "machine",
        "if type(state) is Closed else Idle(memory)",
        "if False else Idle(memory)",
    ),
    Bug(
        "a failure forgets who waits",
        "views",
        "owed += [ask.to for ask in state.asks]",
        "owed += [ask.to for ask in state.asks[:1]]",
    ),
    Bug(
        "a failure gives an epoch away again",
        "machine",
        "remember(memory, record, now)\n    return replace",
        "replace(remember(memory, record, now), last_epoch=0)\n    return replace",
    ),
)


def said(output: str) -> str:
    """What is wrong, which stands below the path to it; or the first row that is never taken."""
    lines = iter(output.splitlines())
    found = next((line for line in lines if line.startswith(("after ", "never "))), "")
    return next(lines, "") if found.startswith("after ") else found


SEARCH = Check(ROOM, ("-m", "tests.actors.session.search", "--first"), said)

if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH))
