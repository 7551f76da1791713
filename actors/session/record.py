"""Makes the records of turns, and keeps those of the turns that have ended. Pure."""

from turnkeeper.actors.model.records import Reason, TurnError, TurnId, TurnRecord, TurnSpec, TurnStatus

from .states import Cancelling, Memory, Running, Successor


def record_of(
    state: Running | Cancelling,
    status: TurnStatus | None = None,
    ended_at: float | None = None,
    error: TurnError | None = None,
    first_event_at: float | None = None,
) -> TurnRecord:
    """The turn that holds the session, as a record; with a terminal status the record of its end."""
    spec = state.spec
    if isinstance(state, Running):
        return TurnRecord(
            spec.turn_id,
            state.epoch,
            status or TurnStatus.RUNNING,
            spec.user,
            spec.agent,
            spec.submitted_at,
            state.started_at,
            None,
            None,
            ended_at,
            None,
            None,
            error,
            spec.fingerprint,
            None,
            state.queued_at,
            first_event_at,
        )
    return TurnRecord(
        spec.turn_id,
        state.epoch,
        status or TurnStatus.CANCELLING,
        spec.user,
        spec.agent,
        spec.submitted_at,
        state.started_at,
        state.asked_at,
        state.again,
        ended_at,
        state.reason,
        state.then.spec.turn_id if isinstance(state.then, Successor) else None,
        error,
        spec.fingerprint,
        None,
        state.queued_at,
        first_event_at,
    )


def unstarted(
    spec: TurnSpec,
    status: TurnStatus,
    ended_at: float | None = None,
    reason: Reason | None = None,
    *,
    superseded_by: TurnId | None = None,
    asked_at: float | None = None,
    queued_at: float | None = None,
) -> TurnRecord:
    """A turn that never held the session, as a record: it waits, or was over before it began."""
    return TurnRecord(
        spec.turn_id,
        None,
        status,
        spec.user,
        spec.agent,
        spec.submitted_at,
        None,
        asked_at if asked_at is not None else ended_at,
        None,
        ended_at,
        reason,
        superseded_by,
        None,
        spec.fingerprint,
        None,
        queued_at,
    )


def remember(memory: Memory, record: TurnRecord, now: float) -> Memory:
    """Keep the record of a finished turn, and let go of what is too old or too many."""
    limits = memory.home.limits
    records = memory.records
    if records:
        if len(records) >= limits.kept_turns:
            records = records[len(records) - limits.kept_turns + 1 :]
        oldest = now - limits.turn_retention
        if records and (records[0].ended_at or now) < oldest:
            records = tuple(kept for kept in records if (kept.ended_at or now) >= oldest)
    epoch, last_epoch = record.epoch, memory.last_epoch
    if epoch is not None and epoch > last_epoch:
        last_epoch = epoch
    return Memory(memory.home, last_epoch, (*records, record), memory.early, memory.quarantined)
