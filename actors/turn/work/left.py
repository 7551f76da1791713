"""What runs on of turns that are over: what they were given up for, and threads that can only be seen."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any, get_args

from . import elsewhere
from .begun import Begun, Counted


class Left:
    """What the turns of one registry have left running. It belongs to the loop, but for `counts`."""

    __slots__ = ("_begun", "_current", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, current: ContextVar[Any]) -> None:
        """``current`` is the turn in whose context something runs."""
        self._loop = loop
        self._current = current
        self._begun: set[Begun] = set()

    def add(self, begun: Begun) -> None:
        """A turn is over, and this was running of it: it is counted until it has ended."""
        if not begun.settled:
            self._begun.add(begun)
            begun.when_settled = partial(self._begun.discard, begun)

    def counts(self) -> dict[Counted, int]:
        """How much runs on now, of each kind. May be asked in any thread."""
        counts: dict[Counted, int] = dict.fromkeys(get_args(Counted), 0)
        for begun in tuple(self._begun):
            for kind in tuple(begun.kinds):
                if kind.counted_as is not None:
                    counts[kind.counted_as] += kind.running
        served = (turn for turn in elsewhere.served(self._current, self._loop) if turn is not None)
        counts["threads"] += sum(turn.is_left_in(self) for turn in served)
        return counts
