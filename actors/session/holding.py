"""How a turn gets hold of its session, how it lets go of it, and how the session is closed."""

from typing import Final

from turnkeeper.actors.model.messages import (
    Accepted,
    CancelAnswer,
    ReplyAddress,
    Superseded,
    Tick,
    TurnEnded,
)
from turnkeeper.actors.model.records import (
    Cancellation,
    Epoch,
    Outcome,
    Stopped,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import OnRestart, StreamEnd, TurnStatus

from .consequences import CAUSES, ENDS, error_of, is_run_again
from .effects import (
    CloseStreams,
    Decision,
    Effect,
    EndAttempt,
    EndTurn,
    NoteClosed,
    Quarantine,
    Reply,
    SetTimer,
    StartTurn,
)
from .record import kept_result, record_of, remember, unstarted, waiting_record
from .states import Cancelling, Closed, Closing, Holder, Idle, Memory, Running, Waiting
from .views import lasting_cancel, view

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us, and every turn passes here.
RUNNING: Final = TurnStatus.RUNNING


def drawn(last: Epoch, now: float) -> Epoch:
    """A new epoch, larger than the ``last`` one.

    The clock may stand still, or step back over a restart; an epoch that has been drawn never comes again.
    """
    epoch = int(now * 1000)
    return epoch if epoch > last else last + 1


def start(
    memory: Memory,
    spec: TurnSpec,
    now: float,
    to: ReplyAddress | None,
    superseded: Superseded | None,
    queued_at: float | None = None,
    attempt: int = 1,
) -> tuple[Running, tuple[Effect, ...]]:
    """Let a turn hold the session, and answer its sender, which is the last effect."""
    epoch = drawn(memory.last_epoch, now)
    turn = Holder(spec, epoch, now, queued_at, attempt)
    started = StartTurn(spec, epoch, now, queued_at, attempt)
    reply = Reply(to, Accepted(spec.session_id, spec.head.turn_id, epoch, RUNNING, superseded))
    if spec.timeout is None:
        return Running(memory, turn, None), (started, reply)
    deadline = now + spec.timeout
    return Running(memory, turn, deadline), (started, SetTimer(deadline), reply)


# -- The end of a turn that was cancelled -------------------------------------------------------------


def settle(
    state: Cancelling, message: TurnEnded | Tick, status: TurnStatus, outcome: Outcome | None, now: float
) -> Decision:
    """The cancelled turn lets go of the session.

    ``outcome`` is ``None`` for a turn that is given up: its coroutine still runs.
    """
    then = state.then
    stopped = outcome is None or type(outcome) is Stopped
    if stopped and type(then) is Closing and _goes_on_elsewhere(state, then):
        return _hand_over(state, then, outcome, now)
    error = error_of(outcome) if status is TurnStatus.FAILED else None
    result = kept_result(outcome, state.memory)
    record = record_of(state, status, now, error, message.first_event_at, message.began, result)
    effects: list[Effect] = [EndTurn(record, outcome, state.turn.spec.ended_to)]
    if outcome is None:
        # Over, but not out: it counts against the bound until its coroutine ends, which is noted then.
        epoch = state.turn.epoch
        effects.append(Quarantine(epoch))
        quarantined = (*state.memory.quarantined, record)
        memory = replace(state.memory, last_epoch=epoch, quarantined=quarantined)
    else:
        memory = remember(state.memory, record, now)
    return let_go(state, memory, record, effects, now)


def let_go(
    state: Cancelling, memory: Memory, record: TurnRecord, effects: list[Effect], now: float
) -> Decision:
    """The turn has ended, as its ``record`` says: answer those who waited for that, and go on.

    ``effects`` are those of its end, ``memory`` is what is remembered now.
    """
    then = state.then
    end = ENDS[record.status]
    ends_streams = False
    for ask in state.asks:
        if ask.to is not None:
            effects.append(Reply(ask.to, CancelAnswer(end.verdict, record, (now - ask.at) * 1000.0)))
        ends_streams = ends_streams or CAUSES[ask.reason.code].ends_streams
    if type(then) is Closing:
        closed, closing = close(memory, then, end.stream, now)
        return closed, (*effects, *closing)
    if then is None:
        # Only now: with a turn that waits the session goes on, and so do its streams.
        if ends_streams:
            effects.append(CloseStreams(end.stream))
        return Idle(memory), tuple(effects)
    spec = then.spec
    superseded = Superseded(record.head.turn_id, end.verdict, (now - spec.head.submitted_at) * 1000.0)
    running, started = start(memory, spec, now, then.to, superseded, then.queued_at)
    return running, (*effects, *started)


# -- Turns that outlive their process -----------------------------------------------------------------


def may_run_again(memory: Memory, turn: Holder | Waiting) -> bool:
    """Whether there is another attempt of a turn that was cut off, or is this one."""
    limits = memory.home.limits
    attempt = turn.attempt + 1 if type(turn) is Holder else turn.attempt
    return is_run_again(limits.on_restart_of(turn.spec.agent)) and attempt <= limits.attempts


def cut_off(turn: Holder, memory: Memory, now: float) -> tuple[Memory, Waiting]:
    """A turn that will be run again waits for that; the epoch is drawn in which that is said."""
    # Who waits for its end here waits in vain.
    spec = turn.spec if turn.spec.ended_to is None else replace(turn.spec, ended_to=None)
    waiting = Waiting(spec, turn.attempt + 1, turn.queued_at)
    return replace(memory, last_epoch=drawn(turn.epoch, now)), waiting


def _goes_on_elsewhere(state: Cancelling, then: Closing) -> bool:
    """Whether nothing but the end of this process stops the turn, and another one runs it again."""
    memory = state.memory
    if then.for_good is not None or not memory.home.limits.durable:
        return False
    return not state.asks and lasting_cancel(state) is None and may_run_again(memory, state.turn)


def _hand_over(state: Cancelling, then: Closing, outcome: Outcome | None, now: float) -> Decision:
    """The turn goes on in another process, and the session is closed in this one."""
    turn = state.turn
    memory, waiting = cut_off(turn, state.memory, now)
    ended = end_attempt(memory, waiting, now, outcome, turn.spec.ended_to)
    fled = () if outcome is not None else (Quarantine(turn.epoch),)
    closed, closing = close(memory, replace(then, left=waiting), StreamEnd.SHUTDOWN, now)
    return closed, (ended, *fled, *closing)


def end_attempt(
    memory: Memory, waiting: Waiting, now: float, outcome: Outcome | None, ended_to: ReplyAddress | None
) -> EndAttempt:
    """End the attempt of a turn that waits for its next one since then."""
    from_start = memory.home.limits.on_restart_of(waiting.spec.agent) is OnRestart.RERUN
    return EndAttempt(waiting_record(waiting, memory.last_epoch), now, outcome, ended_to, from_start)


def end_waiting(
    memory: Memory,
    turn: Waiting,
    status: TurnStatus,
    now: float,
    asked: Cancellation | None = None,
    by: TurnId | None = None,
) -> tuple[Memory, EndTurn]:
    """End a turn that waits to be started.

    One that was started before has shown itself to readers, so its end has an id, in an epoch of its own.
    """
    spec = turn.spec
    if turn.attempt == 1:
        record = unstarted(spec, status, turn.queued_at, asked, now, superseded_by=by)
        return remember(memory, record, now), EndTurn(record, None, spec.ended_to)
    record = replace(
        waiting_record(turn, memory.last_epoch),
        epoch=drawn(memory.last_epoch, now),
        status=status,
        cancellation=asked,
        ended_at=now,
        superseded_by=by,
    )
    return remember(memory, record, now), EndTurn(record, None, spec.ended_to, anew=True, spec=spec)


# -- Closing ------------------------------------------------------------------------------------------


def close(memory: Memory, closing: Closing, end: StreamEnd, now: float) -> Decision:
    """Nothing holds the session: close it. ``end`` is why its streams end, if the close does not say."""
    closed = Closed(memory, closing.reason, closing.for_good, closing.left)
    noted = () if closing.for_good is None else (NoteClosed(closing.for_good, now),)
    answers = (Reply(to, view(closed)) for to in closing.to if to is not None)
    return closed, (*noted, CloseStreams(CAUSES[closing.reason.code].closes_as or end), *answers)
