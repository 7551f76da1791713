"""A virtual clock: an event loop whose time jumps to its next timer when nothing is left to do.

Theory of operation
-------------------

An asyncio loop that has nothing ready asks its selector to wait until its next timer is due. Here the
selector does not wait: it moves the loop's clock there. So timers ring in their order, none early, none late,
an hour passes in no time, and two runs of the same coroutines take the same course.

Work outside the loop takes real time: threads and executors, child processes, the other ends of connections
(see `outside`). While any of that is under way the clock stands still and the selector waits for real, for at
most ``patience`` seconds for each. What such work reports wakes the loop, as always.

*What it cannot do.* It moves the loop's own clock: ``time.time()``, ``time.monotonic()`` and ``time.sleep()``
go on in real time, in an agent as in its threads. It takes a loop of asyncio's own with a selector, so not
uvloop. A thread that was there before the clock is not waited for, nor one that waits to be given work.
Processes are seen on Linux, and elsewhere where asyncio has a thread wait for them. How many loop passes
outside work takes is up to the machine: what is started at the same time in two threads may end in either
order.
"""

import asyncio
import selectors
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

from .outside import Outside, jobs_noted

#: Virtual seconds after which what still waits waits for something that will not come.
MONTH: Final = 30 * 24 * 3600.0
#: Passes of the loop after which what was under way has come to rest.
PASSES: Final = 30
#: For how many real seconds work outside the loop is waited for before time goes on without it.
PATIENCE: Final = 5.0
#: For how many real seconds at a time it is waited for.
_LOOK: Final = 0.002


async def settle(passes: int = PASSES) -> None:
    """Let the loop do what it has to do now, without letting time pass. Cancelling it changes nothing."""
    for _ in range(passes):
        await asyncio.sleep(0)


class VirtualClock:
    """The time of a loop that does not wait: when nothing is left to do it is the next timer's time."""

    def __init__(self, now: float) -> None:
        self._now = self._began = now

    def time(self) -> float:
        """The loop's time, in seconds."""
        return self._now

    @property
    def elapsed(self) -> float:
        """How many virtual seconds have passed."""
        return self._now - self._began

    def jump(self, seconds: float) -> None:
        """Let that much time pass in this very moment, as if something had blocked the loop."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let that much time pass; whatever comes due in it happens on the way, in order.

        Cancelling it leaves the clock where it is.
        """
        await asyncio.sleep(seconds)
        await settle()


class _JumpingSelector:
    """A selector that never waits for a timer: it moves the clock there."""

    def __init__(self, selector: selectors.BaseSelector, clock: VirtualClock, patience: float) -> None:
        self._selector = selector
        self._outside = Outside(selector, patience)
        self.clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return self._selector.select(timeout)
        ready = self._selector.select(0)
        if not ready and self._outside.may_work:
            ready = self._wait()
        if not ready:
            self.clock.jump(timeout)
            if self.clock.elapsed > MONTH:
                raise AssertionError("a month has passed: what this test waits for does not come")
        return ready

    def _wait(self) -> Any:
        """Wait for what works outside; what has become ready meanwhile, if anything has."""
        ready: Any = []
        while not ready and self._outside.works():
            began = monotonic()
            ready = self._selector.select(_LOOK)
            self._outside.has_waited(monotonic() - began)
        if not ready:
            ready = self._selector.select(0)
        for key, _ in ready:
            self._outside.heard(key.fd)
        return ready


@asynccontextmanager
async def virtual_time(
    began: float | None = None, *, patience: float = PATIENCE
) -> AsyncGenerator[VirtualClock, None]:
    """Let time jump on the running loop, as long as the block goes on.

    ``began``: what its clock shows at first; ``None``: its own time. ``patience``: for how many real seconds
    work outside the loop is waited for. Where time jumps already, this is the clock there is. Raises
    RuntimeError on a loop that is not asyncio's own with a selector, such as uvloop's.
    """
    loop: Any = asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    if isinstance(selector, _JumpingSelector):
        yield selector.clock
        return
    if selector is None:
        raise RuntimeError(
            f"time jumps on asyncio's own loop with a selector, not on a {type(loop).__name__}"
        )
    clock = VirtualClock(loop.time() if began is None else began)
    loop._selector, loop.time = _JumpingSelector(selector, clock, patience), clock.time
    try:
        with jobs_noted():
            yield clock
    finally:
        loop._selector = selector
        del loop.time
