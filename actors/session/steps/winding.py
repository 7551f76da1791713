"""What a session does about what the end of a turn runs: when it has stopped, and before it has ended.

What that is is not known here: what undoes the turn, the host's hooks, the turns that it has sent messages
to. The shell runs it, and reports that it has been run. Until then, and for at most so long, the turn holds
its session, so that no other turn starts before it is wound up.
"""

from typing import assert_never

from turnkeeper.actors.model.messages import Recover, Tick, TurnEnded, WoundUp
from turnkeeper.actors.model.records import NO_EXTRAS, ChildTurn, Outcome
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import Rollback, TurnStatus
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.consequences import error_of, settled_as
from turnkeeper.actors.session.effects import (
    CountStale,
    CutWinding,
    Decision,
    NoteUndo,
    SetTimer,
    WindUp,
)
from turnkeeper.actors.session.holding import goes_on_elsewhere, hand_over, interrupted, let_go, settle
from turnkeeper.actors.session.record import kept_result, record_of
from turnkeeper.actors.session.states import Again, Asked, Ending, Held, Running, Winding

UNRESPONSIVE, INTERRUPTED, FAILED = TurnStatus.UNRESPONSIVE, TurnStatus.INTERRUPTED, TurnStatus.FAILED


def wished(decided: Decision, now: float) -> Decision:
    """The same decision, by which the turn that is on its way out is to be undone, too: it is said once.

    One whose end is being run already is not: it is too late for that.
    """
    state, effects = decided
    if type(state) is not Ending or state.undo is not None or type(state.phase) is Winding:
        return decided
    return replace(state, undo=now), (NoteUndo(state.turn.spec.turn_id, now), *effects)


def returned(state: Ending, now: float) -> Decision:
    """The coroutine has returned, and what it has begun runs on: it has no critical section any more."""
    phase = state.phase
    match phase:
        case Held():
            return ladder.deliver(state, phase, now)
        case Asked() | Again() | Winding():
            return state, ()
        case _:
            assert_never(phase)


def ended_late(state: Ending, phase: Winding, message: TurnEnded) -> Decision:
    """The turn has ended that was given up, while what its end runs is being run."""
    if phase.status is not UNRESPONSIVE or phase.late is not None:
        return state, (CountStale(),)
    return replace(state, phase=replace(phase, late=message)), ()


def given_up(state: Ending, message: Tick, now: float) -> Decision:
    """The end of the ladder has come: the turn is given up, or its time is up for what its end runs."""
    phase = state.phase
    if type(phase) is Winding:
        phase = _knowing(phase, () if message.extras is None else message.extras.children)
        after, effects = _over(state, phase, Rollback.PARTLY, now)
        return after, (CutWinding(state.turn.epoch), *effects)
    return stopped(state, message if message.ended is None else message.ended, now)


def stopped(state: Ending, message: TurnEnded | Tick, now: float) -> Decision:
    """The turn has ended, with all that it had begun; or a tick gives it up.

    What another process goes on with has not come to its end.
    """
    outcome: Outcome | None = None
    status = UNRESPONSIVE
    if type(message) is TurnEnded:
        outcome, cancellation = message.outcome, state.cancellation
        status = settled_as(outcome, None if cancellation is None else cancellation.reason.code)
    if state.closing is not None and goes_on_elsewhere(state, outcome):
        return hand_over(state, state.closing, outcome, now)
    if message.winds or state.undo is not None:
        return begin(state, status, now, message)
    return settle(state, message, status, outcome, now)


def ended_by_itself(state: Running, message: TurnEnded, now: float) -> Decision:
    """A turn has ended that was not cancelled, and there is something that its end runs."""
    return begin(over_by_itself(state, now), settled_as(message.outcome, None), now, message)


def over_by_itself(state: Running, now: float) -> Ending:
    """The same turn, at the end of the ladder: there is no one who asked it to stop."""
    return Ending(state.memory, state.turn, None, Again(now), (), state.line)


def begin(state: Ending, status: TurnStatus, now: float, message: TurnEnded | Tick | Recover) -> Decision:
    """Run what its end runs of a turn that has stopped, was given up, or whose process is gone."""
    turn, closing = state.turn, state.closing
    until = now + turn.spec.policy.wind_grace
    if closing is not None and closing.by is not None:
        until = min(until, closing.by)
    outcome = message.outcome if type(message) is TurnEnded else None
    phase = Winding(until, status, outcome, extras=message.extras)
    if type(message) is not Recover:
        phase = replace(phase, first_event_at=message.first_event_at, began=message.began)
    error = error_of(outcome) if status is FAILED else None
    result = kept_result(outcome, state.memory)
    record = record_of(state, status, now, error, phase.first_event_at, phase.began, result, phase.extras)
    after = replace(state, phase=phase)
    wind_up = WindUp(turn.spec, record, undo=state.undo is not None)
    return after, (wind_up, SetTimer(ladder.next_due(after)))


def wound_up(state: Ending, phase: Winding, message: WoundUp, now: float) -> Decision:
    """What its end runs has been run: it lets go of the session."""
    phase = _knowing(phase, message.children)
    return _over(state, phase, Rollback.PARTLY if message.failed else Rollback.DONE, now)


def _knowing(phase: Winding, children: tuple[ChildTurn, ...]) -> Winding:
    """The same phase, with what has become meanwhile of the turns that it has sent messages to."""
    return replace(phase, extras=replace(phase.extras or NO_EXTRAS, children=children)) if children else phase


def _over(state: Ending, phase: Winding, rollback: Rollback, now: float) -> Decision:
    """What its end runs has been run, as far as there was time: it lets go of the session.

    ``rollback`` is how far it was undone, if it was to be.
    """
    undone = rollback if state.undo is not None else None
    if phase.status is not INTERRUPTED:
        return settle(state, phase, phase.status, phase.outcome, now, undone)
    # What it had registered to undo it is gone with its process.
    memory, end = interrupted(state, now, None if undone is None else Rollback.PARTLY, phase.extras)
    return let_go(state, memory, end.record, [end], now)
