"""The tasks that one turn has begun with `Turn.create_task`."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .begun import Begun, Counted

T = TypeVar("T")
#: How many errors of tasks are kept until the turn's end, to see whether the turn has looked at them.
MOST_FAILED: Final = 100


class Tasks:
    """The tasks of one turn, each held until it has ended: the loop itself holds its tasks weakly."""

    counted_as: Counted = "tasks"

    __slots__ = ("_begun", "_failed", "_report", "_running")

    def __init__(self, begun: Begun, report: "Callable[[asyncio.Task[Any]], object]") -> None:
        """``report`` is called at the turn's end with each task that has failed unnoticed."""
        self._begun = begun
        self._report = report
        self._running: set[asyncio.Task[Any]] = set()
        self._failed: list[asyncio.Task[Any]] = []
        begun.kinds.append(self)

    @property
    def running(self) -> int:
        """How many of them run."""
        return len(self._running)

    def start(
        self, coroutine: Coroutine[Any, Any, T], name: str | None, loop: asyncio.AbstractEventLoop
    ) -> "asyncio.Task[T]":
        """Let this coroutine run in a task of its own."""
        task = loop.create_task(coroutine, name=name)
        # An eager one may have ended.
        if not task.done():
            self._running.add(task)
        task.add_done_callback(self._on_done)
        return task

    def stop(self, *, again: bool) -> None:
        """Cancel all that run."""
        for task in tuple(self._running):
            task.cancel()

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if _is_unheard(task) and len(self._failed) < MOST_FAILED:
            self._failed.append(task)
        self._begun.one_ended()

    def settle(self) -> None:
        """The turn has ended: report what no one has looked at."""
        failed, self._failed = self._failed, []
        for task in failed:
            if _is_unheard(task):
                self._report(task)


def _is_unheard(task: "asyncio.Task[Any]") -> bool:
    """Whether it has failed, and no one has looked at its error: asyncio keeps that to log it."""
    return bool(getattr(task, "_log_traceback", False))
