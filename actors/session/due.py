"""The one moment at which a session has to look again, whatever it waits for. Pure."""

from typing import assert_never

from .line import Line
from .states import Again, Asked, Closed, Ending, Held, Idle, Phase, Queued, Running, State, Winding


def due(state: State) -> float | None:
    """When something comes due in this session, if nothing else happens; ``None`` if nothing does."""
    if type(state) is Running:
        return state.deadline if state.line is None else _first(state.deadline, state.line.due)
    if type(state) is Ending:
        rung = rung_due(state.phase)
        # One that is to be closed places no turn any more.
        return rung if state.line is None or state.closing is not None else _first(rung, state.line.due)
    if type(state) is Queued:
        return line_due(state.line)
    if type(state) is Idle or type(state) is Closed:
        return None
    assert_never(state)


def line_due(line: Line) -> float | None:
    """When the first of those that wait while nothing holds the session has waited for long enough."""
    return line.due if line.front is None else _first(line.front.not_before, line.due)


def rung_due(phase: Phase) -> float:
    """When the next rung of the ladder is due, or the time is up for what the end of the turn runs."""
    match phase:
        case Held():
            return phase.until
        case Asked():
            return phase.again_at
        case Again():
            return phase.end_at
        case Winding():
            return phase.until
        case _:
            assert_never(phase)


def _first(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
