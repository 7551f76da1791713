"""Makes the records of turns, and keeps those of the turns that have ended. Pure."""

from turnkeeper.actors.model.footprint import TEXT, footprint
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Extras,
    KeptResult,
    Outcome,
    Returned,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import TurnStatus

from .line import Waiting
from .states import EarlyCancel, Ending, Held, Limits, Memory, Running


def record_of(
    state: Running | Ending,
    status: TurnStatus | None = None,
    ended_at: float | None = None,
    error: TurnError | None = None,
    first_event_at: float | None = None,
    began: bool | None = None,
    result: KeptResult | None = None,
    extras: Extras | None = None,
) -> TurnRecord:
    """The turn that holds the session, as a record; with a terminal status the record of its end.

    Only at its end is it known that a turn never ``began``.
    """
    turn = state.turn
    cancellation = superseded_by = None
    held = False
    if type(state) is Ending:
        held = status is None and type(state.phase) is Held
        cancellation, line = state.cancellation, state.line
        if line is not None and line.front is not None:
            superseded_by = line.front.spec.head.turn_id
    if status is None:
        status = TurnStatus.RUNNING if cancellation is None else TurnStatus.CANCELLING
        began = began or None
    return TurnRecord(
        turn.spec.head,
        turn.epoch,
        status,
        turn.queued_at,
        turn.started_at,
        first_event_at,
        cancellation,
        ended_at,
        error,
        superseded_by,
        None,
        began,
        result,
        turn.attempt,
        None,
        None,
        held,
        extras,
    )


def waiting_record(turn: Waiting, last_epoch: Epoch) -> TurnRecord:
    """The turn that waits to be started, as a record.

    If it was started before, the session's last epoch is the one in which it was cut off.
    """
    epoch = last_epoch if turn.attempt > 1 else None
    return TurnRecord(
        turn.spec.head, epoch, TurnStatus.QUEUED, queued_at=turn.queued_at, attempt=turn.attempt
    )


def kept_result(outcome: Outcome | None, memory: Memory) -> KeptResult | None:
    """What is kept of what a coroutine returned, if it did: all of it, unless that is too large."""
    if type(outcome) is not Returned or outcome.result is None:
        return None
    result = outcome.result
    # The usual one without a call: a text takes no less.
    size = TEXT + len(result) if type(result) is str and result.isascii() else footprint(result)
    if size > memory.home.limits.result:
        return KeptResult(None, 0, left_out=True)
    return KeptResult(result, size)


def unstarted(
    spec: TurnSpec,
    status: TurnStatus,
    queued_at: float | None = None,
    cancellation: Cancellation | None = None,
    ended_at: float | None = None,
    superseded_by: TurnId | None = None,
) -> TurnRecord:
    """A turn that never held the session, as a record: it waits, or was over before it began."""
    began = None if ended_at is None else False
    return TurnRecord(
        spec.head,
        None,
        status,
        queued_at,
        None,
        None,
        cancellation,
        ended_at,
        None,
        superseded_by,
        None,
        began,
    )


def remember(memory: Memory, record: TurnRecord, now: float) -> Memory:
    """Keep the record of a finished turn, and let go of what is too old or too many."""
    limits = memory.home.limits
    records = memory.records
    results = memory.results
    if records:
        if len(records) >= limits.kept_turns:
            records = records[len(records) - limits.kept_turns + 1 :]
        oldest = now - limits.turn_retention
        if records and (first := records[0].ended_at) is not None and first < oldest:
            records = tuple([kept for kept in records if kept.ended_at is None or kept.ended_at >= oldest])
    epoch, last_epoch = record.epoch, memory.last_epoch
    if epoch is not None and epoch > last_epoch:
        last_epoch = epoch
    if results and len(records) < len(memory.records):
        results = sum([kept.size for kept in records])
    if record.result is not None or record.head.params_json is not None:
        results += record.size
    records = records + (record,)  # noqa: RUF005  with a star they go through a list
    quarantined, last_ticket = memory.quarantined, memory.last_ticket
    return Memory(memory.home, last_epoch, records, memory.early, quarantined, results, last_ticket)


def early_cancel(memory: Memory, turn_id: TurnId, now: float) -> EarlyCancel | None:
    """The cancel of that turn which came before its send and still counts."""
    for early in memory.early:
        if early.turn_id == turn_id and now < early.asked_at + memory.home.limits.early_cancel_ttl:
            return early
    return None


def remember_cancel(
    early: tuple[EarlyCancel, ...], cancel: EarlyCancel, limits: Limits
) -> tuple[EarlyCancel, ...]:
    """Keep a cancel that came before its send, and let go of what is too old or too many."""
    fresh = [
        each
        for each in early
        if each.turn_id != cancel.turn_id and cancel.asked_at < each.asked_at + limits.early_cancel_ttl
    ]
    return (*fresh, cancel)[-limits.early_cancels :]
