"""Stands in for fold and replay until they land. It goes then."""

from collections.abc import Iterable, Iterator

from turnkeeper.actors.events.event import Event, end_event, started_event
from turnkeeper.actors.model.messages import TurnEnd
from turnkeeper.actors.model.records import (
    Cancellation,
    KeptResult,
    Returned,
    SessionId,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session import states
from turnkeeper.actors.session.states import Limits

from .durable import Durable, OpenTurn
from .entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    SessionClosed,
    Spec,
    Started,
    Titled,
)


def _spec(spec: Spec, session_id: SessionId) -> TurnSpec:
    return TurnSpec(spec.head, session_id, spec.message, spec.timeout, spec.grace, size=spec.size)


def _ended(open_turn: OpenTurn | None, entry: Ended) -> TurnRecord:
    head = entry.head if open_turn is None else open_turn.spec.head
    assert head is not None
    result = None
    if entry.result_left_out:
        result = KeptResult(None, 0, left_out=True)
    elif entry.result is not None:
        result = KeptResult(entry.result, entry.result_size)
    return TurnRecord(
        head,
        None if open_turn is None else open_turn.epoch,
        entry.status,
        None if open_turn is None else open_turn.queued_at,
        None if open_turn is None else open_turn.started_at,
        entry.first_event_at,
        entry.cancellation,
        entry.at,
        entry.error,
        entry.superseded_by,
        None,
        entry.began,
        result,
    )


def fold(durable: Durable, entry: Entry, limits: Limits) -> Durable:
    """The durable state after an entry."""
    match entry:
        case Opened() | Titled() | Events():
            return durable
        case Accepted(spec, at):
            early = tuple(each for each in durable.early if each.turn_id != spec.head.turn_id)
            return replace(durable, waiting=OpenTurn(_spec(spec, SessionId("")), queued_at=at), early=early)
        case Started(turn_id, epoch, at, spec, attempt):
            known = [each for each in (durable.holder, durable.waiting) if each is not None]
            turn = next((each for each in known if each.spec.turn_id == turn_id), None)
            if turn is None:
                assert spec is not None
                turn = OpenTurn(_spec(spec, SessionId("")))
            waiting = durable.waiting
            if waiting is not None and waiting.spec.turn_id == turn_id:
                waiting = None
            turn = replace(turn, epoch=epoch, started_at=at, attempt=attempt)
            return replace(durable, holder=turn, waiting=waiting, last_epoch=max(epoch, durable.last_epoch))
        case CancelAsked(turn_id, reason, at):
            holder = durable.holder
            if holder is None or holder.spec.turn_id != turn_id or holder.cancellation is not None:
                return durable
            return replace(durable, holder=replace(holder, cancellation=Cancellation(reason, at)))
        case EarlyCancel(turn_id, reason, at):
            return replace(durable, early=(*durable.early, states.EarlyCancel(turn_id, reason, at)))
        case Ended(turn_id):
            holder, waiting = durable.holder, durable.waiting
            turn = None
            if holder is not None and holder.spec.turn_id == turn_id:
                turn, holder = holder, None
            elif waiting is not None and waiting.spec.turn_id == turn_id:
                turn, waiting = waiting, None
            record = _ended(turn, entry)
            early = tuple(each for each in durable.early if each.turn_id != turn_id)
            durable = replace(durable, holder=holder, waiting=waiting, early=early)
            if entry.status is TurnStatus.UNRESPONSIVE:
                return replace(durable, quarantined=(*durable.quarantined, record))
            return replace(durable, records=(*durable.records, record)[-limits.kept_turns :])
        case AttemptEnded(_, epoch):
            return replace(durable, last_epoch=max(epoch, durable.last_epoch))
        case EndedLate(turn_id, late):
            turns = [each for each in durable.quarantined if each.turn_id == turn_id]
            rest = tuple(each for each in durable.quarantined if each.turn_id != turn_id)
            late_ones = tuple(replace(each, ended_late=late) for each in turns)
            return replace(durable, quarantined=rest, records=(*durable.records, *late_ones))
        case SessionClosed(reason):
            return replace(durable, closed=reason)


def replay(entries: Iterable[Entry], session_id: SessionId) -> Iterator[Event]:
    """The numbered events of a log."""
    specs: dict[TurnId, TurnSpec] = {}
    durable = Durable("")
    limits = Limits(10**9, 10**12, 10**9, 10**12, 10**9, 10**9)
    for entry in entries:
        match entry:
            case Accepted(spec):
                specs[spec.head.turn_id] = _spec(spec, session_id)
            case Started(turn_id, epoch, _, spec):
                if spec is not None:
                    specs[turn_id] = _spec(spec, session_id)
                yield started_event(specs[turn_id], epoch, 65_536, 524_288)[0]
            case Events(epoch, n, events):
                for number, (name, data) in enumerate(events, n):
                    yield Event(name, epoch, number, bytes(data).decode())
            case Ended(turn_id, n=n) if n is not None:
                after = fold(durable, entry, limits)
                record = (*after.records, *after.quarantined)[-1]
                result = None if record.result is None else record.result.value
                outcome = Returned(result) if entry.status is TurnStatus.COMPLETED else None
                yield end_event(TurnEnd(record, outcome), n, 1_048_576)[0]
            case AttemptEnded(turn_id, epoch):
                yield Event("turn.interrupted", epoch, 0, "{}")
            case _:
                pass
        durable = fold(durable, entry, limits)
