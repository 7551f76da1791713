"""How a turn that waits gets another place, or the session, which another turn makes way for."""

from typing import assert_never

from turnkeeper.actors.model.messages import Superseded
from turnkeeper.actors.model.records import Cancellation, Reason
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, MoveTo, Place, Verdict
from turnkeeper.actors.session import ladder
from turnkeeper.actors.session.due import due
from turnkeeper.actors.session.effects import AnnouncePlaces, Decision, Effect, MoveWaiting, SetTimer
from turnkeeper.actors.session.holding import drop, go
from turnkeeper.actors.session.line import Line, Waiting, behind, front_of, in_front, with_front
from turnkeeper.actors.session.slots import slot_of
from turnkeeper.actors.session.states import Ending, Idle, Memory, Queued, Running, State

from . import winding

#: Looked up once: on Python 3.11 each look-up on an enum costs 0.1 us.
SUPERSEDED = CancelCode.SUPERSEDED
#: A session that takes sends, and in which there is something in their way.
Busy = Running | Ending | Queued


def is_free(state: Busy, line: Line | None) -> bool:
    """Whether nothing is in the way of a turn: all in the line wait for a moment, if any do."""
    return type(state) is Queued and front_of(line) is None


def with_line(state: Busy | Idle, memory: Memory, line: Line | None) -> Busy | Idle:
    """The same session, with those who wait in it."""
    if type(state) is Running or type(state) is Ending:
        return replace(state, memory=memory, line=line)
    if line is None:
        return Idle(memory)
    return replace(state, memory=memory, line=line) if type(state) is Queued else Queued(memory, line)


def put(
    state: Busy,
    line: Line | None,
    turn: Waiting,
    to: MoveTo,
    now: float,
    by: str,
    *,
    undo: bool = False,
) -> Decision:
    """Let a turn that waited elsewhere, and has left the ``line``, wait there; or start, if it is free to.

    ``by`` is the user who cancels what makes way for it, and with ``undo`` that is undone.
    """
    turn_id = turn.spec.turn_id
    after: State
    if is_free(state, line):
        after, effects = go(state.memory, with_front(line, turn), now)
        moved = (MoveWaiting(turn_id, Place.FRONT),) if type(after) is Queued else ()
        return after, (*moved, *effects, AnnouncePlaces())
    match to:
        case MoveTo.FIRST:
            after = with_line(state, state.memory, in_front(line, turn))
            effects = (MoveWaiting(turn_id, Place.REST, first=True),)
        case MoveTo.LAST:
            after = with_line(state, state.memory, behind(line, turn))
            effects = (MoveWaiting(turn_id, Place.REST),)
        case MoveTo.NOW:
            after, effects = take_the_place(state, line, turn, now, by, undo=undo)
            if type(after) is not Running:
                effects = (*effects, MoveWaiting(turn_id, Place.FRONT))
        case _:
            assert_never(to)
    return announced(after, effects)


def announced(after: State, effects: tuple[Effect, ...]) -> Decision:
    """One that waited elsewhere has its place now; the session looks again at the next one's moment."""
    moment = due(after)
    timer = () if moment is None else (SetTimer(moment),)
    return after, (*effects, AnnouncePlaces(), *timer)


def take_the_place(
    state: Busy, line: Line | None, turn: Waiting, now: float, by: str, *, undo: bool = False
) -> Decision:
    """Cancel what is in flight, if that has not been done, and start once it has settled.

    It takes the place of the turn that was called up before it, too; those behind that keep theirs. ``by`` is
    the user who cancels them. ``undo``: what has started of these is undone.
    """
    spec = turn.spec
    reason = Reason(SUPERSEDED, by)
    if type(state) is Running:
        line = Line(turn) if line is None else with_front(line, turn)
        entered = ladder.enter(state, reason, now, line=line)
        return winding.wished(entered, now) if undo else entered
    memory, before, line = state.memory, front_of(line), with_front(line, turn)
    effects: tuple[Effect, ...] = ()
    if before is not None:
        holder = state.turn if type(state) is Ending else None
        dropped = Cancellation(reason, now)
        memory, effects = drop(memory, (before,), dropped, now, spec.turn_id, holder, undo=undo)
    if type(state) is Ending:
        asked, noted = ladder.asked(replace(state, memory=memory, line=line), reason, now)
        ending = asked, (*noted, *effects)
        return winding.wished(ending, now) if undo else ending
    superseded = None
    if before is not None:
        ms = (now - spec.submitted_at) * 1000.0
        rollback = memory.records[-1].rollback
        superseded = Superseded(before.spec.turn_id, Verdict.CANCELLED, ms, rollback)
    after, more = go(memory, line, now, superseded, slot_of(state))
    return after, (*effects, *more)
