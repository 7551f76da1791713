"""What a session does when a turn that waits is moved to another place, or is to say something else."""

from typing import assert_never

from turnkeeper.actors.model.messages import Edit, Rearrange, ReplyAddress
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import MoveTo, Place
from turnkeeper.actors.session.effects import (
    AnnouncePlaces,
    Decision,
    EditWaiting,
    MoveWaiting,
    Reply,
)
from turnkeeper.actors.session.holding import go
from turnkeeper.actors.session.line import (
    Line,
    Waiting,
    behind,
    find,
    front_of,
    in_front,
    instead,
    with_front,
    without,
)
from turnkeeper.actors.session.refusals import closed, not_waiting, refuse, unknown_turn
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, Running, State
from turnkeeper.actors.session.views import find_turn, line_of, queue_of

from .sends import Busy, placed, take_the_place, with_line


def rearrange(state: State, message: Rearrange, now: float, to: ReplyAddress | None) -> Decision:
    """Move the turn, or edit it; answered with those that wait then.

    Refused for one that does not wait, and for the one that is called up: that has its place.
    """
    if type(state) is Closed or (type(state) is Ending and state.closing is not None):
        return refuse(state, to, closed(state))
    line = line_of(state)
    turn = find(line, message.turn_id)
    if type(state) is Idle or line is None or turn is None or turn is front_of(line):
        known = find_turn(state, message.turn_id)
        error = unknown_turn(message.turn_id) if known is None else not_waiting(message.turn_id)
        return refuse(state, to, error)
    if message.edited is not None:
        after, effects = _edited(state, line, turn, message.edited)
    elif message.to is not None:
        after, effects = _moved(state, line, turn, message.to, now)
    else:
        raise ValueError("a turn is neither moved nor edited")
    return after, (*effects, Reply(to, queue_of(after)))


def _edited(state: Busy, line: Line, turn: Waiting, edit: Edit) -> Decision:
    """It says something else, at its place; as a retry it is known by what it was sent with."""
    spec = replace(turn.spec, message=edit.message, size=edit.size)
    after = with_line(state, state.memory, instead(line, turn, replace(turn, spec=spec)))
    return after, (EditWaiting(spec, turn.joined),)


def _moved(state: Busy, line: Line, turn: Waiting, to: MoveTo, now: float) -> Decision:
    """It waits for its turn from now on, at another place; where nothing is in its way it starts."""
    turn_id, others = turn.spec.turn_id, without(line, turn)
    turn = replace(turn, not_before=None, collects=False)
    if type(state) is Queued and front_of(others) is None:
        started, effects = go(state.memory, with_front(others, turn), now)
        return started, (*effects, AnnouncePlaces())
    after: State
    match to:
        case MoveTo.FIRST:
            after = with_line(state, state.memory, in_front(others, turn))
            effects = (MoveWaiting(turn_id, Place.REST, first=True),)
        case MoveTo.LAST:
            after = with_line(state, state.memory, behind(others, turn))
            effects = (MoveWaiting(turn_id, Place.REST),)
        case MoveTo.NOW:
            after, effects = take_the_place(state, others, turn, now)
            if type(after) is not Running:
                effects = (*effects, MoveWaiting(turn_id, Place.FRONT))
        case _:
            assert_never(to)
    return placed(after, effects)
