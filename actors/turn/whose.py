"""Whose turn the event loop's thread works for, found in its frames: it costs the turns nothing."""

import asyncio
from collections.abc import Iterable
from types import FrameType

from .run import run
from .turn import Turn, current

# The frame in which asyncio runs a step of a task, or a callback, in its context. Not every loop has one.
_STEP = getattr(getattr(asyncio.Handle, "_run", None), "__code__", None)


def turn_of(frames: Iterable[FrameType]) -> Turn | None:
    """The turn for which one of these frames runs: in its task, or in a task or a callback that it started.

    On a loop that is not asyncio's own, such as uvloop's, only the turn's own task is known.
    """
    for frame in frames:
        if frame.f_code is run.__code__:
            turn: Turn = frame.f_locals["turn"]
            return turn
        if frame.f_code is _STEP:
            context = getattr(frame.f_locals["self"], "_context", None)
            return None if context is None else context.get(current)
    return None
