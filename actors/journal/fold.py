"""What a session's log says of it: its entries, one after the other. Pure.

Folding the entries of a decision into what was durable before gives what is durable after it: `step`,
`derive` and `fold` are held to that at every transition there is.
"""

from collections.abc import Iterable
from typing import assert_never

from turnkeeper.actors.model.frozen import frozen
from turnkeeper.actors.model.records import Cancellation, Epoch, KeptResult, TurnHead, TurnId, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Place, TurnStatus
from turnkeeper.actors.session.record import remember, remember_cancel
from turnkeeper.actors.session.states import EarlyCancel as Early
from turnkeeper.actors.session.states import Home, Limits, Memory
from turnkeeper.actors.turn.changes import Changes
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound

from .durable import Durable, OpenTurn, waiting_turns
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
    turn_spec,
)


def fold(durable: Durable, entries: Iterable[Entry], limits: Limits) -> Durable:
    """What is durable after these entries. It remembers as much as a session with these limits.

    Raises `ValueError` for an entry that cannot follow what is durable.
    """
    for entry in entries:
        durable = _after(durable, entry, limits)
    return durable


def fold_kept(kept: Kept, ended: Ended, epoch: Epoch | None, bound: Bound) -> Kept:
    """What is kept of the conversation after the end of a turn, which started in that epoch."""
    keep = kept.transcript.count if ended.keep is None else ended.keep
    add = () if ended.add is None else tuple(map(frozen, read(ended.add)))
    data = None if ended.data is None else read(ended.data)
    cursor = f"{epoch if ended.epoch is None else ended.epoch}-{ended.n}"
    return kept.after(Changes(keep, add, data), bound, cursor)


def _after(durable: Durable, entry: Entry, limits: Limits) -> Durable:
    match entry:
        case Opened(owner):
            return replace(durable, owner=owner)
        case Titled() | Events():
            return durable
        case Accepted(spec, at, place, not_before):
            turn = OpenTurn(turn_spec(spec, durable.session_id), queued_at=at, not_before=not_before)
            return _placed(durable, turn, place)
        case Placed(turn_id, place, first, not_before):
            waiting = _waiting(durable, turn_id)
            if waiting is None:
                raise ValueError(f"turn {turn_id} is moved, which does not wait")
            moved = replace(waiting, not_before=not_before)
            return _placed(_without(durable, waiting), moved, place, first=first)
        case Edited():
            return _edited(durable, entry)
        case Started():
            return _started(durable, entry)
        case CancelAsked(turn_id, reason, at):
            holder = _holder(durable, turn_id)
            return replace(durable, holder=replace(holder, cancellation=Cancellation(reason, at)))
        case UndoAsked(turn_id, at):
            return replace(durable, holder=replace(_holder(durable, turn_id), undo=at))
        case EarlyCancel():
            return _cancelled_early(durable, entry, limits)
        case Ended():
            return _ended(durable, entry, limits)
        case AttemptEnded(turn_id, epoch):
            holder = _holder(durable, turn_id)
            again = replace(holder, epoch=None, started_at=None, attempt=holder.attempt + 1)
            return replace(durable, holder=None, front=again, last_epoch=epoch)
        case EndedLate():
            return _ended_late(durable, entry, limits)
        case SessionClosed(reason):
            return replace(durable, closed=reason)
        case _:
            assert_never(entry)


def _holder(durable: Durable, turn_id: TurnId) -> OpenTurn:
    holder = durable.holder
    if holder is None or holder.spec.turn_id != turn_id:
        raise ValueError(f"turn {turn_id} does not hold the session")
    return holder


def _waiting(durable: Durable, turn_id: TurnId) -> OpenTurn | None:
    return next((turn for turn in waiting_turns(durable) if turn.spec.turn_id == turn_id), None)


def _placed(durable: Durable, turn: OpenTurn, place: Place, *, first: bool = False) -> Durable:
    """It waits there: as the first or the last one, and for a moment in the order of those."""
    turn = replace(turn, collects=place is Place.WINDOW)
    match place:
        case Place.FRONT:
            if durable.front is not None:
                raise ValueError(f"turn {turn.spec.turn_id} is called up, and another one is already")
            return replace(durable, front=turn)
        case Place.REST:
            return replace(durable, rest=(turn, *durable.rest) if first else (*durable.rest, turn))
        case Place.LATER | Place.WINDOW:
            later = sorted((*durable.later, turn), key=lambda each: each.not_before or 0.0)
            return replace(durable, later=tuple(later))
        case _:
            assert_never(place)


def _without(durable: Durable, turn: OpenTurn) -> Durable:
    """It waits no longer."""
    front = None if durable.front is turn else durable.front
    rest = tuple([each for each in durable.rest if each is not turn])
    later = tuple([each for each in durable.later if each is not turn])
    return replace(durable, front=front, rest=rest, later=later)


def _edited(durable: Durable, entry: Edited) -> Durable:
    """It says something else, at its place."""
    before = _waiting(durable, entry.turn_id)
    if before is None:
        raise ValueError(f"turn {entry.turn_id} is edited, which does not wait")
    spec = replace(before.spec, message=read(entry.message), size=entry.size)
    after = replace(before, spec=spec, joined=entry.joined)
    rest = tuple([after if turn is before else turn for turn in durable.rest])
    later = tuple([after if turn is before else turn for turn in durable.later])
    front = after if durable.front is before else durable.front
    return replace(durable, front=front, rest=rest, later=later)


def _started(durable: Durable, entry: Started) -> Durable:
    if durable.holder is not None:
        raise ValueError(f"turn {entry.turn_id} starts while another one holds the session")
    if entry.spec is not None:
        turn = OpenTurn(turn_spec(entry.spec, durable.session_id))
    else:
        waiting = _waiting(durable, entry.turn_id)
        if waiting is None:
            raise ValueError(f"turn {entry.turn_id} starts, which was not accepted")
        turn, durable = waiting, _without(durable, waiting)
    # As it stands now, without what only those have that wait.
    turn = OpenTurn(turn.spec, entry.epoch, entry.at, turn.queued_at, entry.attempt, turn.cancellation)
    return replace(durable, holder=turn, last_epoch=entry.epoch)


def _cancelled_early(durable: Durable, entry: EarlyCancel, limits: Limits) -> Durable:
    early = Early(entry.turn_id, entry.reason, entry.at, entry.asker)
    return replace(durable, early=remember_cancel(durable.early, early, limits))


def _ended(durable: Durable, entry: Ended, limits: Limits) -> Durable:
    holder, turn_id = durable.holder, entry.turn_id
    waiting = _waiting(durable, turn_id)
    if holder is not None and holder.spec.turn_id == turn_id:
        record = _record(entry, holder.spec.head, holder)
        durable = replace(durable, holder=None)
    elif waiting is not None:
        record = _record(entry, waiting.spec.head, waiting)
        durable = _without(durable, waiting)
    elif entry.head is not None:
        # Its cancel came before it, and has had its effect.
        record = _record(entry, entry.head, None)
        durable = replace(durable, early=tuple(each for each in durable.early if each.turn_id != turn_id))
    else:
        raise ValueError(f"turn {turn_id} ends, which was not open")
    if entry.epoch is not None:
        durable = replace(durable, last_epoch=entry.epoch)
    if record.status is TurnStatus.UNRESPONSIVE:
        return replace(durable, quarantined=(*durable.quarantined, record))
    return _remembered(durable, record, entry.at, limits)


def _ended_late(durable: Durable, entry: EndedLate, limits: Limits) -> Durable:
    for record in durable.quarantined:
        if record.turn_id == entry.turn_id:
            rest = tuple(other for other in durable.quarantined if other is not record)
            late = replace(record, ended_late=entry.late)
            return _remembered(replace(durable, quarantined=rest), late, entry.late.at, limits)
    raise ValueError(f"turn {entry.turn_id} ends late, which was not given up")


def _record(entry: Ended, head: TurnHead, turn: OpenTurn | None) -> TurnRecord:
    return TurnRecord(
        head,
        entry.epoch or (None if turn is None else turn.epoch),
        entry.status,
        None if turn is None else turn.queued_at,
        None if turn is None else turn.started_at,
        entry.first_event_at,
        entry.cancellation,
        entry.at,
        entry.error,
        entry.superseded_by,
        None,
        entry.began,
        _result(entry),
        1 if turn is None else turn.attempt,
        entry.merged_into,
        entry.rollback,
        extras=entry.extras,
    )


def _result(entry: Ended) -> KeptResult | None:
    if entry.result_left_out:
        return KeptResult(None, 0, left_out=True)
    return None if entry.result is None else KeptResult(read(entry.result), entry.result_size)


def _remembered(durable: Durable, record: TurnRecord, now: float, limits: Limits) -> Durable:
    """Remember a finished turn, as a session does."""
    home = Home(durable.session_id, durable.owner, limits)
    memory = remember(Memory(home, durable.last_epoch, durable.records), record, now)
    return replace(durable, last_epoch=memory.last_epoch, records=memory.records)
