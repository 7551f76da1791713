"""What a turn has its registry do."""

import asyncio
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, TypeVar

from turnkeeper.actors.model.exceptions import InvalidRequest, TurnOver, WrongThread
from turnkeeper.actors.turn.work.threads import call_here

from .host import TurnHost
from .specified import Specified

T = TypeVar("T")


class Hosted(Specified):
    """What a turn has its registry do."""

    __slots__ = ()
    _host: TurnHost
    over: bool
    stop_asked: bool

    def set_title(self, title: str) -> None:
        """Give the session this title, in lists of sessions. Synchronous.

        Without it the title is made of the first message. Raises `InvalidRequest` for an empty one,
        `TitleTooLong`, `TurnOver` once the turn is over, and `WrongThread` off the loop's thread, but for
        `in_thread`.
        """
        if get_ident() != self._host.thread:
            what = "set_title belongs on the loop: loop.call_soon_threadsafe(turn.set_title, title)"
            self.for_thread(what, partial(self.set_title, title))
            return
        if self.over:
            raise TurnOver(f"turn {self.turn_id} is over: its session's title stays as it is")
        self._host.set_title(self.session_id, title)

    async def run_stages(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Run the stages of that name, each with what the one before returned, and return the last one's.

        Without any, that is ``data``. Raises `StageFailed`, and `InvalidRequest` for data that is no dict. No
        stage begins once the turn was asked to stop; cancelling it cancels the one that runs.
        """
        if not isinstance(data, dict):
            raise InvalidRequest("data must be a dict", field="data")
        return await self._host.stages.run(name, data, self)

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    def for_thread(self, what: str, do: Callable[[], T]) -> T:
        """Have the loop do this for a thread in which the turn runs a function.

        Raises what that raises; CancelledError if the turn was stopped for it; and in any other thread
        `WrongThread`, with ``what`` is to be done there.
        """
        call = call_here()
        if call is None:
            raise WrongThread(what)
        return call.on_loop(partial(self._done_for_thread, do))

    def _done_for_thread(self, do: Callable[[], T]) -> T:
        asked = self.stop_asked
        answer = do()
        if self.stop_asked and not asked:
            raise asyncio.CancelledError
        return answer

    @property
    def call_is_cancelled(self) -> bool:
        """Whether this is a thread in which the turn runs a function whose end is not wanted any more."""
        call = call_here()
        return call is not None and call.cancel_requested
