"""What is called at the end of a turn: registered by its agent while it runs, and by the host for all."""

from collections.abc import Callable
from typing import Any, TypeAlias

from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.model.records import Reason, SessionId, ToolCall, TurnId, TurnRecord
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TurnStatus


@value
class InterruptedTurn:
    """A turn that was stopped, or whose process has ended, as the host's ``on_interrupt`` is given it.

    ``record`` is that of its end: which turn that is, of which user, how it ended and why it was asked to
    stop; ``owner`` is whose session it is. ``partial`` is the text of its ``delta`` events. Of a turn whose
    process has ended, that and its `open_calls` are there as far as its events are kept.
    """

    session_id: SessionId
    owner: str
    message: Any
    record: TurnRecord
    partial: str = ""

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that it had not come back from."""
        return self.record.open_calls


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


#: What an agent registers with `Turn.on_cancel`; sync or async. It is given why, and the text so far.
CancelHook: TypeAlias = Callable[[Reason, str], Any]
#: What an agent registers with `Turn.on_rollback`; sync or async.
UndoHook: TypeAlias = Callable[[], Any]
#: What a host hands to a registry, for any turn that is stopped, undone, or ends; sync or async.
OnInterrupt: TypeAlias = Callable[[InterruptedTurn], Any]
OnRollback: TypeAlias = Callable[[UndoneTurn], Any]
OnTurnEnd: TypeAlias = Callable[[TurnRecord], Any]


@value
class HostHooks:
    """The hooks of the host, which are called for any turn."""

    on_interrupt: OnInterrupt | None = None
    on_rollback: OnRollback | None = None
    on_turn_end: OnTurnEnd | None = None

    @property
    def at_interrupts(self) -> bool:
        """Whether any is called for a turn that was stopped, or whose process has ended."""
        return self.on_interrupt is not None or self.on_turn_end is not None


def host_hooks(
    on_interrupt: OnInterrupt | None, on_rollback: OnRollback | None, on_turn_end: OnTurnEnd | None
) -> HostHooks | None:
    """The hooks of a host; ``None`` if it has none. Raises `InvalidRequest` for one that cannot be called."""
    if on_interrupt is not None:
        check_function(on_interrupt, "on_interrupt", "an interrupted turn")
    if on_rollback is not None:
        check_function(on_rollback, "on_rollback", "an undone turn")
    if on_turn_end is not None:
        check_function(on_turn_end, "on_turn_end", "a record")
    hooks = HostHooks(on_interrupt, on_rollback, on_turn_end)
    return None if hooks == HostHooks() else hooks


class Undo:
    """What a turn knows of its being undone: the hooks that do it, the first one registered first."""

    __slots__ = ("hooks", "wished")

    def __init__(self) -> None:
        self.hooks: list[UndoHook] = []
        #: Whether the turn is to be undone once it has stopped.
        self.wished = False
