"""Watches an event loop from a thread of its own, and notices when it is late."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeAlias

#: Called in the watching thread, with how many seconds late the loop is and the frame in which its thread is.
#: That is ``None`` if it was over before it could be seen, because C code held the interpreter.
OnStall: TypeAlias = Callable[[float, FrameType | None], None]

#: How often the loop is asked for a sign of life within its patience.
ASKS = 4

logger = logging.getLogger("pykka")


class LoopWatch:
    """Asks the loop for a sign of life, again and again, and calls ``on_stall`` once for each that is late.

    It is late after ``patience`` seconds. A loop that is not being run is not late. The thread ends by itself
    when the loop is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, on_stall: OnStall) -> None:
        self._loop = loop
        self._patience = patience
        self._on_stall = on_stall
        #: How late the last sign of life was, in seconds, and the latest of them.
        self.now = self.max = 0.0
        #: How many were later than the patience.
        self.count = 0
        self._asked = 0.0
        self._loops_thread = threading.get_ident()
        # The moments of the answers, and None to end: putting one there never waits.
        self._mail: SimpleQueue[float | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="turnkeeper loop watch", daemon=True)

    def start(self) -> None:
        """Begin to watch. Belongs on the loop's thread."""
        self._loops_thread = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """End, without waiting for the thread, which ends at once."""
        self._mail.put(None)

    # -- On the loop ------------------------------------------------------------------------------------

    def _answer(self) -> None:
        self._loops_thread = threading.get_ident()
        self._mail.put(time.monotonic())

    # -- In the thread ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        while self._rested():
            self._asked = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                return  # it is closed
            if not self._answered():
                return

    def _rested(self) -> bool:
        """Wait a while. False if this is to end."""
        rest, began = self._patience / ASKS, time.monotonic()
        try:
            self._mail.get(timeout=rest)
        except Empty:
            late = time.monotonic() - began - rest
            if late > self._patience:
                # This thread did not run either: C code held the interpreter, and has just let go of it.
                self._note(late)
                self._report(late, sys._current_frames().get(self._loops_thread))
            return True
        return False

    def _answered(self) -> bool:
        """Wait for the answer, however late it is. False if this is to end."""
        seen = paused = False
        while True:
            try:
                at = self._mail.get(timeout=self._patience)
            except Empty:
                if self._loop.is_closed():
                    return False
                frame = sys._current_frames().get(self._loops_thread)
                # Asked only now, so that the frame is one in which the loop was being run.
                paused = paused or not self._loop.is_running()
                if not (seen or paused) and self._mail.empty():
                    seen = True
                    self._report(time.monotonic() - self._asked, frame)
                continue
            if at is None:
                return False
            if not paused:
                self._note(at - self._asked)
                if self.now > self._patience and not seen:
                    self._report(self.now, None)
            return True

    def _note(self, late: float) -> None:
        self.now = late
        self.max = max(self.max, late)

    def _report(self, late: float, frame: FrameType | None) -> None:
        self.count += 1
        try:
            self._on_stall(late, frame)
        except Exception:
            logger.exception("a late event loop could not be reported")
