"""What becomes of a session's turns when their process has ended, and what a session does while one waits.

A turn that ran is cut off: it ends as `interrupted`, or waits for its next attempt. A turn that waited for it
starts. All that a session of an earlier process still owes to its readers is said in epochs drawn for that,
because what was said last in the epoch that was cut off may have been seen and not be known here.
"""

from typing import assert_never

from turnkeeper.actors.model.messages import Recover
from turnkeeper.actors.model.records import LateEnd
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.session.effects import Decision, Effect, NoteLateEnd
from turnkeeper.actors.session.holding import (
    cut_off,
    end_attempt,
    end_waiting,
    go,
    interrupted,
    let_go,
    may_run_again,
)
from turnkeeper.actors.session.line import Line, Waiting, waiting_turns, with_front, without
from turnkeeper.actors.session.record import remember
from turnkeeper.actors.session.states import Closed, Ending, Idle, Memory, Queued, Running, State

from . import winding

INTERRUPTED = TurnStatus.INTERRUPTED

# -- After a restart ----------------------------------------------------------------------------------


def needs_recovery(state: State) -> bool:
    """Whether a session that was loaded has to be sent a `Recover` before anything else."""
    return not isinstance(state, Idle | Closed) or bool(state.memory.quarantined)


def recover(state: State, message: Recover, now: float) -> Decision:
    """Say what becomes of the turns of a session whose process is gone."""
    memory, noted = _without_given_up(state.memory, now)
    if noted:
        state = replace(state, memory=memory)
    if type(state) is Idle or type(state) is Closed:
        return state, noted
    if type(state) is Queued:
        after, effects = _recover_queued(state, now)
    elif type(state) is Running:
        after, effects = _recover_running(state, message, now)
    elif type(state) is Ending:
        after, effects = _recover_ending(state, message, now)
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
    memory, line, effects = _sifted(state.memory, state.line, now)
    after, more = go(memory, line, now)
    return after, (*effects, *more)


def _recover_running(state: Running, message: Recover, now: float) -> Decision:
    turn = state.turn
    if may_run_again(state.memory, turn):
        memory, waiting = cut_off(turn, state.memory, now)
        ended: Effect = end_attempt(memory, waiting, now, None, turn.spec.ended_to)
        line = with_front(state.line, waiting)
    elif message.winds:
        return _recover_ending(winding.over_by_itself(state, now), message, now)
    else:
        memory, ended = interrupted(state, now, extras=message.extras)
        line = state.line
    memory, line, effects = _sifted(memory, line, now)
    after, more = go(memory, line, now)
    return after, (ended, *effects, *more)


def _recover_ending(state: Ending, message: Recover, now: float) -> Decision:
    """There is no other attempt of it. Its end may have something to run; then the next one starts."""
    if message.winds or state.undo is not None:
        memory, line, effects = _sifted(state.memory, state.line, now)
        after, more = winding.begin(replace(state, memory=memory, line=line), INTERRUPTED, now, message)
        return after, (*effects, *more)
    memory, end = interrupted(state, now, extras=message.extras)
    memory, line, effects = _sifted(memory, state.line, now)
    return let_go(replace(state, line=line), memory, end.record, [end, *effects], now)


# -- Those who wait -----------------------------------------------------------------------------------


def _sifted(memory: Memory, line: Line | None, now: float) -> tuple[Memory, Line | None, tuple[Effect, ...]]:
    """Who goes on waiting. Over are those whose agent is not there, or that were started often enough."""
    effects: list[Effect] = []
    for turn in waiting_turns(line):
        if not _may_start(memory, turn):
            memory, end = end_waiting(memory, turn, INTERRUPTED, now)
            line = without(line, turn)
            effects.append(end)
        elif turn.attempt > 1:
            # The more attempts there were, the longer it waits for the next one.
            backoff = memory.home.limits.backoff * 2.0 ** (turn.attempt - 2)
            line = with_front(line, replace(turn, not_before=now + backoff))
    return memory, line, tuple(effects)


def _may_start(memory: Memory, turn: Waiting) -> bool:
    if turn.attempt > 1:
        return may_run_again(memory, turn)
    return memory.home.limits.on_restart_of(turn.spec) is not None
