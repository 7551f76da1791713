"""What can be told of a session: its state in public words, and its turns as records. Pure reading."""

from typing import assert_never

from .messages import ReplyAddress, SessionView
from .records import CancelCode, Reason, SessionState, TurnError, TurnId, TurnRecord, TurnSpec, TurnStatus
from .states import Cancelling, Closed, Idle, Running, State, Successor


def record_of(
    state: Running | Cancelling,
    status: TurnStatus | None = None,
    ended_at: float | None = None,
    error: TurnError | None = None,
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
    )


def unstarted(
    spec: TurnSpec,
    status: TurnStatus,
    ended_at: float | None = None,
    reason: Reason | None = None,
    *,
    superseded_by: TurnId | None = None,
    asked_at: float | None = None,
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
        fingerprint=spec.fingerprint,
    )


def current_turn(state: State) -> TurnRecord | None:
    """The turn that holds the session, else the last one that did."""
    if isinstance(state, Running | Cancelling):
        return record_of(state)
    memory = state.memory
    started = (record for record in (*memory.records, *memory.quarantined) if record.epoch is not None)
    return max(started, key=lambda record: record.epoch or 0, default=None)


def queued_turns(state: State) -> tuple[TurnRecord, ...]:
    """The turns that wait for the session."""
    if isinstance(state, Cancelling) and isinstance(state.then, Successor):
        return (unstarted(state.then.spec, TurnStatus.QUEUED),)
    return ()


def find_turn(state: State, turn_id: str) -> TurnRecord | None:
    """The turn of that id: in flight, waiting, quarantined or remembered."""
    if isinstance(state, Running | Cancelling) and state.spec.turn_id == turn_id:
        return record_of(state)
    memory = state.memory
    for record in (*queued_turns(state), *memory.quarantined, *memory.records):
        if record.turn_id == turn_id:
            return record
    return None


def state_name(state: State) -> SessionState:
    """The state by its public name."""
    match state:
        case Idle():
            return SessionState.IDLE
        case Running():
            return SessionState.RUNNING
        case Cancelling():
            return SessionState.CANCELLING
        case Closed():
            return SessionState.CLOSED
        case _:
            assert_never(state)


def view(state: State, subscribers: int = 0) -> SessionView:
    """The session as one may see it from outside."""
    memory = state.memory
    return SessionView(
        memory.home.session_id,
        memory.home.owner,
        state_name(state),
        current_turn(state),
        queued_turns(state),
        memory.records,
        memory.quarantined,
        subscribers,
    )


def was_superseded(record: TurnRecord) -> bool:
    """Whether a turn that had started had to make way for another one."""
    by_another = record.reason is not None and record.reason.code is CancelCode.SUPERSEDED
    return record.epoch is not None and (by_another or record.superseded_by is not None)


def owed_answers(state: State) -> list[ReplyAddress | None]:
    """Everyone whom the session has not answered yet."""
    owed: list[ReplyAddress | None] = []
    if isinstance(state, Running | Cancelling):
        owed.append(state.spec.ended_to)
    if isinstance(state, Cancelling):
        owed += [ask.to for ask in state.asks]
        if isinstance(state.then, Successor):
            owed += [state.then.to, state.then.spec.ended_to]
        elif state.then is not None:
            owed += state.then.to
    return owed
