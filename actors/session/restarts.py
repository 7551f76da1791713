"""What becomes of a session's turns when their process has ended, and what a session does while one waits.

A turn that ran is cut off: it ends as `interrupted`, or waits for its next attempt. A turn that waited for it
starts. All that a session of an earlier process still owes to its readers is said in epochs drawn for that,
because what was said last in the epoch that was cut off may have been seen and not be known here.
"""

from typing import assert_never

from turnkeeper.actors.model.messages import CancelAnswer, ReplyAddress, Stop, Submit, Superseded
from turnkeeper.actors.model.records import Cancellation, LateEnd, Reason
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, Strategy, TurnStatus, Verdict

from . import gate, stops
from .consequences import CAUSES, ENDS
from .effects import CloseStreams, Decision, Effect, EndTurn, NoteLateEnd, Reply, SetTimer
from .holding import close, cut_off, drawn, end_attempt, end_waiting, let_go, may_run_again, start
from .record import record_of, remember
from .refusals import busy, refuse
from .states import Cancelling, Closed, Closing, Idle, Memory, Queued, Running, State, Successor, Waiting

INTERRUPTED, CANCELLED = TurnStatus.INTERRUPTED, TurnStatus.CANCELLED

# -- After a restart ----------------------------------------------------------------------------------


def needs_recovery(state: State) -> bool:
    """Whether a session that was loaded has to be sent a `Recover` before anything else."""
    return not isinstance(state, Idle | Closed) or bool(state.memory.quarantined)


def recover(state: State, now: float) -> Decision:
    """Say what becomes of the turns of a session whose process is gone."""
    memory, noted = _without_given_up(state.memory, now)
    if noted:
        state = replace(state, memory=memory)
    if type(state) is Idle or type(state) is Closed:
        return state, noted
    if type(state) is Queued:
        after, effects = _recover_queued(state, now)
    elif type(state) is Running:
        after, effects = _recover_running(state, now)
    elif type(state) is Cancelling:
        after, effects = _recover_cancelling(state, now)
    else:
        assert_never(state)
    return after, (*noted, *effects)


def _without_given_up(memory: Memory, now: float) -> tuple[Memory, tuple[Effect, ...]]:
    """The coroutines that were given up have ended with their process."""
    quarantined, notes = memory.quarantined, list[Effect]()
    if not quarantined:
        return memory, ()
    memory = replace(memory, quarantined=())
    late = LateEnd(INTERRUPTED, now)
    for record in quarantined:
        memory = remember(memory, replace(record, ended_late=late), now)
        notes.append(NoteLateEnd(record.turn_id, late))
    return memory, tuple(notes)


def _recover_queued(state: Queued, now: float) -> Decision:
    turn, memory = state.turn, state.memory
    if turn.attempt == 1 and memory.home.limits.on_restart_of(turn.spec.agent) is not None:
        return _start(memory, turn, now)
    if turn.attempt > 1 and may_run_again(memory, turn):
        return _wait(memory, turn, now)
    memory, end = end_waiting(memory, turn, INTERRUPTED, now)
    return Idle(memory), (end,)


def _recover_running(state: Running, now: float) -> Decision:
    turn = state.turn
    if may_run_again(state.memory, turn):
        memory, waiting = cut_off(turn, state.memory, now)
        ended = end_attempt(memory, waiting, now, None, turn.spec.ended_to)
        queued, effects = _wait(memory, waiting, now)
        return queued, (ended, *effects)
    memory, end = _interrupted(state, now)
    return Idle(memory), (end,)


def _recover_cancelling(state: Cancelling, now: float) -> Decision:
    """Its cancel was asked, so there is no other attempt. What it made way for starts."""
    memory, end = _interrupted(state, now)
    then = state.then
    effects: list[Effect] = [end]
    if type(then) is Successor and memory.home.limits.on_restart_of(then.spec.agent) is None:
        memory, ended = end_waiting(memory, Waiting(then.spec, 1, then.queued_at), INTERRUPTED, now)
        effects.append(ended)
        state = replace(state, then=None)
    return let_go(state, memory, end.record, effects, now)


def _interrupted(state: Running | Cancelling, now: float) -> tuple[Memory, EndTurn]:
    turn = state.turn
    record = replace(record_of(state, INTERRUPTED, now), epoch=drawn(turn.epoch, now))
    return remember(state.memory, record, now), EndTurn(
        record, None, turn.spec.ended_to, anew=True, spec=turn.spec
    )


# -- While a turn waits to be started -----------------------------------------------------------------


def _wait(memory: Memory, turn: Waiting, now: float) -> tuple[Queued, tuple[Effect, ...]]:
    """Let the turn wait for its next attempt: the longer, the more there were."""
    due = now + memory.home.limits.backoff * 2.0 ** (turn.attempt - 2)
    return Queued(memory, turn, due), (SetTimer(due),)


def _start(memory: Memory, turn: Waiting, now: float) -> Decision:
    running, effects = start(memory, turn.spec, now, None, None, turn.queued_at, turn.attempt)
    return running, effects[:-1]  # its sender was answered by another process


def tick(state: Queued, now: float) -> Decision:
    """Start the turn if it is time."""
    if now < state.due:
        return state, (SetTimer(state.due),)
    return _start(state.memory, state.turn, now)


def submit(state: Queued, message: Submit, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a send does: unless it rejects, it takes the place of the turn that waits."""
    answered = gate.answered(state, message, now, to)
    if answered is not None:
        return answered
    match message.strategy:
        case Strategy.INTERRUPT:
            spec = message.spec
            asked = Cancellation(Reason(CancelCode.SUPERSEDED, spec.user), now)
            memory, end = end_waiting(state.memory, state.turn, CANCELLED, now, asked, spec.turn_id)
            ms = (now - spec.submitted_at) * 1000.0
            superseded = Superseded(end.record.turn_id, Verdict.CANCELLED, ms)
            running, started = start(memory, spec, now, to, superseded)
            return running, (end, *started)
        case Strategy.REJECT:
            return refuse(state, to, busy(state))
        case _:
            assert_never(message.strategy)


def stop(state: Queued, message: Stop, now: float, to: ReplyAddress | None) -> Decision:
    """Say what a cancel does: unless it names another turn, the one that waits is over at once."""
    if message.turn_id is not None and message.turn_id != state.turn.spec.turn_id:
        return stops.other(state, message.turn_id, message, now, to)
    memory, end = end_waiting(state.memory, state.turn, CANCELLED, now, Cancellation(message.reason, now))
    reply = Reply(to, CancelAnswer(Verdict.CANCELLED, end.record, 0.0))
    if CAUSES[message.reason.code].ends_streams:
        return Idle(memory), (end, reply, CloseStreams(ENDS[CANCELLED].stream))
    return Idle(memory), (end, reply)


def shut(state: Queued, closing: Closing, now: float) -> Decision:
    """Close the session. Over a shutdown the turn goes on waiting, for another process."""
    if closing.for_good is None:
        return close(state.memory, replace(closing, left=state.turn), ENDS[CANCELLED].stream, now)
    memory, end = end_waiting(state.memory, state.turn, CANCELLED, now, Cancellation(closing.reason, now))
    closed, effects = close(memory, closing, ENDS[CANCELLED].stream, now)
    return closed, (end, *effects)
