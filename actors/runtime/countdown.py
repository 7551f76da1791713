"""A span of time that can be put off, and that does not run while the event loop is blocked."""

import asyncio
from collections.abc import Callable

#: How often it is looked at within its span.
LOOKS = 4
#: How many seconds are at least between two looks, however short its span is, and while it is held.
LEAST_STEP = 0.01
LEAST_HELD = 0.25
#: What part of the time between two looks one may be late without showing that the loop was blocked.
LATE = 0.1
#: So many seconds late is never too late: of a short span such a part is less than a busy loop always is.
LEAST_LATE = 0.05
#: How many seconds too early is in time: loops call a little before the moment they were asked for.
EARLY = 1e-6


def _never() -> bool:
    return False


class Countdown:
    """Calls ``ring`` once so many seconds have passed since it was put off last, or made: never sooner.

    Putting it off notes the time and no more. The alarm stays where it was set: it looks what time has been
    noted since, and is set again. It looks more often than it would have to, because what could put it off
    is held up as well while the loop is blocked: where a look comes late, the time since the look before it
    does not count. At each look it also asks whether it is ``held``, and if it is, it begins anew at the next
    one. So after either it may ring late, by a quarter of its span at most, or by `LEAST_HELD` where that is
    longer and what held it has not said that it lets go.
    """

    __slots__ = ("_handle", "_held", "_looked_at", "_loop", "_ring", "_seconds", "_since", "_step")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        ring: Callable[[], None],
        held: Callable[[], bool] = _never,
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ring = ring
        self._held = held
        self._step = max(LEAST_STEP, seconds / LOOKS)
        self._since = self._looked_at = loop.time()
        self._handle = loop.call_at(self._since + min(seconds, self._step), self._look)

    def put_off(self) -> None:
        """Begin anew."""
        self._since = self._loop.time()

    def let_go(self) -> None:
        """Begin anew, and look in time: what has held it may do so no longer."""
        self.put_off()
        due = self._since + min(self._seconds, self._step)
        if self._handle.when() > due:
            self._handle.cancel()
            self._looked_at = self._since
            self._handle = self._loop.call_at(due, self._look)

    def stop(self) -> None:
        """Never ring."""
        self._handle.cancel()

    def _look(self) -> None:
        now, step = self._loop.time(), self._step
        if self._held():
            step = max(step, LEAST_HELD)
            self._looked_at = self._since = now + step
            self._handle = self._loop.call_at(self._since, self._look)
            return
        if now - self._handle.when() > max(LEAST_LATE, LATE * step):
            self._since += now - max(self._looked_at, self._since)
        left = self._since + self._seconds - now
        if left < EARLY:
            self._ring()
            return
        self._looked_at = now
        self._handle = self._loop.call_at(now + min(left, step), self._look)
