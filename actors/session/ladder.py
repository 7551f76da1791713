"""The grace ladder of a turn: cancelled, cancelled again at half of its grace, given up at its end.

Below its first rung a cancel may wait for critical sections of the turn. What the turn has begun, its tasks,
threads and processes, climbs the same ladder, also where the coroutine has returned by itself.
"""

from typing import assert_never

from turnkeeper.actors.model.records import Cancellation, Reason
from turnkeeper.actors.model.value import replace

from . import line as lines
from .consequences import CAUSES
from .due import due, rung_due
from .effects import CancelTurn, Decision, Effect, HoldCancel, NoteCancel, SetTimer, StopWork
from .line import Line
from .states import (
    Again,
    Ask,
    Asked,
    Closed,
    Closing,
    Ending,
    Held,
    Idle,
    Phase,
    Queued,
    Running,
    Section,
    State,
    Winding,
)

# -- The first rung -----------------------------------------------------------------------------------


def enter(
    state: Running,
    reason: Reason,
    now: float,
    asks: tuple[Ask, ...] = (),
    line: Line | None = None,
    closing: Closing | None = None,
    grace: float | None = None,
) -> tuple[Ending, tuple[Effect, ...]]:
    """Cancel the turn in flight; ``line`` is who waits then. A ``grace`` may only shorten the turn's own.

    Its critical sections put that off.
    """
    turn = state.turn
    span = turn.spec.grace if grace is None else min(turn.spec.grace, grace)
    cancellation = Cancellation(reason, now)
    if state.sections:
        held = _held(state, now, grace)
        if held is not None:
            ending = Ending(state.memory, turn, cancellation, held, asks, line, closing)
            holds = HoldCancel(turn.spec.head.turn_id, turn.epoch, reason, now)
            return ending, (holds, SetTimer(next_due(ending)))
    phase = Asked(now + span / 2, now + span)
    ending = Ending(state.memory, turn, cancellation, phase, asks, line, closing)
    cancel = CancelTurn(turn.spec.head.turn_id, turn.epoch, reason, now)
    at = phase.again_at if line is None or not line.later else next_due(ending)
    return ending, (cancel, SetTimer(at))


def _held(state: Running, now: float, grace: float | None) -> Held | None:
    """What a cancel waits for, if there is anything: a shutdown leaves it half of the ``grace``."""
    sections = in_time(state.sections, now)
    if not sections:
        return None
    held = Held(sections, state.turn.spec.grace)
    return held if grace is None else _held_for_less(held, now, grace)


def in_time(sections: tuple[Section, ...], now: float) -> tuple[Section, ...]:
    """Those of the critical sections whose time is not up."""
    return tuple([section for section in sections if now < section.until])


def _held_for_less(held: Held, now: float, grace: float) -> Held:
    until = now + grace / 2
    sections = [Section(section.number, min(section.until, until)) for section in held.sections]
    return Held(tuple(sections), min(held.grace, grace / 2))


def deliver(state: Ending, held: Held, now: float) -> tuple[Ending, tuple[Effect, ...]]:
    """Cancel the coroutine: the critical sections for which that has waited are over, or their time is up."""
    cancellation = state.cancellation
    if cancellation is None:
        raise ValueError("a cancel that waits was asked for")
    turn, phase = state.turn, Asked(now + held.grace / 2, now + held.grace)
    delivered = replace(state, cancellation=replace(cancellation, delivered_at=now), phase=phase)
    head, reason = turn.spec.head, cancellation.reason
    cancel = CancelTurn(head.turn_id, turn.epoch, reason, cancellation.asked_at, held=True)
    return delivered, (cancel, SetTimer(next_due(delivered)))


def returned(state: Running, now: float) -> tuple[Ending, tuple[Effect, ...]]:
    """Its coroutine has returned by itself: stop what it has begun and left running."""
    turn = state.turn
    span = turn.spec.grace
    ending = Ending(state.memory, turn, None, Asked(now + span / 2, now + span), (), state.line)
    return ending, (StopWork(turn.epoch), SetTimer(next_due(ending)))


def asked(state: Ending, reason: Reason, now: float) -> tuple[Ending, tuple[Effect, ...]]:
    """The same turn on its way out, asked to stop. One that has returned by itself was not, before."""
    if state.cancellation is not None:
        return state, ()
    noted = (NoteCancel(state.turn.spec.turn_id, reason, now),) if CAUSES[reason.code].lasts else ()
    return replace(state, cancellation=Cancellation(reason, now)), noted


# -- The next one -------------------------------------------------------------------------------------


def climb(state: Ending, now: float) -> Decision | None:
    """What the tick of the next rung does; ``None`` at the end of the ladder, where the turn is given up."""
    phase = state.phase
    match phase:
        case Held():
            return deliver(state, phase, now)
        case Asked(again_at, end_at):
            # A tick that comes late, because the loop was blocked, skips no rung and shortens none to
            # nothing: the coroutine was blocked too.
            again = Again(end_at if now < end_at else now + (end_at - again_at))
            return _again(state, again, now)
        case Again() | Winding():
            return None
        case _:
            assert_never(phase)


def _again(state: Ending, again: Again, now: float) -> Decision:
    turn, cancellation = state.turn, state.cancellation
    if cancellation is None:
        climbed = replace(state, phase=again)
        return climbed, (StopWork(turn.epoch, again=True), SetTimer(next_due(climbed)))
    climbed = replace(state, cancellation=replace(cancellation, again_at=now), phase=again)
    reason, asked_at = cancellation.reason, cancellation.asked_at
    cancel = CancelTurn(turn.spec.turn_id, turn.epoch, reason, asked_at, again=True)
    return climbed, (cancel, SetTimer(next_due(climbed)))


# -- Its times ----------------------------------------------------------------------------------------


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
        case Held():
            return phase  # its sections began before that
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
        case Held():
            return _held_for_less(phase, now, grace)
        case Asked(again_at, end_at):
            return Asked(min(again_at, now + grace / 2), min(end_at, now + grace))
        case Again(end_at):
            return Again(min(end_at, now + grace))
        case Winding():
            return replace(phase, until=min(phase.until, now + grace))
        case _:
            assert_never(phase)
