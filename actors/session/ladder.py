"""The grace ladder of a turn: cancelled, cancelled again at half of its grace, given up at its end."""

from typing import assert_never

from turnkeeper.actors.model.records import Cancellation, Reason
from turnkeeper.actors.model.value import replace

from .effects import CancelTurn, Decision, Effect, SetTimer
from .states import (
    Again,
    Ask,
    Asked,
    Cancelling,
    Closed,
    Closing,
    Idle,
    Queued,
    Rung,
    Running,
    State,
    Successor,
)


def enter(
    state: Running,
    reason: Reason,
    now: float,
    asks: tuple[Ask, ...] = (),
    then: Successor | Closing | None = None,
    grace: float | None = None,
) -> tuple[Cancelling, tuple[Effect, ...]]:
    """Cancel the turn in flight. A ``grace`` may only shorten the turn's own."""
    turn = state.turn
    span = turn.spec.grace if grace is None else min(turn.spec.grace, grace)
    rung = Asked(now + span / 2, now + span)
    cancelling = Cancelling(state.memory, turn, Cancellation(reason, now), rung, asks, then)
    return cancelling, (CancelTurn(turn.spec.head.turn_id, turn.epoch, reason, now), SetTimer(rung.again_at))


def climb(state: Cancelling, now: float) -> Decision | None:
    """What a tick does on the ladder; ``None`` at its end, where the turn is given up."""
    rung = state.rung
    if now < due(rung):
        return state, (SetTimer(due(rung)),)
    match rung:
        case Asked(again_at, end_at):
            # A tick that comes late, because the loop was blocked, skips no rung and shortens none to
            # nothing: the coroutine was blocked too.
            again = Again(end_at if now < end_at else now + (end_at - again_at))
            cancellation = replace(state.cancellation, again_at=now)
            climbed = replace(state, cancellation=cancellation, rung=again)
            turn, asked_at = state.turn, cancellation.asked_at
            cancel = CancelTurn(turn.spec.turn_id, turn.epoch, cancellation.reason, asked_at, again=True)
            return climbed, (cancel, SetTimer(again.end_at))
        case Again():
            return None
        case _:
            assert_never(rung)


def delayed(state: State, by: float) -> State:
    """The same state, in force ``by`` seconds after it was decided: its times count from then."""
    if by <= 0.0:
        return state
    match state:
        case Running(deadline=float(deadline)):
            return replace(state, deadline=deadline + by)
        case Queued():
            return replace(state, due=state.due + by)
        case Cancelling():
            return replace(state, rung=_later(state.rung, by))
        case Idle() | Running() | Closed():
            return state
        case _:
            assert_never(state)


def _later(rung: Rung, by: float) -> Rung:
    match rung:
        case Asked(again_at, end_at):
            return Asked(again_at + by, end_at + by)
        case Again(end_at):
            return Again(end_at + by)
        case _:
            assert_never(rung)


def due(rung: Rung) -> float:
    """When the next rung is due."""
    match rung:
        case Asked():
            return rung.again_at
        case Again():
            return rung.end_at
        case _:
            assert_never(rung)


def shortened(rung: Rung, now: float, grace: float) -> Rung:
    """What is left of the ladder when it must be over within ``grace`` seconds."""
    match rung:
        case Asked(again_at, end_at):
            return Asked(min(again_at, now + grace / 2), min(end_at, now + grace))
        case Again(end_at):
            return Again(min(end_at, now + grace))
        case _:
            assert_never(rung)
