"""What a session does about a turn that is to be undone: when it has stopped, and before it has ended.

What undoes it is not known here: the shell runs its hooks, and reports that they have ended. Until then, and
for at most so long, the turn holds its session, so that no other turn starts before it is undone.
"""

from turnkeeper.actors.model.messages import Tick, TurnEnded
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Rollback, TurnStatus
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.consequences import settled_as
from turnkeeper.actors.session.effects import (
    CountStale,
    Decision,
    NoteUndo,
    SetTimer,
    WindUp,
)
from turnkeeper.actors.session.holding import interrupted, let_go, settle
from turnkeeper.actors.session.states import Ending, Winding


def wished(decided: Decision, now: float) -> Decision:
    """The same decision, by which the turn that is on its way out is to be undone, too: it is said once."""
    state, effects = decided
    if type(state) is not Ending or state.undo is not None:
        return decided
    return replace(state, undo=now), (NoteUndo(state.turn.spec.turn_id, now), *effects)


def ended(state: Ending, message: TurnEnded, now: float) -> Decision:
    """Begin to undo a turn whose coroutine has ended; late, if it was given up before that."""
    phase = state.phase
    if type(phase) is not Winding:
        status = settled_as(message.outcome, state.cancellation.reason.code)
        return begin(state, status, now, message)
    if phase.status is not TurnStatus.UNRESPONSIVE or phase.late is not None:
        return state, (CountStale(),)
    return replace(state, phase=replace(phase, late=message)), ()


def begin(state: Ending, status: TurnStatus, now: float, message: TurnEnded | Tick | None = None) -> Decision:
    """Undo a turn that has stopped, or was given up. Its process is gone where there is no ``message``."""
    turn, closing = state.turn, state.closing
    until = now + turn.spec.policy.wind_grace
    if closing is not None and closing.by is not None:
        until = min(until, closing.by)
    phase = Winding(until, status)
    if message is not None:
        outcome = message.outcome if type(message) is TurnEnded else None
        phase = Winding(until, status, outcome, message.first_event_at, message.began)
    after = replace(state, phase=phase)
    wind_up = WindUp(turn.spec, turn.epoch, status, state.cancellation.reason, turn.attempt)
    return after, (wind_up, SetTimer(ladder.next_due(after)))


def over(state: Ending, phase: Winding, rollback: Rollback, now: float) -> Decision:
    """The turn has been undone as far as it could be: it lets go of the session."""
    if phase.status is not TurnStatus.INTERRUPTED:
        return settle(state, phase, phase.status, phase.outcome, now, rollback)
    # What it had registered to undo it is gone with its process.
    memory, end = interrupted(state, now, Rollback.PARTLY)
    return let_go(state, memory, end.record, [end], now)
