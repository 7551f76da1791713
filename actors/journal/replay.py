"""What a session published, from its log: the events that its readers were sent. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from turnkeeper.actors.events.event import (
    END_NAMES,
    QUEUED,
    Event,
    cut_off_event,
    edited_event,
    end_event,
    started_event,
)
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import Returned, TurnRecord
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.states import Limits

from .durable import Durable, only_open, waiting_record, waiting_spec
from .entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Edited,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    Placed,
    SessionClosed,
    Started,
    Titled,
    UndoAsked,
    read,
)
from .fold import fold

#: Of what has ended only the last has to be remembered.
_THE_LAST: Final = Limits(
    kept_turns=1, turn_retention=0.0, early_cancels=1, early_cancel_ttl=0.0, quarantined=1, result=0
)


def replay(before: Durable, entries: Iterable[Entry], sizes: Sizes) -> Iterator[Event]:
    """The events of these entries, in order, also those without an id.

    ``before`` is what was durable before the first of them. Only the turns count that were open then: who
    knows these can replay any part of a log. Raises `ValueError` for an entry that cannot follow.
    """
    durable = only_open(before)
    for entry in entries:
        if isinstance(entry, Accepted | Placed | Edited | Started | Ended | AttemptEnded):
            durable = fold(durable, [entry], _THE_LAST)
        yield from _events(entry, durable, sizes)


def _events(entry: Entry, after: Durable, sizes: Sizes) -> Iterator[Event]:
    match entry:
        case Events(epoch, n, events):
            for number, (name, data) in enumerate(events, n):
                yield Event(name, epoch, number, bytes(data).decode())
        case Accepted(spec):
            yield Event(QUEUED, source=waiting_record(after, spec.head.turn_id))
        case Edited(turn_id, by=str(by)):
            yield edited_event(waiting_spec(after, turn_id), by, sizes.part, sizes.message)
        case Started(epoch=epoch, attempt=attempt):
            assert after.holder is not None, "it has just started"
            event, _ = started_event(after.holder.spec, epoch, sizes.part, sizes.message, attempt)
            yield event
        case Ended():
            yield _end(entry, after, sizes)
        case AttemptEnded(turn_id, kept=kept, from_start=from_start):
            yield cut_off_event(waiting_record(after, turn_id), kept, from_start=from_start)
        case Opened() | Titled() | Placed() | Edited() | CancelAsked() | UndoAsked() | EarlyCancel():
            pass
        case EndedLate() | SessionClosed():
            pass
        case _:
            assert_never(entry)


def _end(entry: Ended, after: Durable, sizes: Sizes) -> Event:
    record = _last(after, entry.status)
    if entry.n is None:
        return Event(END_NAMES[entry.status], source=record)
    if entry.status is TurnStatus.INTERRUPTED:
        return cut_off_event(record, entry.kept, entry.n)
    outcome = Returned(read(entry.result)) if entry.status is TurnStatus.COMPLETED else None
    event, _ = end_event(TurnEnd(record, outcome), entry.n, sizes.event)
    return event


def _last(after: Durable, status: TurnStatus) -> TurnRecord:
    return (after.quarantined if status is TurnStatus.UNRESPONSIVE else after.records)[-1]
