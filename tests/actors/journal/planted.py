"""Plants bugs in what is written of a session, and asks the search alone whether it finds them.

Each bug is a change of one place in `actors/journal`, made in a copy. What is only written twice does not
stand here, nor what a turn leaves in the conversation, because the search has none.

    python -m tests.actors.journal.planted              all of them, as a table; fails if one is not found
    python -m tests.actors.journal.planted "close"      those whose names contain the text
"""

import sys

from tests.actors.session.planted import SEARCH
from tests.planting import Bug, report

ROOM = "journal"

BUGS = (
    # -- What is written
    Bug("a shutdown's cancel is written", "derive", "and CAUSES[effect.reason.code].lasts", ""),
    Bug("no cancel is written", "derive", "if not effect.again and", "if effect.again and"),
    Bug("a turn that waited is written twice", "derive", "effect.queued_at is not None or", ""),
    Bug("the message of a turn is not written", "derive", "effect.queued_at is not None or", "True or"),
    Bug(
        "the head of a turn whose cancel came first is not written",
        "derive",
        "if record.epoch is None and record.queued_at is None else None",
        "if False else None",
    ),
    *(
        Bug(f"{what} is not written of an end", "derive", f"        {field}=record.{field},\n", "")
        for what, field in (
            ("the first event", "first_event_at"),
            ("the cancel", "cancellation"),
            ("the error", "error"),
            ("the successor", "superseded_by"),
            ("whether the agent began", "began"),
        )
    ),
    Bug("a result is not written", "derive", "result=sealed.result", "result=None"),
    Bug(
        "the size of a result is not written",
        "derive",
        "result is None or left_out else result.size",
        "True else 0",
    ),
    Bug("an early cancel is left out", "derive", "entries.append(EarlyCancel(", "_ = (EarlyCancel("),
    Bug("a late end is left out", "derive", "entries.append(EndedLate(", "_ = (EndedLate("),
    Bug("a close is left out", "derive", "entries.append(SessionClosed(", "_ = (SessionClosed("),
    Bug(
        "a cancel during a shutdown is left out",
        "derive",
        "type(effect) is NoteCancel:\n            entries.append(",
        "type(effect) is NoteCancel:\n            _ = (",
    ),
    # -- What is made of it
    Bug(
        "an early cancel counts for ever",
        "fold",
        "tuple(each for each in durable.early if each.turn_id != turn_id)",
        "durable.early",
    ),
    Bug(
        "a turn that waited goes on waiting",
        "fold",
        "turn, durable = waiting, _without(durable, waiting)",
        "turn = waiting",
    ),
    Bug(
        "a turn that was dropped goes on waiting",
        "fold",
        "durable = _without(durable, waiting)\n    elif",
        "pass\n    elif",
    ),
    Bug("a turn that has ended holds its session", "fold", "durable = replace(durable, holder=None)", "pass"),
    Bug(
        "a start draws no epoch",
        "fold",
        "holder=turn, last_epoch=entry.epoch)",
        "holder=turn)",
    ),
    Bug("a turn that was given up is over", "fold", "record.status is TurnStatus.UNRESPONSIVE", "False"),
    Bug(
        "a turn that was given up runs for ever",
        "fold",
        "_remembered(replace(durable, quarantined=rest), late",
        "_remembered(durable, late",
    ),
    Bug(
        "a late end is remembered as none",
        "fold",
        "late = replace(record, ended_late=entry.late)",
        "late = record",
    ),
    Bug("a turn that waited did not", "fold", "None if turn is None else turn.queued_at", "None"),
    Bug(
        "an edit of the turn that is called up is lost",
        "fold",
        "front = after if durable.front is before else durable.front",
        "front = durable.front",
    ),
    Bug("a session that was closed is open", "fold", "replace(durable, closed=reason)", "durable"),
    # -- What is to be there after a restart
    Bug(
        "a shutdown closes a session for good", "durable", "closed = state.for_good", "closed = state.reason"
    ),
    Bug(
        "a shutdown cancels a turn for good",
        "durable",
        "_first(lasting_cancel(state))",
        "_first(state.cancellation)",
    ),
    Bug("the ladder is gone on with", "durable", "_first(lasting_cancel(state))", "lasting_cancel(state)"),
    Bug(
        "a cancel is forgotten",
        "durable",
        "if asked is not None:",
        "if False:",
    ),
    Bug(
        "a turn that waits is forgotten",
        "durable",
        "front = None if durable.front is None else _waiting(durable.front)",
        "front = None",
    ),
    Bug("a closed session is opened", "durable", "if durable.closed is not None:", "if False:"),
    Bug(
        "an epoch is given away again",
        "durable",
        "memory = Memory(home, durable.last_epoch,",
        "memory = Memory(home, 0,",
    ),
)


if __name__ == "__main__":
    sys.exit(report(__doc__, BUGS, SEARCH._replace(room=ROOM)))
