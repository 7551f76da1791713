"""The messages of a session that are not decided yet, with their askers."""

from collections.abc import Iterable
from typing import TypeAlias

from turnkeeper.actors.model.messages import Stop, Submit
from turnkeeper.actors.runtime import ReplyTo
from turnkeeper.actors.session.machine import Message
from turnkeeper.actors.session.record import early_cancel
from turnkeeper.actors.session.states import State

Mail: TypeAlias = tuple[Message, ReplyTo]


def for_later(mail: Iterable[Mail], state: State, now: float) -> list[Mail]:
    """The mail, to be decided later: each send behind its early cancel, which may have expired then."""
    later: list[Mail] = []
    for message, to in mail:
        if type(message) is Submit:
            early = early_cancel(state.memory, message.spec.turn_id, now)
            if early is not None:
                later.append((Stop(early.turn_id, early.reason, wait=False, asker=early.asker), None))
        later.append((message, to))
    return later
