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
    Reason,
    Returned,
    Strategy,
    StreamEnd,
    TurnId,
    TurnSpec,
    TurnStatus,
    Verdict,
)

from .consequences import CAUSES, ENDS, ended_late_as, error_of, settled_as
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
from .record import record_of, remember, unstarted
from .states import Ask, Cancelling, Closed, Closing, EarlyCancel, Idle, Memory, Running, State, Successor
from .views import current_turn, find_turn, queued_turns, view

Message: TypeAlias = Submit | TurnEnded | Stop | Tick | Shut
Decision: TypeAlias = tuple[State, tuple[Effect, ...]]

#: Looked up once: on Python 3.11 each lookup on an enum costs 0.1 us, and every turn passes here.
RUNNING, COMPLETED, FAILED = TurnStatus.RUNNING, TurnStatus.COMPLETED, TurnStatus.FAILED
QUEUED, SUPERSEDED = TurnStatus.QUEUED, CancelCode.SUPERSEDED

# -- The machine --------------------------------------------------------------------------------------


def step(state: State, message: Message, now: float, to: ReplyAddress | None = None) -> Decision:
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
                    status = settled_as(message.outcome, state.reason.code)
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
                    return _close(state.memory, Closing(message.reason, (to,)), StreamEnd.SESSION_CLOSED)
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


def _submit_idle(state: Idle, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    return _not_to_run(state, message, now, to) or _start(state.memory, message.spec, now, to, None)


def _submit_running(state: Running, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
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


def _submit_cancelling(state: Cancelling, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
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


def _not_to_run(state: State, message: Submit, now: float, to: ReplyAddress | None) -> Decision | None:
    """What keeps a send from becoming a turn, whatever the session is doing: mostly nothing."""
    spec = message.spec
    if spec.fingerprint is None and message.if_match is None and not state.memory.quarantined:
        return None
    return _known(state, message, to) or _crowded(state, to) or _born_dead(state, spec, now, to)


def _known(state: State, message: Submit, to: ReplyAddress | None) -> Decision | None:
    """A turn id this session has heard before, or a precondition that does not hold.

    In this order: the first try of a repeated send may be what made its precondition stale.
    """
    spec = message.spec
    known = None if spec.fingerprint is None else find_turn(state, spec.turn_id)
    if known is None:
        if message.if_match is not None and not _matches(state, message.if_match):
            return _refuse(state, to, precondition_failed(message.if_match))
        return None
    if known.fingerprint != spec.fingerprint:
        return _refuse(state, to, TurnIdReused(f"turn id {spec.turn_id!r} stands for another message"))
    return state, (
        Reply(to, Accepted(spec.session_id, known.turn_id, known.epoch, known.status, repeated=True)),
    )


def _crowded(state: State, to: ReplyAddress | None) -> Decision | None:
    """So many of the session's turns have ignored being cancelled, and still run, that it takes no more."""
    memory = state.memory
    if len(memory.quarantined) < memory.home.limits.quarantined:
        return None
    text = f"{len(memory.quarantined)} turns of this session did not stop and still run"
    return _refuse(state, to, TooManyUnresponsive(text))


def _born_dead(state: State, spec: TurnSpec, now: float, to: ReplyAddress | None) -> Decision | None:
    """A turn whose cancel came before its send is accepted, and over."""
    memory = state.memory
    for early in memory.early:
        if early.turn_id == spec.turn_id and now < early.asked_at + memory.home.limits.early_cancel_ttl:
            record = unstarted(spec, TurnStatus.CANCELLED, now, early.reason, asked_at=early.asked_at)
            rest = tuple(other for other in memory.early if other is not early)
            memory = remember(replace(memory, early=rest), record, now)
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


def _stop_at_rest(state: Idle | Closed, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, precondition_failed(message.if_match))
    if message.turn_id is None:
        return state, (Reply(to, CancelAnswer(Verdict.NOT_RUNNING)),)
    return _stop_other(state, message.turn_id, message, now, to)


def _stop_running(state: Running, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, precondition_failed(message.if_match))
    if message.turn_id is not None and message.turn_id != state.spec.turn_id:
        return _stop_other(state, message.turn_id, message, now, to)
    asks = (Ask(to if message.wait else None, now, message.reason),)
    cancelling, effects = _cancel(state, message.reason, state.spec.grace, now, asks, None)
    return cancelling, (*effects, *_requested(cancelling, message, to))


def _stop_cancelling(state: Cancelling, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Two Stops are one Stop: the coroutine is not cancelled again, its ladder goes on."""
    if message.if_match is not None and not _matches(state, message.if_match):
        return _refuse(state, to, precondition_failed(message.if_match))
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


def _stop_other(
    state: State, turn_id: TurnId, message: Stop, now: float, to: ReplyAddress | None
) -> Decision:
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
    memory = remember(state.memory, record, now)
    dropped = replace(state, memory=memory, then=None)
    return dropped, (EndTurn(record, None, spec.ended_to), Reply(waiting.to, accepted))


# -- Time -------------------------------------------------------------------------------------------


def _tick_running(state: Running, now: float) -> Decision:
    if state.deadline is None:
        return state, ()
    if now < state.deadline:
        return state, (SetTimer(state.deadline),)
    return _cancel(state, Reason(CancelCode.TIMEOUT), state.spec.grace, now, (), None)


def _tick_cancelling(state: Cancelling, message: Tick, now: float) -> Decision:
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


def _ended_running(state: Running, message: TurnEnded, now: float) -> Decision:
    outcome = message.outcome
    if isinstance(outcome, Returned):
        record = record_of(state, COMPLETED, now, None, message.first_event_at)
    else:
        record = record_of(state, FAILED, now, error_of(outcome), message.first_event_at)
    memory = remember(state.memory, record, now)
    return Idle(memory), (EndTurn(record, outcome, state.spec.ended_to),)


def _settle(
    state: Cancelling, status: TurnStatus, outcome: Outcome | None, now: float, first_event_at: float | None
) -> Decision:
    """The cancelled turn lets go of the session: answer all who waited for that, and go on."""
    then = state.then
    error = error_of(outcome) if status is FAILED else None
    record = record_of(state, status, now, error, first_event_at)
    effects: list[Effect] = [EndTurn(record, outcome, state.spec.ended_to)]
    if outcome is None:
        effects.append(Quarantine(state.epoch))
        memory = replace(
            state.memory, last_epoch=state.epoch, quarantined=(*state.memory.quarantined, record)
        )
    else:
        memory = remember(state.memory, record, now)
    end = ENDS[status]
    effects += [
        Reply(ask.to, CancelAnswer(end.verdict, record, (now - ask.at) * 1000.0))
        for ask in state.asks
        if ask.to is not None
    ]
    if isinstance(then, Closing):
        closed, closing = _close(memory, then, end.stream)
        return closed, (*effects, *closing)
    if then is None:
        if any(CAUSES[ask.reason.code].ends_streams for ask in state.asks):
            effects.append(CloseStreams(end.stream))
        return Idle(memory), tuple(effects)
    spec = then.spec
    superseded = Superseded(record.turn_id, end.verdict, (now - spec.submitted_at) * 1000.0)
    running, started = _start(memory, spec, now, then.to, superseded, then.queued_at)
    return running, (*effects, *started)


def _ended_late(state: State, message: TurnEnded, now: float) -> Decision:
    """A coroutine that does not hold the session has ended: note it if it was quarantined."""
    memory = state.memory
    for record in memory.quarantined:
        if record.epoch == message.epoch:
            late = replace(record, ended_late=LateEnd(ended_late_as(message.outcome), now))
            rest = tuple(other for other in memory.quarantined if other is not record)
            memory = remember(replace(memory, quarantined=rest), late, now)
            return replace(state, memory=memory), ()
    return state, (CountStale(),)


# -- Closing ------------------------------------------------------------------------------------------


def _shut_running(state: Running, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    grace = state.spec.grace
    if message.grace is not None:
        grace = min(grace, message.grace)
    return _cancel(state, message.reason, grace, now, (), Closing(message.reason, (to,)))


def _shut_cancelling(state: Cancelling, message: Shut, now: float, to: ReplyAddress | None) -> Decision:
    dropped, effects = _drop_successor(state, message.reason, now)
    reason = message.reason
    waiting: tuple[ReplyAddress | None, ...] = (to,)
    if isinstance(dropped.then, Closing):
        waiting = (*dropped.then.to, to)
        if CAUSES[dropped.then.reason.code].closes_as is not None:
            # A close that comes after the shutdown does not change why the streams end.
            reason = dropped.then.reason
    again_at, end_at = dropped.again_at, dropped.end_at
    if message.grace is not None:
        end_at = min(end_at, now + message.grace)
        again_at = None if again_at is None else min(again_at, now + message.grace / 2)
    shut = replace(dropped, then=Closing(reason, waiting), again_at=again_at, end_at=end_at)
    return shut, (*effects, SetTimer(end_at if again_at is None else again_at))


def _close(memory: Memory, closing: Closing, end: StreamEnd) -> Decision:
    closed = Closed(memory, closing.reason)
    answers = (Reply(to, view(closed)) for to in closing.to if to is not None)
    return closed, (CloseStreams(CAUSES[closing.reason.code].closes_as or end), *answers)


def after_failure(state: State, now: float) -> Idle | Closed:
    """What is left of a session whose actor failed: the turns in flight and in wait are ``interrupted``.

    Nobody will tell how a quarantined turn ended late, so that is remembered as it is.
    """
    memory = replace(state.memory, quarantined=())
    for record in state.memory.quarantined:
        memory = remember(memory, record, now)
    for queued in queued_turns(state):
        memory = remember(memory, replace(queued, status=TurnStatus.INTERRUPTED, ended_at=now), now)
    if isinstance(state, Running | Cancelling):
        memory = remember(memory, record_of(state, TurnStatus.INTERRUPTED, now), now)
    return Closed(memory, state.reason) if isinstance(state, Closed) else Idle(memory)


# -- Refusals -----------------------------------------------------------------------------------------


def _refuse(state: State, to: ReplyAddress | None, error: SessionError) -> Decision:
    return state, (Refuse(to, error),)


def _busy(state: Running | Cancelling) -> SessionError:
    return SessionBusy("a turn is in flight in this session", turn_id=state.spec.turn_id)


def _closed(state: Cancelling | Closed) -> SessionError:
    return SessionClosed(f"session {state.memory.home.session_id!r} is closed")


def precondition_failed(if_match: str) -> SessionError:
    """The refusal of a message that was meant for another turn than the session's current or last one."""
    return PreconditionFailed(f"turn {if_match!r} is not the session's current or last turn")


def _matches(state: State, if_match: str) -> bool:
    current = current_turn(state)
    return current is not None and current.turn_id == if_match
