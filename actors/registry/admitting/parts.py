"""Whether an agent takes what a message has in its parts. Pure."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from turnkeeper.actors.model.content import types_of
from turnkeeper.actors.model.exceptions import PartNotTaken
from turnkeeper.actors.model.messages import Rearrange
from turnkeeper.actors.session.line import find
from turnkeeper.actors.session.states import State
from turnkeeper.actors.session.views import line_of

#: The types of parts that agents take, by their names; who takes any is not there.
Takes: TypeAlias = Mapping[str, tuple[str, ...]]
#: How much of a part's type is repeated.
MAX_NAME = 100


def refuse_parts(takes: Takes, agent: str, message: Any) -> None:
    """Raise `PartNotTaken` for a message with a part that the agent does not take."""
    error = _not_taken(takes, agent, message)
    if error is not None:
        raise error


def edit_not_taken(takes: Takes, state: State, message: Rearrange) -> PartNotTaken | None:
    """Why a turn that waits cannot be given this message: its agent does not take it."""
    turn = None if message.edited is None else find(line_of(state), message.turn_id)
    if turn is None or message.edited is None:
        return None
    return _not_taken(takes, turn.spec.agent, message.edited.message)


def _not_taken(takes: Takes, agent: str, message: Any) -> PartNotTaken | None:
    taken = takes.get(agent)
    if taken is None:
        return None
    for kind in types_of(message):
        if kind not in taken:
            part = str(kind)[:MAX_NAME]
            text = f"agent {agent!r} takes no parts of type {part!r}, but: {', '.join(taken)}"
            return PartNotTaken(text, part=part, agent=agent)
    return None
