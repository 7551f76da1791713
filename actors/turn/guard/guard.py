"""Watches one turn, and has it stopped when it has used up what it may.

An event beyond the budget is not published; tokens beyond it have been used. A task of the turn's that emits
such an event or reports such tokens, and was not cancelled before, gets CancelledError there, as from any
place where it awaits: a loop that emits without awaiting could not be stopped otherwise, and would hold up
everything. In a critical section none gets it: the turn's stop is asked for, and waits. What it emits then,
while it cleans up, has a little room of its own (`budget`), as has what callbacks and tasks of others emit;
beyond that it is dropped, and counted. Numbers are given to what is published only, so a reader finds no hole
among them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from turnkeeper.actors.metrics.meter import (
    BUDGETS_EXCEEDED,
    EVENTS_OVER_BUDGET,
    TURNS_ABANDONED,
    TURNS_STALLED,
    Counter,
    Meter,
)
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.runtime import Countdown

from .budget import Budget
from .terms import Terms, abandoned


class Stop(Protocol):
    """Has the turn stopped."""

    def __call__(self, reason: Reason, raised_in: "asyncio.Task[Any] | None" = None, /) -> bool:
        """False if that was asked before. In the task ``raised_in`` CancelledError is raised next."""
        ...


class Guard:
    """Holds one turn to its terms, from its start until it is let go of."""

    __slots__ = ("_absence", "_budget", "_is_inside", "_meter", "_silence", "_stop", "_stopped")

    def __init__(
        self,
        terms: Terms,
        loop: asyncio.AbstractEventLoop,
        meter: Meter,
        stop: Stop,
        is_inside: Callable[[], bool],
        is_read: Callable[[], bool],
    ) -> None:
        """``is_inside``: whether it is called in a task of the turn's which may be cancelled now.

        ``is_read``: whether there is a reader, or an asker that waits for the turn's end.
        """
        self._meter = meter
        self._stop = stop
        self._is_inside = is_inside
        bounds = terms.max_events, terms.max_event_bytes, terms.max_tokens
        self._budget = None if bounds == (None, None, None) else Budget(*bounds)
        # The tasks that were stopped by what they emitted: each is once.
        self._stopped: set[asyncio.Task[Any]] | None = None
        self._silence = self._absence = None
        silent, alone = terms.stall_timeout, terms.abandon_after
        if silent is not None:
            stalled = Reason(CancelCode.STALLED, text=f"no event for {silent:g} s")
            self._silence = Countdown(loop, silent, lambda: self._ask(stalled, TURNS_STALLED))
        if alone is not None:
            left = abandoned(alone)
            self._absence = Countdown(loop, alone, lambda: self._ask(left, TURNS_ABANDONED), is_read)

    def admits(self, before: int, text: str) -> bool:
        """Whether an event with this data may be emitted, after ``before`` others; it counts then.

        Raises CancelledError instead of a first no, in a task that was not cancelled before.
        """
        if self._budget is not None and not self._budget.takes(before, text):
            return self._takes_last(self._budget, before, text)
        if self._silence is not None:
            self._silence.put_off()
        return True

    def spends(self, before: int, tokens: int) -> None:
        """The turn has used so many tokens, and emitted ``before`` events.

        Raises CancelledError where those are too many, in a task that was not cancelled before.
        """
        if self._budget is not None and not self._budget.covers(before, tokens):
            self._refuse(self._budget)

    def _takes_last(self, budget: Budget, before: int, text: str) -> bool:
        self._refuse(budget)
        taken = budget.takes_last(before, text)
        if not taken:
            self._meter.count(EVENTS_OVER_BUDGET)
        return taken

    def _refuse(self, budget: Budget) -> None:
        """The budget is exceeded: have the turn stopped, and end the task that does not know it yet."""
        task = self._unstopped_task()
        reason = Reason(CancelCode.BUDGET_EXCEEDED, text=budget.exceeded)
        self._ask(reason, BUDGETS_EXCEEDED, task)
        if task is not None:
            if self._stopped is None:
                self._stopped = set()
            self._stopped.add(task)
            raise asyncio.CancelledError(str(reason.code))

    def _unstopped_task(self) -> "asyncio.Task[Any] | None":
        """The task of the turn's that this is called in, if it was not cancelled before."""
        task = _current_task()
        if task is None or task.cancelling() or not self._is_inside() or task in (self._stopped or ()):
            return None
        return task

    def _ask(self, reason: Reason, counter: Counter, raised_in: "asyncio.Task[Any] | None" = None) -> None:
        if self._stop(reason, raised_in):
            self._meter.count(counter)

    def readers_changed(self) -> None:
        """A reader has come, or one has gone: it has been read until now."""
        if self._absence is not None:
            self._absence.let_go()

    def rest(self) -> None:
        """The turn is over."""
        for countdown in (self._silence, self._absence):
            if countdown is not None:
                countdown.stop()
        self._silence = self._absence = None


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # the loop's thread, and the loop does not run
