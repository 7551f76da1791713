"""Python's cyclic garbage collector, kept from holding up the loop of a server with many sessions.

Sessions and turns are freed by their reference counts. What is left to the collector are the cycles that
agents and libraries make, and most of those are found among the young objects. The old ones are all sessions
and what they remember: with 100,000 sessions a look at them takes about a second, in which nothing else
happens. So they are looked at when a quarter as many have grown old, which is Python's own rule, and no turn
is in flight, or else when the garbage among them might have come to as much as what lives.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

#: The young objects are looked at when there are so many more of them, and those that have survived one look
#: after so many such looks: a few milliseconds each time.
YOUNG: Final = 10_000
LOOKS: Final = 2
#: So many objects have grown old when the collector has looked at the middle ones once.
GROWN_OLD: Final = YOUNG * (LOOKS + 1)
#: The old ones are never looked at of the collector's own accord.
NEVER: Final = 1_000_000_000

#: How often it is considered to look at the old objects, in seconds.
EVERY: Final = 5.0
#: So many must have grown old for a look when no turn is in flight, and for one in any case, if less lives.
SOME: Final = 2 * GROWN_OLD
MANY: Final = 1_000_000


def calm_the_collector() -> None:
    """Let Python's collector look at young objects, not too often, and at old ones never by itself."""
    gc.freeze()
    gc.set_threshold(YOUNG, LOOKS, NEVER)


class Garbage:
    """Has old objects looked at when that holds up no turn, or when it has to be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at_rest: Callable[[], bool]) -> None:
        """``at_rest`` says whether no turn is in flight."""
        self._loop = loop
        self._at_rest = at_rest
        #: How many objects there were after the last look.
        self._lived = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Consider it from now on, every `EVERY` seconds."""
        self._timer = self._loop.call_later(EVERY, self._consider)

    def stop(self) -> None:
        """Consider it no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _consider(self) -> None:
        grown_old = gc.get_count()[2] * GROWN_OLD
        if self._at_rest():
            due = grown_old >= max(SOME, self._lived // 4)
        else:
            due = grown_old >= max(MANY, self._lived)
        if due:
            gc.collect()
            self._lived = len(gc.get_objects())
        self.start()
