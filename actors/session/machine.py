"""The life of one session.

Rule 1: everything that decides what happens to a session is in this file.
Rule 2: nothing here waits, reads a clock, or touches the world.

``step(state, message, now)`` answers with the next state and with what is to be done, in order. The
epoch of a turn is its fencing token: a report that names another one is stale and changes nothing.
"""

from dataclasses import replace
from typing import TypeAlias, assert_never

from turnkeeper.actors.model.exceptions import (
    PreconditionFailed,
    SessionBusy,
    SessionClosed,
    SessionError,
    StageFailed,
    TooManyUnresponsive,
    TurnIdReused,
)
from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    ReplyAddress,
    Shut,
    Stop,
    Submit,
    Superseded,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.records import (
    CancelCode,
    LateEnd,
    Outcome,
    Raised,
    Reason,
    Returned,
    Stopped,
    Strategy,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
    TurnStatus,
    Verdict,
)

from .effects import (
    AnnounceQueued,
    CancelTurn,
    CloseStreams,
    CountStale,
    Effect,
    EndTurn,
    Quarantine,
    Refuse,
    Reply,
    SetTimer,
    StartTurn,
)
from .states import Ask, Cancelling, Closed, Closing, EarlyCancel, Idle, Memory, Running, State, Successor
from .views import current_turn, find_turn, queued_turns, record_of, unstarted, view

Message: TypeAlias = Submit | TurnEnded | Stop | Tick | Shut
Step: TypeAlias = tuple[State, tuple[Effect, ...]]

#: Cancels after which a session's streams end: somebody pressed Stop.
ENDS_STREAMS = frozenset({CancelCode.USER_REQUEST, CancelCode.ADMIN})
VERDICTS = {
    TurnStatus.CANCELLED: Verdict.CANCELLED,
    TurnStatus.UNRESPONSIVE: Verdict.UNRESPONSIVE,
}
CLOSE_TEXTS = {
    TurnStatus.CANCELLED: "Task cancelled",
    TurnStatus.UNRESPONSIVE: "Task unresponsive",
}
FINISHED_TEXT = "Task finished"
SHUTDOWN_TEXT = "Server shutting down"
#: Looked up once: on Python 3.11 each lookup on an enum costs 0.1 us, and every turn passes here.
RUNNING, COMPLETED, FAILED = TurnStatus.RUNNING, TurnStatus.COMPLETED, TurnStatus.FAILED
QUEUED, CANCELLED, SUPERSEDED = TurnStatus.QUEUED, TurnStatus.CANCELLED, CancelCode.SUPERSEDED

# -- The machine --------------------------------------------------------------------------------------


def step(state: State, message: Message, now: float, to: ReplyAddress | None = None) -> Step:
    """Say what a message does to a session: the next state, and what is to be done about it.

    ``now`` is in Unix seconds. ``to`` is where the asker of this message waits; it is answered by one
    `Reply` or `Refuse`, in this step or in a later one.
    """
    match message:
        case Submit():
            match state:
                case Idle():
                    return _submit_idle(state, message, now, to)
                case Running():
                    return _submit_running(state, message, now, to)
                case Cancelling():
                    return _submit_cancelling(state, message, now, to)
                case Closed():
                    return _known(state, message, to) or _refuse(state, to, _closed(state))
                case _:
                    assert_never(state)
        case TurnEnded():
            match state:
                case Running():
                    if message.epoch != state.epoch:
                        return _ended_late(state, message, now)
                    return _ended_running(state, message, now)
                case Cancelling():
                    if message.epoch != state.epoch:
                        return _ended_late(state, message, now)
                    status = _status(state, message.outcome)
                    return _settle(state, status, message.outcome, now, message.first_event_at)
                case Idle() | Closed():
                    return _ended_late(state, message, now)
                case _:
                    assert_never(state)
        case Stop():
            match state:
                case Idle() | Closed():
                    return _stop_at_rest(state, message, now, to)
                case Running():
                    return _stop_running(state, message, now, to)
                case Cancelling():
                    return _stop_cancelling(state, message, now, to)
                case _:
                    assert_never(state)
        case Tick():
            match state:
                case Running():
                    return _tick_running(state, now)
                case Cancelling():
                    return _tick_cancelling(state, message, now)
                case Idle() | Closed():
                    return state, ()
                case _:
                    assert_never(state)
        case Shut():
            match state:
                case Idle():
                    return _close(state.memory, Closing(message.reason, (to,)), "Session closed")
                case Running():
                    return _shut_running(state, message, now, to)
                case Cancelling():
                    return _shut_cancelling(state, message, now, to)
                case Closed():
                    return state, (Reply(to, view(state)),)
                case _:
                    assert_never(state)
        case _:
            assert_never(message)


# -- A send -------------------------------------------------------------------------------------------


def _submit_idle(state: Idle, message: Submit, now: float, to: ReplyAddress | None) -> Step:
    return _not_to_run(state, message, now, to) or _start(state.memory, message.spec, now, to, None)


def _submit_running(state: Running, message: Submit, now: float, to: ReplyAddress | None) -> Step:
    answered = _not_to_run(state, message, now, to)
    if answered is not None:
        return answered
    spec = message.spec
    if message.strategy is Strategy.REJECT:
        return _refuse(state, to, _busy(state))
    reason = Reason(SUPERSEDED, spec.user)
    then = Successor(spec, to if message.wait else None, now)
    cancelling, effects = _cancel(state, reason, state.spec.grace, now, (), then)
    return cancelling, (*effects, *_queue(state, then, message.wait, to))


def _submit_cancelling(state: Cancelling, message: Submit, now: float, to: ReplyAddress | None) -> Step:
    if isinstance(state.then, Closing):
        return _known(state, message, to) or _refuse(state, to, _closed(state))
    answered = _not_to_run(state, message, now, to)
    if answered is not None:
        return answered
    spec = message.spec
    if message.strategy is Strategy.REJECT:
        return _refuse(state, to, _busy(state))
    reason = Reason(SUPERSEDED, spec.user)
    dropped, effects = _drop_successor(state, reason, now, by=spec.turn_id)
    then = Successor(spec, to if message.wait else None, now)
    return replace(dropped, then=then), (*effects, *_queue(state, then, message.wait, to))


def _queue(
    state: Running | Cancelling, then: Successor, wait: bool, to: ReplyAddress | None
) -> tuple[Effect, ...]:
    """Tell of the turn that waits, and answer its sender now if it does not want to wait."""
    spec = then.spec
    queued = unstarted(spec, QUEUED, queued_at=then.queued_at)
    if wait:
        return (AnnounceQueued(queued),)
    superseded = Superseded(state.spec.turn_id, Verdict.REQUESTED, None)
    return AnnounceQueued(queued), Reply(
        to, Accepted(spec.session_id, spec.turn_id, None, TurnStatus.QUEUED, superseded)
    )


def _not_to_run(state: State, message: Submit, now: float, to: ReplyAddress | None) -> Step | None:
    """What keeps a send from becoming a turn, whatever the session is doing: mostly nothing."""
    spec = message.spec
    if spec.fingerprint is None and message.if_match is None and not state.memory.quarantined:
        return None
    return _known(state, message, to) or _crowded(state, to) or _born_dead(state, spec, now, to)


def _known(state: State, message: Submit, to: ReplyAddress | None) -> Step | None:
    """A turn id this session has heard before, or a precondition that does not hold.

    In this order: the first try of a repeated send may be what made its precondition stale.
    """
    spec = message.spec
    known = None if spec.fingerprint is None else find_turn(state, spec.turn_id)
    if known is None:
        if message.if_match is not None and not _matches(state, message.if_match):
            return _refuse(state, to, stale(message.if_match))
        return None
    if known.fingerprint != spec.fingerprint:
        return _refuse(state, to, TurnIdReused(f"turn id {spec.turn_id!r} stands for another message"))
    return state, (
        Reply(to, Accepted(spec.session_id, known.turn_id, known.epoch, known.status, repeated=True)),
    )


def _crowded(state: State, to: ReplyAddress | None) -> Step | None:
    """So many of the session's turns have ignored being cancelled, and still run, that it takes no more."""
    memory = state.memory
    if len(memory.quarantined) < memory.home.limits.quarantined:
        return None
    text = f"{len(memory.quarantined)} turns of this session did not stop and still run"
    return _refuse(state, to, TooManyUnresponsive(text))


def _born_dead(state: State, spec: TurnSpec, now: float, to: ReplyAddress | None) -> Step | None:
    """A turn whose cancel came before its send is accepted, and over."""
    memory = state.memory
    for early in memory.early:
        if early.turn_id == spec.turn_id and now < early.asked_at + memory.home.limits.early_cancel_ttl:
            record = unstarted(spec, TurnStatus.CANCELLED, now, early.reason, asked_at=early.asked_at)
            rest = tuple(other for other in memory.early if other is not early)
            memory = _remember(replace(memory, early=rest), record, now)
            accepted = Accepted(spec.session_id, spec.turn_id, None, TurnStatus.CANCELLED)
            return replace(state, memory=memory), (EndTurn(record, None, spec.ended_to), Reply(to, accepted))
    return None


def _start(
    memory: Memory,
    spec: TurnSpec,
    now: float,
    to: ReplyAddress | None,
    superseded: Superseded | None,
    queued_at: float | None = None,
) -> tuple[Running, tuple[Effect, ...]]:
    epoch = int(now * 1000)
    if epoch <= memory.last_epoch:
        epoch = memory.last_epoch + 1
    start = StartTurn(spec, epoch)
    reply = Reply(to, Accepted(spec.session_id, spec.turn_id, epoch, RUNNING, superseded))
    if spec.timeout is None:
        return Running(memory, spec, epoch, now, None, queued_at), (start, reply)
    deadline = now + spec.timeout
    return Running(memory, spec, epoch, now, deadline, queued_at), (start, SetTimer(deadline), reply)


# -- A cancel -----------------------------------------------------------------------------------------


def _stop_at_rest(state: Idle | Closed, message: Stop, now: float, to: ReplyAddress | None) -> Step:
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, stale(message.if_match))
    if message.turn_id is None:
        return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
    return _stop_other(state, message.turn_id, message, now, to)


def _stop_running(state: Running, message: Stop, now: float, to: ReplyAddress | None) -> Step:
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, stale(message.if_match))
    if message.turn_id is not None and message.turn_id != state.spec.turn_id:
        return _stop_other(state, message.turn_id, message, now, to)
    asks = (Ask(to if message.wait else None, now, message.reason),)
    cancelling, effects = _cancel(state, message.reason, state.spec.grace, now, asks, None)
    return cancelling, (*effects, *_requested(cancelling, message, to))


def _stop_cancelling(state: Cancelling, message: Stop, now: float, to: ReplyAddress | None) -> Step:
    """Two Stops are one Stop: the coroutine is not cancelled again, its ladder goes on."""
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, stale(message.if_match))
    then = state.then
    if isinstance(then, Successor) and message.turn_id == then.spec.turn_id:
        dropped, effects = _drop_successor(state, message.reason, now)
        record = find_turn(dropped, then.spec.turn_id)
        # Nothing goes on after this: at the holder's end the streams end too, if a person asked.
        dropped = replace(dropped, asks=_joined(dropped.asks, Ask(None, now, message.reason)))
        return dropped, (*effects, Reply(to, CancelAnswer(Verdict.CANCELLED, record, 0.0)))
    if message.turn_id is not None and message.turn_id != state.spec.turn_id:
        return _stop_other(state, message.turn_id, message, now, to)
    effects = ()
    asked = state
    if message.turn_id is None:
        asked, effects = _drop_successor(state, message.reason, now)
    asked = replace(asked, asks=_joined(asked.asks, Ask(to if message.wait else None, now, message.reason)))
    return asked, (*effects, *_requested(asked, message, to))


def _joined(asks: tuple[Ask, ...], ask: Ask) -> tuple[Ask, ...]:
    """Who does not wait is remembered only for the reason, and that once: a flood of Stops stays small."""
    if ask.to is None and any(other.reason.code is ask.reason.code for other in asks):
        return asks
    return (*asks, ask)


def _requested(state: Cancelling, message: Stop, to: ReplyAddress | None) -> tuple[Effect, ...]:
    return () if message.wait else (Reply(to, CancelAnswer(Verdict.REQUESTED, record_of(state))),)


def _stop_other(state: State, turn_id: TurnId, message: Stop, now: float, to: ReplyAddress | None) -> Step:
    """A cancel aimed at a turn that does not hold the session: over, or not yet sent."""
    memory = state.memory
    record = find_turn(state, turn_id)
    if record is not None:
        fled = record.status is TurnStatus.UNRESPONSIVE and record.ended_late is None
        verdict = Verdict.UNRESPONSIVE if fled else Verdict.FINISHED_FIRST
        return state, (Reply(to, CancelAnswer(verdict, record, 0.0)),)
    limits = memory.home.limits
    fresh = tuple(
        early
        for early in memory.early
        if early.turn_id != turn_id and now < early.asked_at + limits.early_cancel_ttl
    )
    early = (*fresh, EarlyCancel(turn_id, message.reason, now))[-limits.early_cancels :]
    answer = CancelAnswer(Verdict.NOT_RUNNING, remembered_for=limits.early_cancel_ttl)
    return replace(state, memory=replace(memory, early=early)), (Reply(to, answer),)


def _cancel(
    state: Running,
    reason: Reason,
    grace: float,
    now: float,
    asks: tuple[Ask, ...],
    then: Successor | Closing | None,
) -> tuple[Cancelling, tuple[Effect, ...]]:
    """Enter the ladder: cancel now, once more at half the grace, quarantine at its end."""
    again_at = now + grace / 2
    cancelling = Cancelling(
        state.memory,
        state.spec,
        state.epoch,
        state.started_at,
        reason,
        now,
        again_at,
        None,
        now + grace,
        asks,
        then,
        state.queued_at,
    )
    return cancelling, (CancelTurn(state.epoch, reason), SetTimer(again_at))


def _drop_successor(
    state: Cancelling, reason: Reason, now: float, by: TurnId | None = None
) -> tuple[Cancelling, tuple[Effect, ...]]:
    """End the waiting turn, if there is one, before it has begun."""
    waiting = state.then
    if not isinstance(waiting, Successor):
        return state, ()
    spec = waiting.spec
    record = unstarted(spec, TurnStatus.CANCELLED, now, reason, superseded_by=by, queued_at=waiting.queued_at)
    superseded = Superseded(state.spec.turn_id, Verdict.REQUESTED, None)
    accepted = Accepted(spec.session_id, spec.turn_id, None, TurnStatus.CANCELLED, superseded)
    memory = _remember(state.memory, record, now)
    dropped = replace(state, memory=memory, then=None)
    return dropped, (EndTurn(record, None, spec.ended_to), Reply(waiting.to, accepted))


# -- Time -------------------------------------------------------------------------------------------


def _tick_running(state: Running, now: float) -> Step:
    if state.deadline is None:
        return state, ()
    if now < state.deadline:
        return state, (SetTimer(state.deadline),)
    return _cancel(state, Reason(CancelCode.TIMEOUT), state.spec.grace, now, (), None)


def _tick_cancelling(state: Cancelling, message: Tick, now: float) -> Step:
    if state.again_at is None:
        if now < state.end_at:
            return state, (SetTimer(state.end_at),)
        return _settle(state, TurnStatus.UNRESPONSIVE, None, now, message.first_event_at)
    if now < state.again_at:
        return state, (SetTimer(state.again_at),)
    # A tick that comes late, because the loop was blocked, skips no rung and shortens none to nothing: the
    # coroutine was blocked too.
    end_at = state.end_at if now < state.end_at else now + (state.end_at - state.again_at)
    again = replace(state, again_at=None, again=now, end_at=end_at)
    return again, (CancelTurn(state.epoch, state.reason), SetTimer(end_at))


# -- The end of a turn --------------------------------------------------------------------------------


def _ended_running(state: Running, message: TurnEnded, now: float) -> Step:
    outcome = message.outcome
    if isinstance(outcome, Returned):
        record = record_of(state, COMPLETED, now, None, message.first_event_at)
    else:
        record = record_of(state, FAILED, now, _error_of(outcome), message.first_event_at)
    memory = _remember(state.memory, record, now)
    return Idle(memory), (EndTurn(record, outcome, state.spec.ended_to),)


def _status(state: Cancelling, outcome: Outcome) -> TurnStatus:
    """What the end of a cancelled coroutine is called: from whether it was asked, and how it ended."""
    match outcome:
        case Stopped():
            timed_out = state.reason.code is CancelCode.TIMEOUT
            return TurnStatus.TIMED_OUT if timed_out else CANCELLED
        case Returned():
            return COMPLETED
        case Raised():
            return FAILED
        case _:
            assert_never(outcome)


def _settle(
    state: Cancelling, status: TurnStatus, outcome: Outcome | None, now: float, first_event_at: float | None
) -> Step:
    """The cancelled turn lets go of the session: answer all who waited for that, and go on."""
    then = state.then
    error = _error_of(outcome) if status is FAILED else None
    record = record_of(state, status, now, error, first_event_at)
    effects: list[Effect] = [EndTurn(record, outcome, state.spec.ended_to)]
    if outcome is None:
        effects.append(Quarantine(state.epoch))
        memory = replace(
            state.memory, last_epoch=state.epoch, quarantined=(*state.memory.quarantined, record)
        )
    else:
        memory = _remember(state.memory, record, now)
    verdict = VERDICTS.get(status, Verdict.FINISHED_FIRST)
    effects += [
        Reply(ask.to, CancelAnswer(verdict, record, (now - ask.at) * 1000.0))
        for ask in state.asks
        if ask.to is not None
    ]
    if isinstance(then, Closing):
        closed, closing = _close(memory, then, CLOSE_TEXTS.get(status, FINISHED_TEXT))
        return closed, (*effects, *closing)
    if then is None:
        if any(ask.reason.code in ENDS_STREAMS for ask in state.asks):
            effects.append(CloseStreams(CLOSE_TEXTS.get(status, FINISHED_TEXT)))
        return Idle(memory), tuple(effects)
    spec = then.spec
    superseded = Superseded(record.turn_id, verdict, (now - spec.submitted_at) * 1000.0)
    running, started = _start(memory, spec, now, then.to, superseded, then.queued_at)
    return running, (*effects, *started)


def _ended_late(state: State, message: TurnEnded, now: float) -> Step:
    """A coroutine that does not hold the session has ended: note it if it was quarantined."""
    memory = state.memory
    for record in memory.quarantined:
        if record.epoch == message.epoch:
            late = replace(record, ended_late=LateEnd(_late_status(message.outcome), now))
            rest = tuple(other for other in memory.quarantined if other is not record)
            memory = _remember(replace(memory, quarantined=rest), late, now)
            return replace(state, memory=memory), ()
    return state, (CountStale(),)


def _late_status(outcome: Outcome) -> TurnStatus:
    match outcome:
        case Returned():
            return TurnStatus.COMPLETED
        case Raised():
            return TurnStatus.FAILED
        case Stopped():
            return TurnStatus.CANCELLED
        case _:
            assert_never(outcome)


def _error_of(outcome: Outcome | None) -> TurnError | None:
    match outcome:
        case Raised(StageFailed() as error, code):
            return TurnError(code, type(error.__cause__).__name__, error.stage)
        case Raised():
            return TurnError(outcome.code, type(outcome.error).__name__)
        case Stopped():
            return TurnError("spontaneous_cancel", "CancelledError")
        case _:
            return None


# -- Closing ------------------------------------------------------------------------------------------


def _shut_running(state: Running, message: Shut, now: float, to: ReplyAddress | None) -> Step:
    grace = state.spec.grace
    if message.grace is not None:
        grace = min(grace, message.grace)
    return _cancel(state, message.reason, grace, now, (), Closing(message.reason, (to,)))


def _shut_cancelling(state: Cancelling, message: Shut, now: float, to: ReplyAddress | None) -> Step:
    dropped, effects = _drop_successor(state, message.reason, now)
    reason = message.reason
    waiting: tuple[ReplyAddress | None, ...] = (to,)
    if isinstance(dropped.then, Closing):
        waiting = (*dropped.then.to, to)
        if dropped.then.reason.code is CancelCode.SHUTDOWN:
            # A close that comes after the shutdown does not change what the streams are told.
            reason = dropped.then.reason
    again_at, end_at = dropped.again_at, dropped.end_at
    if message.grace is not None:
        end_at = min(end_at, now + message.grace)
        again_at = None if again_at is None else min(again_at, now + message.grace / 2)
    shut = replace(dropped, then=Closing(reason, waiting), again_at=again_at, end_at=end_at)
    return shut, (*effects, SetTimer(end_at if again_at is None else again_at))


def _close(memory: Memory, closing: Closing, text: str) -> Step:
    closed = Closed(memory, closing.reason)
    if closing.reason.code is CancelCode.SHUTDOWN:
        text = SHUTDOWN_TEXT
    answers = (Reply(to, view(closed)) for to in closing.to if to is not None)
    return closed, (CloseStreams(text), *answers)


def after_failure(state: State, now: float) -> Idle | Closed:
    """What is left of a session whose actor failed: the turns in flight and in wait are ``interrupted``.

    Nobody will tell how a quarantined turn ended late, so that is remembered as it is.
    """
    memory = replace(state.memory, quarantined=())
    for record in state.memory.quarantined:
        memory = _remember(memory, record, now)
    for queued in queued_turns(state):
        memory = _remember(memory, replace(queued, status=TurnStatus.INTERRUPTED, ended_at=now), now)
    if isinstance(state, Running | Cancelling):
        memory = _remember(memory, record_of(state, TurnStatus.INTERRUPTED, now), now)
    return Closed(memory, state.reason) if isinstance(state, Closed) else Idle(memory)


# -- Refusals -----------------------------------------------------------------------------------------


def _refuse(state: State, to: ReplyAddress | None, error: SessionError) -> Step:
    return state, (Refuse(to, error),)


def _busy(state: Running | Cancelling) -> SessionError:
    return SessionBusy("a turn is in flight in this session", turn_id=state.spec.turn_id)


def _closed(state: Cancelling | Closed) -> SessionError:
    return SessionClosed(f"session {state.memory.home.session_id!r} is closed")


def stale(if_match: str) -> SessionError:
    """The refusal of what was meant for a session that stands otherwise."""
    return PreconditionFailed(f"turn {if_match!r} is not the session's current or last turn")


def _matches(state: State, if_match: str) -> bool:
    current = current_turn(state)
    return current is not None and current.turn_id == if_match


# -- Remembering ------------------------------------------------------------------------------------


def _remember(memory: Memory, record: TurnRecord, now: float) -> Memory:
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
