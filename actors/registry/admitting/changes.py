"""Whether a turn that waits may be moved, or say something else, by who asks. Pure."""

from typing import Final

from turnkeeper.actors.model.exceptions import PolicyNotAllowed, SessionError
from turnkeeper.actors.model.messages import Rearrange
from turnkeeper.actors.model.words import MoveTo, Strategy
from turnkeeper.actors.policy.layers import Layers
from turnkeeper.actors.session.line import Line, find
from turnkeeper.actors.session.refusals import not_yours_to_edit
from turnkeeper.actors.session.states import Queued, State
from turnkeeper.actors.session.views import line_of

#: The strategies by which a turn takes the place of another one anyway.
INTERRUPTING: Final = frozenset({Strategy.INTERRUPT, Strategy.ROLLBACK})


def change_not_allowed(layers: Layers, state: State, message: Rearrange) -> SessionError | None:
    """Why a user may not change a turn that waits in this way.

    What it says is its sender's to change: its agent is given it in the sender's name. And it takes no other
    turn's place where no send may choose to.
    """
    line = line_of(state)
    turn = None if message.sees_all else find(line, message.turn_id)
    if turn is None or line is None:
        return None
    spec = turn.spec
    if message.edited is not None:
        return None if message.by == spec.user else not_yours_to_edit(spec)
    if message.to is not MoveTo.NOW or spec.strategy in INTERRUPTING or not _is_in_the_way(state, line):
        return None
    if spec.agent not in layers.agents or "strategy" in layers.base(spec.agent, message.by).may:
        return None
    return PolicyNotAllowed("move may not be now here: no message may interrupt", field="move")


def _is_in_the_way(state: State, line: Line) -> bool:
    """Whether a turn is in flight, or called up."""
    return type(state) is not Queued or line.front is not None
