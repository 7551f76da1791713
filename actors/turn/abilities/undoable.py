"""How a turn is undone."""

from threading import get_ident
from typing import TypeVar

from turnkeeper.actors.model.exceptions import TurnOver, WrongThread
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.turn.winding.hooks import Undo, UndoHook

from .host import TurnHost
from .inside import Inside
from .own import Own

H = TypeVar("H", bound=UndoHook)


class Undoable(Inside):
    """What a turn knows of its being undone."""

    __slots__ = ("own",)
    _host: TurnHost
    over: bool
    own: Own | None

    def on_rollback(self, hook: H) -> H:
        """Have this function called if the turn is undone, because a message was sent that rolls it back.

        It is called without arguments, and may be a coroutine function. The one registered last is called
        first, once the turn has stopped; all together have ``wind_grace`` seconds. Can be a decorator. It is
        lost with the process: the ``on_rollback`` of a registry is not. Raises `InvalidRequest`, `TurnOver`
        once the turn has ended or is being undone, `OutsideTurn` in a task that is not the turn's, and
        `WrongThread` off the loop's thread.
        """
        if get_ident() != self._host.thread:
            text = "on_rollback belongs on the loop: loop.call_soon_threadsafe(turn.on_rollback, hook)"
            raise WrongThread(text)
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing will undo it")
        self.check_inside("on_rollback")
        check_function(hook, "on_rollback")
        self.own_undo.hooks.append(hook)
        return hook

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def own_undo(self) -> Undo:
        """What is to be done to undo it."""
        own = self.made_own
        if own.undo is None:
            own.undo = Undo()
        return own.undo

    @property
    def undo(self) -> Undo | None:
        """What is to be done to undo it, if anything is."""
        return None if self.own is None else self.own.undo

    @property
    def made_own(self) -> Own:
        """What it has that most turns do not."""
        if self.own is None:
            self.own = Own()
        return self.own

    def runs_in(self, host: TurnHost) -> bool:
        """Whether it is a turn of this registry's."""
        return self._host is host

    def is_awaited_by_itself(self, host: TurnHost | None, session_id: str, turn_id: str | None) -> bool:
        """Whether this turn, if it waited for that turn (or any turn) of the session, waited for itself."""
        holds = not self.over or (self.own is not None and self.own.winds_up)
        same = self._host is host and self.spec.session_id == session_id and holds
        return same and turn_id in (None, self.spec.turn_id)
