"""What a session does when a turn that waits is moved to another place, or is to say something else."""

from turnkeeper.actors.model.messages import Edit, Rearrange, ReplyAddress
from turnkeeper.actors.model.records import TurnSpec
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import MoveTo
from turnkeeper.actors.session.effects import (
    Decision,
    EditWaiting,
    Reply,
    ReplyPlaced,
)
from turnkeeper.actors.session.line import (
    Line,
    Waiting,
    find,
    instead,
    without,
)
from turnkeeper.actors.session.refusals import closed, not_waiting, refuse, unknown_turn
from turnkeeper.actors.session.states import Closed, Ending, Idle, Queued, State
from turnkeeper.actors.session.views import find_turn, line_of, queue_of

from .places import Busy, put, with_line


def rearrange(state: State, message: Rearrange, now: float, to: ReplyAddress | None) -> Decision:
    """Move the turn, or edit it; answered with those that wait then.

    Refused for one that does not wait, and for a message that takes more room than there is. The one that is
    called up has its place, and is not moved; nor is it edited if it was cut off and is tried again.
    """
    if type(state) is Closed or (type(state) is Ending and state.closing is not None):
        return refuse(state, to, closed(state))
    line = line_of(state)
    turn = find(line, message.turn_id)
    if type(state) is Idle or line is None or turn is None or not _may_be_changed(line, turn, message):
        known = find_turn(state, message.turn_id)
        error = unknown_turn(message.turn_id) if known is None else not_waiting(message.turn_id)
        return refuse(state, to, error)
    if message.edited is not None:
        edited = _edited(turn.spec, message.edited)
        if message.no_room is not None and edited.size > turn.spec.size:
            return refuse(state, to, message.no_room)
        after, effects = _with_edited(state, line, turn, edited, message.by)
    elif message.to is not None:
        after, effects = _moved(state, line, turn, message, message.to, now)
    else:
        raise ValueError("a turn is neither moved nor edited")
    waiting = queue_of(after)
    if type(after) is Queued and after.asked is not None:
        return after, (*effects, ReplyPlaced(to, waiting, after.asked))
    return after, (*effects, Reply(to, waiting))


def _may_be_changed(line: Line, turn: Waiting, message: Rearrange) -> bool:
    return turn is not line.front or (message.edited is not None and turn.is_new)


def _edited(spec: TurnSpec, edit: Edit) -> TurnSpec:
    """It says something else; as a retry it is known by what it was sent with."""
    return replace(spec, message=edit.message, size=edit.size + spec.size_besides)


def _with_edited(state: Busy, line: Line, turn: Waiting, edited: TurnSpec, by: str) -> Decision:
    """It keeps its place."""
    after = with_line(state, state.memory, instead(line, turn, replace(turn, spec=edited)))
    return after, (EditWaiting(edited, turn.joined, by),)


def _moved(state: Busy, line: Line, turn: Waiting, message: Rearrange, to: MoveTo, now: float) -> Decision:
    """It waits for its turn from now on, at another place; where nothing is in its way it starts."""
    moved = replace(turn, not_before=None, collects=False)
    return put(state, without(line, turn), moved, to, now, message.by)
