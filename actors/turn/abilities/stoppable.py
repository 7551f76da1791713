"""What is called when a turn was stopped."""

from threading import get_ident
from typing import TypeVar

from turnkeeper.actors.events.feed import Feed
from turnkeeper.actors.model.exceptions import TurnOver, WrongThread
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.turn.recorder import Said
from turnkeeper.actors.turn.winding.hooks import CancelHook, HostHooks
from turnkeeper.actors.turn.winding.published import text_in

from .undoable import Undoable

H = TypeVar("H", bound=CancelHook)


class Stoppable(Undoable):
    """What a turn knows of what is to be done once it was stopped."""

    __slots__ = ("_hears", "_said")
    _feed: Feed
    _hears: bool
    _said: Said | None

    def on_cancel(self, hook: H) -> H:
        """Have this function called if the turn is cancelled and does not finish first.

        It is called as ``hook(reason, partial)``, and may be a coroutine function: with the `Reason` of the
        cancel, and with the text of the turn's ``delta`` events. By then the coroutine has ended, or was
        given up, and nothing more of it is published. The one registered first is called first; all together
        have ``wind_grace`` seconds. In it, `context` is the conversation as it will be kept, and may be
        changed, unless the turn was given up. Can be a decorator. It is lost with the process: the
        ``on_interrupt`` of a registry is not. Raises `InvalidRequest`, `TurnOver` once the turn has ended,
        `OutsideTurn` in a task that is not the turn's, and `WrongThread` off the loop's thread.
        """
        if get_ident() != self._host.thread:
            text = "on_cancel belongs on the loop: loop.call_soon_threadsafe(turn.on_cancel, hook)"
            raise WrongThread(text)
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: nothing will cancel it")
        self.check_inside("on_cancel")
        check_function(hook, "on_cancel", "a reason", "a text")
        own = self.made_own
        if own.on_cancel is None:
            own.on_cancel = []
            self.listen()
        own.on_cancel.append(hook)
        return hook

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    def heed(self, host: HostHooks) -> None:
        """It begins, and its end is the host's concern, too."""
        self.made_own.host = host
        if host.on_interrupt is not None:
            self._hears = True

    def listen(self) -> None:
        """Remember the text of its ``delta`` events from its beginning on, for hooks."""
        if self._hears:
            return
        self._hears = True
        most = self._host.most_recorded
        text = text_in(self._feed.log, self.turn_id, self.spec.policy.on_restart, most)
        if text:
            self._said = Said(most)
            self._said.hear({"text": text})

    @property
    def said(self) -> str:
        """The text of its ``delta`` events, if it is listened to."""
        return "" if self._said is None else self._said.text
