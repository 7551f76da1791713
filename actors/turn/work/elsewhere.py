"""Threads that a turn has started by itself, with `asyncio.to_thread`: they cannot be stopped, only seen."""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import thread as pools
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any

#: The frame in which a thread of a pool does one piece of work. Its name is not a public one.
_WORKS_IN = getattr(getattr(getattr(pools, "_WorkItem", None), "run", None), "__code__", None)


def is_used() -> bool:
    """Whether the loop has threads of its own, which it starts when it is to. To be called on the loop."""
    return bool(_threads(asyncio.get_running_loop()))


def count(current: ContextVar[Any], turn: object) -> int:
    """How many threads of the loop's own pool do something for this turn, as far as that can be seen.

    It can where the turn's context went along, as `asyncio.to_thread` sees to. To be called on the loop.
    """
    return sum(each is turn for each in served(current, asyncio.get_running_loop()))


def served(current: ContextVar[Any], loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """The turn for which each thread of the loop's own pool does something, ``None`` where that is none.

    May be asked in any thread.
    """
    frames = sys._current_frames() if (threads := _threads(loop)) else {}
    for thread in tuple(threads):
        context = _context_of(frames.get(thread.ident))
        if context is not None:
            yield context.get(current)


def _threads(loop: asyncio.AbstractEventLoop) -> Collection[Any]:
    pool = getattr(loop, "_default_executor", None)
    return () if pool is None else getattr(pool, "_threads", ())


def _context_of(frame: FrameType | None) -> Context | None:
    """The context in which a thread of a pool does its work, whose innermost frame this is."""
    while frame is not None and frame.f_code is not _WORKS_IN:
        frame = frame.f_back
    if frame is None:
        return None
    work = getattr(frame.f_locals.get("self"), "fn", None)
    function: Callable[..., Any] | None = getattr(work, "func", None)
    context = getattr(function, "__self__", None)
    return context if isinstance(context, Context) else None
