"""The tasks of one turn, watched: each of their awaits is counted, and at one of them the turn is cancelled.

The loop's task factory puts a `Stepped` around the coroutine of the turn's task, and around that of each task
that is started in the turn. So every suspension is seen when it takes place, before the task has given way to
the loop: a cancel that is asked there is delivered at that very await.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final

from turnkeeper.actors.turn.run import run
from turnkeeper.actors.turn.turn import Turn, current

from .clock import VirtualClock
from .outside import let_begin
from .place import Place, place_here, place_of, written
from .stepped import STEP, Stepped, discard

#: How many real seconds a step may take before it counts as blocking the loop.
SLOW: Final = 0.5
#: How many events an agent may emit in one step.
MOST_EMITTED: Final = 10_000


class Watch:
    """Watches the turn of this id. ``cancel`` is called at its await number ``at``, or at its ``most``-th.

    Its await 0 is before its first step. ``again``: at which await after that its task is cancelled a second
    time, which does not count as an await of its own.
    """

    def __init__(
        self,
        turn_id: str,
        file: str | None,
        clock: VirtualClock,
        cancel: Callable[[], None],
        *,
        at: int | None = None,
        again: int | None = None,
        most: int,
    ) -> None:
        self._turn_id = turn_id
        self._file = file
        self._clock = clock
        self._cancel = cancel
        self._at = at
        self._again = again
        self._most = most
        self._outside = contextvars.copy_context()
        self._thread = threading.get_ident()
        self._stepping = False
        self._emitted = 0
        self._spins = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.turn: Turn | None = None
        self.task: asyncio.Task[Any] | None = None
        #: Where its awaits stand, in their order, up to the cancel.
        self.awaits: list[Place] = []
        #: Whether it was to be cancelled, and whether that has reached its coroutine: it may hold it back.
        self.is_cancelled = False
        self.is_reached = False
        #: How many awaits there were from then on to its end.
        self.awaits_after = 0
        #: Where it blocked the loop: with ``time.sleep``, and in whatever else took long.
        self.slept: list[str] = []
        self.slow: list[str] = []
        #: Where it emitted on and on without an await, and was ended for it.
        self.babbled: str | None = None
        #: The events that were emitted after its end.
        self.late: list[str] = []

    # -- Tasks ------------------------------------------------------------------------------------------

    @contextmanager
    def installed(self, loop: asyncio.AbstractEventLoop) -> Generator[None, None, None]:
        """Watch the tasks that are started meanwhile on this loop."""
        before, sleep = loop.get_task_factory(), time.sleep

        def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
            watched = self._watched(coroutine, options.get("context"))
            make: Any = before
            task = make(loop, watched, **options) if make else asyncio.Task(watched, loop=loop, **options)
            if watched is not coroutine:
                self._tasks.add(task)
                if self.task is None:
                    self.task = task
            return task

        def slept(seconds: Any) -> None:
            if self._stepping and threading.get_ident() == self._thread:
                self.slept.append(written(place_here(self._file, STEP)))
                self._clock.jump(seconds)
            else:
                sleep(seconds)

        loop.set_task_factory(factory)
        time.sleep = slept
        try:
            yield
        finally:
            time.sleep = sleep
            loop.set_task_factory(before)

    def _watched(self, coroutine: Any, context: contextvars.Context | None) -> Coroutine[Any, Any, Any]:
        if getattr(coroutine, "cr_code", None) is run.__code__:
            turn: Turn = coroutine.cr_frame.f_locals["turn"]
            if turn.turn_id == self._turn_id:
                self._begin(turn)
            if self.turn is not None:  # another one is a child of it
                return Stepped(coroutine, self)
        elif self.turn is not None:
            inside = current.get() if context is None else context.get(current)
            if inside is self.turn or asyncio.current_task() in self._tasks:
                return Stepped(coroutine, self)
        watched: Coroutine[Any, Any, Any] = coroutine
        return watched

    def _begin(self, turn: Turn) -> None:
        self.turn = turn
        turn.__class__ = _heard(self)
        if self._at == 0:
            asyncio.get_running_loop().call_soon(self.cancel)

    def cancel(self) -> None:
        """Ask for the cancel, if that was not done. Outside the turn: it is not its own."""
        if not self.is_cancelled and not self.is_over:
            let_begin()
            self.is_cancelled = True
            self._outside.copy().run(self._cancel)

    @property
    def is_over(self) -> bool:
        """Whether the turn has come to its end."""
        return self.turn is not None and self.turn.over

    # -- Steps ------------------------------------------------------------------------------------------

    def began(self, _stepped: Stepped) -> None:
        """A step begins."""
        self._stepping = True
        self._emitted = 0

    def ended(self, stepped: Stepped, seconds: float) -> None:
        """A coroutine has come to its end."""
        self._stepping = False
        if seconds > SLOW:
            self.slow.append(f"before the end of {stepped.name}")

    def suspended(self, stepped: Stepped, seconds: float) -> None:
        """A coroutine is suspended."""
        self._stepping = False
        if seconds > SLOW:
            self.slow.append(f"before {written(place_of(stepped.inner, self._file))}")
        if self.is_over:
            self._spun(stepped)
        elif self.is_cancelled:
            self._suspended_after()
        else:
            self.awaits.append(place_of(stepped.inner, self._file))
            if len(self.awaits) in (self._at, self._most):
                self.cancel()

    def emits(self, turn: Turn, event: str) -> None:
        """The turn is about to emit an event. Raises CancelledError in a step that would never end."""
        if turn.over:
            self.late.append(str(event))
        if not self._stepping or threading.get_ident() != self._thread:
            return
        self._emitted += 1
        if self._emitted > MOST_EMITTED:
            self.babbled = f"{MOST_EMITTED} events without an await"
            raise asyncio.CancelledError

    def thrown(self, stepped: Stepped, error: Any) -> None:
        """A coroutine is to raise this."""
        own = self.task is not None and self.task.get_coro() is stepped
        self.is_reached |= self.is_cancelled and own and isinstance(error, asyncio.CancelledError)

    def _suspended_after(self) -> None:
        self._spins += 1
        if self.is_reached:
            self.awaits_after += 1
            if self.awaits_after == self._again and self.task is not None:
                self.task.cancel()
        if self._spins % self._most == 0 and self.turn is not None:
            # It goes round and round without waiting for anything: time would stand still.
            self._clock.jump(self.turn.spec.grace)

    def _spun(self, stepped: Stepped) -> None:
        """What it left behind is suspended: it may not keep time from going on either."""
        self._spins += 1
        if self._spins >= self._most:
            stepped.discard()

    @property
    def open_calls(self) -> list[str]:
        """The names of the tools that the turn has called, in calls that go on."""
        own = None if self.turn is None else self.turn.own
        calls = None if own is None else own.calls
        return [] if calls is None else [call.name for call in calls.running]

    @property
    def left_at(self) -> list[str]:
        """Where the tasks are suspended that the turn has started and that run."""
        left = [task for task in self._tasks if task is not self.task and not task.done()]
        coroutines: list[Any] = [task.get_coro() for task in left]
        return [written(place_of(each.inner, self._file)) for each in coroutines]

    def discard(self) -> None:
        """End all its tasks now, whatever they catch."""
        for task in self._tasks:
            if not task.done():
                discard(task)
            elif not task.cancelled():
                task.exception()  # looked at, or asyncio logs that it never was


def _heard(watch: Watch) -> type[Turn]:
    """The class of a turn whose events its watch hears of."""

    class Heard(Turn[Any]):
        """A turn."""

        __slots__ = ()

        def emit(self, event: str, data: Any = None) -> None:
            """Publish an event."""
            watch.emits(self, event)
            super().emit(event, data)

    Heard.__name__, Heard.__qualname__ = Turn.__name__, Turn.__qualname__
    return Heard
