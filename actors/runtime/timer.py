"""One alarm on an event loop that can be moved."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls ``ring`` once, at the earliest of the moments it was set to since it last rang."""

    __slots__ = ("_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Ring at ``due``, in the loop's time, unless it rings before."""
        if self._handle is not None:
            if self._handle.when() <= due:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(due, self._now)

    def cancel(self) -> None:
        """Do not ring, unless it is set again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _now(self) -> None:
        self._handle = None
        self._ring()
