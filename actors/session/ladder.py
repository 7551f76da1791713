"""The grace ladder of a turn: cancelled, cancelled again at half of its grace, given up at its end."""

from typing import assert_never

from turnkeeper.actors.model.records import Cancellation, Reason
from turnkeeper.actors.model.value import replace

from . import line as lines
from .due import due, rung_due
from .effects import CancelTurn, Decision, Effect, SetTimer
from .line import Line
from .states import Again, Ask, Asked, Closed, Closing, Ending, Idle, Phase, Queued, Running, State, Winding


def enter(
    state: Running,
    reason: Reason,
    now: float,
    asks: tuple[Ask, ...] = (),
    line: Line | None = None,
    closing: Closing | None = None,
    grace: float | None = None,
) -> tuple[Ending, tuple[Effect, ...]]:
    """Cancel the turn in flight; ``line`` is who waits then. A ``grace`` may only shorten the turn's own."""
    turn = state.turn
    span = turn.spec.grace if grace is None else min(turn.spec.grace, grace)
    phase = Asked(now + span / 2, now + span)
    ending = Ending(state.memory, turn, Cancellation(reason, now), phase, asks, line, closing)
    cancel = CancelTurn(turn.spec.head.turn_id, turn.epoch, reason, now)
    at = phase.again_at if line is None or not line.later else next_due(ending)
    return ending, (cancel, SetTimer(at))


def climb(state: Ending, now: float) -> Decision | None:
    """What the tick of the next rung does; ``None`` at the end of the ladder, where the turn is given up."""
    phase = state.phase
    match phase:
        case Asked(again_at, end_at):
            # A tick that comes late, because the loop was blocked, skips no rung and shortens none to
            # nothing: the coroutine was blocked too.
            again = Again(end_at if now < end_at else now + (end_at - again_at))
            cancellation = replace(state.cancellation, again_at=now)
            climbed = replace(state, cancellation=cancellation, phase=again)
            turn, asked_at = state.turn, cancellation.asked_at
            cancel = CancelTurn(turn.spec.turn_id, turn.epoch, cancellation.reason, asked_at, again=True)
            return climbed, (cancel, SetTimer(next_due(climbed)))
        case Again() | Winding():
            return None
        case _:
            assert_never(phase)


def delayed(state: State, by: float) -> State:
    """The same state, in force ``by`` seconds after it was decided: its times count from then."""
    if by <= 0.0:
        return state
    match state:
        case Running(deadline=float(deadline)):
            return replace(state, deadline=deadline + by)
        case Queued():
            return replace(state, line=lines.delayed(state.line, by))
        case Ending():
            return replace(state, phase=_later(state.phase, by))
        case Idle() | Running() | Closed():
            return state
        case _:
            assert_never(state)


def _later(phase: Phase, by: float) -> Phase:
    match phase:
        case Asked(again_at, end_at):
            return Asked(again_at + by, end_at + by)
        case Again(end_at):
            return Again(end_at + by)
        case Winding():
            return replace(phase, until=phase.until + by)
        case _:
            assert_never(phase)


def next_due(state: Ending) -> float:
    """When a session whose turn is on its way out has to look again: there always is a next rung."""
    moment = due(state)
    return rung_due(state.phase) if moment is None else moment


def shortened(phase: Phase, now: float, grace: float) -> Phase:
    """What is left of the ladder when it must be over within ``grace`` seconds."""
    match phase:
        case Asked(again_at, end_at):
            return Asked(min(again_at, now + grace / 2), min(end_at, now + grace))
        case Again(end_at):
            return Again(min(end_at, now + grace))
        case Winding():
            return replace(phase, until=min(phase.until, now + grace))
        case _:
            assert_never(phase)
