"""Derives from a decision what it adds to its session's log. Pure."""

from collections.abc import Callable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.consequences import CAUSES
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    AnnounceQueued,
    AskSlot,
    CancelTurn,
    CloseStreams,
    CountStale,
    CutWinding,
    EditWaiting,
    Effect,
    EndAttempt,
    EndTurn,
    HoldCancel,
    LeaveSlot,
    MoveWaiting,
    NoteCancel,
    NoteClosed,
    NoteEarlyCancel,
    NoteLateEnd,
    NoteUndo,
    Quarantine,
    Refuse,
    Reply,
    ReplyPlaced,
    SetTimer,
    StartTurn,
    StopWork,
    WindUp,
)

from .entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Edited,
    Ended,
    EndedLate,
    Entry,
    Placed,
    SessionClosed,
    Started,
    UndoAsked,
    spec_of,
    written_message,
)


@value
class Sealed:
    """What a turn leaves when its end is decided: nothing of it changes any more.

    All of it is as in `Ended`. ``result`` is what it returned, as JSON, if its event shows that or its record
    has it; ``None`` for what JSON cannot say.
    """

    n: int | None = None
    keep: int | None = None
    add: msgspec.Raw | None = None
    data: msgspec.Raw | None = None
    result: msgspec.Raw | None = None


#: Of a turn that never started.
NOTHING_SEALED = Sealed()


def no_id() -> str | None:
    """The id of the last event where there is none."""
    return None


def entries_of(
    effects: tuple[Effect, ...], seal: Callable[[EndTurn], Sealed], last_id: Callable[[], str | None] = no_id
) -> tuple[Entry, ...]:
    """The entries of one decision, in order; none if nothing of it outlives the process.

    ``seal`` is asked about each turn that had started and now ends, ``last_id`` for the id of the last
    event before this decision where a turn was cut off. `Opened` is not among them: a session does not know
    whether it has a log.
    """
    entries: list[Entry] = []
    for effect in effects:
        # By type, as in `step`: every turn passes here.
        if type(effect) is StartTurn:
            entries.append(_started(effect))
        elif type(effect) is EndTurn:
            sealed = NOTHING_SEALED if effect.record.epoch is None else seal(effect)
            entries.append(_ended_anew(effect, last_id, sealed) if effect.anew else _ended(effect, sealed))
        elif type(effect) is EndAttempt:
            entries.append(_cut_off(effect, last_id))
        elif type(effect) is AnnounceQueued:
            spec = spec_of(effect.spec)
            entries.append(Accepted(spec, effect.queued_at, effect.place, effect.not_before))
        elif type(effect) is MoveWaiting:
            entries.append(Placed(effect.turn_id, effect.place, effect.first, effect.not_before))
        elif type(effect) is EditWaiting:
            edited = effect.spec
            message = written_message(edited.message)
            entries.append(Edited(edited.turn_id, message, edited.size, effect.joined, effect.by))
        elif type(effect) is CancelTurn:
            if not effect.again and not effect.held and CAUSES[effect.reason.code].lasts:
                entries.append(CancelAsked(effect.turn_id, effect.reason, effect.asked_at))
        elif type(effect) is HoldCancel:
            if CAUSES[effect.reason.code].lasts:
                entries.append(CancelAsked(effect.turn_id, effect.reason, effect.asked_at))
        elif type(effect) is NoteCancel:
            entries.append(CancelAsked(effect.turn_id, effect.reason, effect.asked_at))
        elif type(effect) is NoteUndo:
            entries.append(UndoAsked(effect.turn_id, effect.asked_at))
        elif type(effect) is NoteEarlyCancel:
            early = effect.early
            entries.append(EarlyCancel(early.turn_id, early.reason, early.asked_at, early.asker))
        elif type(effect) is NoteLateEnd:
            entries.append(EndedLate(effect.turn_id, effect.late))
        elif type(effect) is NoteClosed:
            entries.append(SessionClosed(effect.reason, effect.closed_at))
        elif (
            type(effect) is Quarantine  # what the end of a turn says already
            or type(effect) is StopWork
            or type(effect) is WindUp
            or type(effect) is CutWinding
            or type(effect) is AnnouncePlaces  # what the entries of those turns say already
            or type(effect) is SetTimer
            or type(effect) is AskSlot  # of the slots of this process
            or type(effect) is LeaveSlot
            or type(effect) is CloseStreams
            or type(effect) is Reply
            or type(effect) is ReplyPlaced
            or type(effect) is Refuse
            or type(effect) is CountStale
        ):
            continue
        else:
            assert_never(effect)
    return tuple(entries)


def _started(effect: StartTurn) -> Started:
    spec = effect.spec
    # Of a turn that had to wait, or is tried again, the log has it already.
    known = effect.queued_at is not None or effect.attempt > 1
    written = None if known else spec_of(spec)
    return Started(spec.head.turn_id, effect.epoch, effect.started_at, written, effect.attempt)


def _cut_off(effect: EndAttempt, last_id: Callable[[], str | None]) -> AttemptEnded:
    record = effect.record
    if record.epoch is None:
        raise ValueError(f"turn {record.turn_id} was not started")
    return AttemptEnded(record.turn_id, record.epoch, effect.at, last_id(), effect.from_start)


def _ended_anew(effect: EndTurn, last_id: Callable[[], str | None], sealed: Sealed) -> Ended:
    record = effect.record
    kept = last_id() if record.status is TurnStatus.INTERRUPTED else None
    return replace(_ended(effect, sealed), n=0, epoch=record.epoch, kept=kept)


def _ended(effect: EndTurn, sealed: Sealed) -> Ended:
    record = effect.record
    head, result, ended_at = record.head, record.result, record.ended_at
    if ended_at is None:
        raise ValueError(f"turn {head.turn_id} has not ended")
    left_out = result is not None and (result.left_out or sealed.result is None)
    return Ended(
        head.turn_id,
        record.status,
        ended_at,
        n=sealed.n,
        # A turn that never ran is in the log if it waited.
        head=head if record.epoch is None and record.queued_at is None else None,
        first_event_at=record.first_event_at,
        cancellation=record.cancellation,
        error=record.error,
        superseded_by=record.superseded_by,
        began=record.began,
        result=sealed.result,
        result_size=0 if result is None or left_out else result.size,
        result_left_out=left_out,
        keep=sealed.keep,
        add=sealed.add,
        data=sealed.data,
        merged_into=record.merged_into,
        rollback=record.rollback,
        extras=record.extras,
    )
