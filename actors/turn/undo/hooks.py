"""What is to be done to undo a turn: registered by its agent while it runs, and by the host for all turns."""

from collections.abc import Callable
from typing import Any, TypeAlias

from turnkeeper.actors.model.records import Reason, SessionId, TurnId
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TurnStatus


@value
class UndoneTurn:
    """A turn that is being undone, as the host's ``on_rollback`` is given it.

    ``status`` is how it stopped, and ``interrupted`` if its process ended before it was undone. ``reason`` is
    why it was stopped, ``owner`` whose session it is, and ``attempt`` how often the turn had been started.
    """

    session_id: SessionId
    turn_id: TurnId
    owner: str
    user: str
    agent: str
    message: Any
    status: TurnStatus
    reason: Reason
    attempt: int = 1


#: What an agent registers with `Turn.on_rollback`; sync or async.
Hook: TypeAlias = Callable[[], Any]
#: What a host hands to a registry, to undo any turn; sync or async.
OnRollback: TypeAlias = Callable[[UndoneTurn], Any]


class Undo:
    """What a turn knows of its being undone: the hooks that do it, the first one registered first."""

    __slots__ = ("hooks", "runs", "wished")

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        #: Whether the turn is to be undone once it has stopped.
        self.wished = False
        #: Whether its hooks run.
        self.runs = False
