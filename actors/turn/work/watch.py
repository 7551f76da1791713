"""Looks after the processes whose leader has ended, or that are being stopped, until they are gone.

Nothing tells of the end of processes that are no children of this one, so it is looked for: for all of them
together, with one reading of ``/proc`` at a time, and for at most a twentieth of the loop's time.
"""

import asyncio
import time
from typing import Final, Protocol

from .group import Table

#: How soon is looked for the first time, and how rarely at last, in seconds.
FIRST_LOOK: Final = 0.002
LAST_LOOK: Final = 0.1
#: How many times as long as a look took it is waited for the next one, at least.
REST: Final = 20.0


class Watched(Protocol):
    """What is looked after."""

    @property
    def may_be_gone(self) -> bool:
        """Whether it is worth a look, as far as can be said without one."""
        ...

    def look(self, table: Table) -> None:
        """These processes there are."""
        ...


class Watch:
    """Looks after the processes of one registry. Everything here belongs to its loop."""

    __slots__ = ("_delay", "_loop", "_table", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._delay = FIRST_LOOK
        # Until the end of this pass of the loop.
        self._table: Table | None = None

    def table(self) -> Table:
        """Which processes there are, as read in this pass of the loop."""
        if self._table is None:
            self._table = Table()
            self._loop.call_soon(self._forget_table)
        return self._table

    def begin(self, watched: Watched) -> None:
        """Look after this one, soon."""
        self._watched.add(watched)
        self._delay = FIRST_LOOK
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._delay, self._look)

    def end(self, watched: Watched) -> None:
        """It is gone, or was never there."""
        self._watched.discard(watched)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        began = time.thread_time()  # what others take of the machine meanwhile does not count
        self._timer = None
        worth_it = [each for each in self._watched if each.may_be_gone]
        if worth_it:
            self._table = None  # read anew
            table = self.table()
            for each in worth_it:
                each.look(table)
        if self._watched and self._timer is None:
            self._delay = min(2 * self._delay, LAST_LOOK)
            rest = REST * (time.thread_time() - began)
            self._timer = self._loop.call_later(max(self._delay, rest), self._look)

    def _forget_table(self) -> None:
        self._table = None
