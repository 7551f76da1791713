"""Whose turn runs on the event loop's thread, found in its frames; and the log entry of a loop that is late.

Nothing is kept for this, so it costs the turns nothing.
"""

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice, takewhile
from traceback import StackSummary, walk_stack
from types import FrameType
from typing import Any

from turnkeeper.actors.model.logger import about, logger

from .run import run
from .turn import Turn, TurnHost, current

#: How many frames of a stack are shown: the innermost ones.
MOST_FRAMES = 50
# The frame in which asyncio runs a step of a task, or a callback, in its context. Not every loop has one.
_STEP = getattr(getattr(asyncio.Handle, "_run", None), "__code__", None)


def _is_step(frame: FrameType) -> bool:
    """Whether asyncio runs a step of a task, or a callback, in this frame."""
    return frame.f_code is _STEP


def turn_of(frames: Iterable[FrameType], task: "asyncio.Task[Any] | None" = None) -> Turn | None:
    """The turn for which one of these frames runs: in its task, or in a task or a callback that it started.

    On a loop that is not asyncio's own, such as uvloop's, that is known of the turn's own task, and since
    Python 3.12 of ``task``, which the frames belong to.
    """
    for frame in frames:
        if frame.f_code is run.__code__:
            turn: Turn = frame.f_locals["turn"]
            return turn
        if _is_step(frame):
            context = getattr(frame.f_locals["self"], "_context", None)
            return None if context is None else context.get(current)
    get_context = getattr(task, "get_context", None)
    return None if get_context is None else get_context().get(current)


def log_stall(host: TurnHost, loop: asyncio.AbstractEventLoop, late: float, frame: FrameType | None) -> None:
    """Log that the loop is late, once, with the turn that runs and the stack of the loop's thread.

    ``frame`` is where that thread is, ``None`` if C code let no other look. For a turn of another registry's
    on the same loop nothing is logged: that one watches as well. May be called in any thread.
    """
    frames = [] if frame is None else [each for each, _ in walk_stack(frame)]
    turn = turn_of(frames, asyncio.current_task(loop)) if frames else None
    if turn is not None and not turn.runs_in(host):
        return
    if frame is None:
        where = "in C code that held the interpreter, so that its stack was not seen"
    elif turn is None:
        where = "in no turn"
    else:
        where = f"in turn {turn.turn_id} of session {turn.session_id}, user {turn.user}"
    record = logger.makeRecord(
        logger.name,
        logging.WARNING,
        __file__,
        log_stall.__code__.co_firstlineno,
        "the event loop is %.2f s late, %s",
        (late, where),
        None,
        log_stall.__name__,
        extra=None if turn is None else {**about(turn.session_id, turn.spec.head)},
        sinfo=_stack(frames) if frames else None,
    )
    if logger.isEnabledFor(logging.WARNING):
        logger.handle(record)


def _stack(frames: list[FrameType]) -> str:
    """The frames, innermost first, as Python writes a stack: those of the step that the loop runs."""
    step = list(islice(takewhile(lambda frame: not _is_step(frame), frames), MOST_FRAMES))
    lines = StackSummary.extract((frame, frame.f_lineno) for frame in reversed(step)).format()
    return "Stack (most recent call last):\n" + "".join(lines).rstrip()
