"""How a turn is undone: its hooks run one after the other, in a task of their own, the last one first.

One that fails stops none of the others. All together have as long as their session says: then the one that
runs is cancelled, and those before it are not begun.
"""

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context

from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.turn.exits import contained

from .hooks import Hook


class Unwinding:
    """Runs the hooks that undo a turn. ``report`` is called with how many failed, if it may end by itself."""

    __slots__ = ("_left", "_name", "_report", "failed", "task")

    def __init__(
        self,
        name: str,
        hooks: list[Hook],
        report: Callable[[int], object],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        """``name`` is what the logs call the turn. The hooks run in this ``context``."""
        self._name = name
        self._left = hooks
        #: How many have failed so far.
        self.failed = 0
        self._report: Callable[[int], object] | None = report
        self.task = loop.create_task(self._run(), name=f"undo {name}", context=context)
        self.task.add_done_callback(self._on_done)

    def cut(self) -> int:
        """Their time is up: cancel the one that runs, and begin no other; how many are not done."""
        self._report = None
        self.task.cancel()  # of no effect, if all are done
        return len(self._left)

    async def _run(self) -> None:
        task = asyncio.current_task()  # an eager one runs before it is known to anything else
        while self._left:
            await self._call(self._left[-1], task)
            if _is_cancelled(task):
                return  # the hook has swallowed that
            self._left.pop()

    async def _call(self, hook: Hook, task: "asyncio.Task[None] | None") -> None:
        try:
            answer = hook()
            if inspect.isawaitable(answer):
                await answer
        except (KeyboardInterrupt, SystemExit) as error:
            exited = contained(error)
            if exited is None:
                raise
            self._fail(error)
        except asyncio.CancelledError as error:
            if _is_cancelled(task):
                raise
            self._fail(error)  # of its own accord
        except GeneratorExit:
            raise  # the loop is being closed
        except BaseException as error:  # noqa: BLE001  whatever it is, the others are run
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failed += 1
        logger.error("a hook that undoes %s failed", self._name, exc_info=error)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio logs that it was not
        if self._report is not None:
            self._report(self.failed + len(self._left))


def _is_cancelled(task: "asyncio.Task[None] | None") -> bool:
    """Whether it was asked to stop."""
    return task is not None and task.cancelling() > 0
