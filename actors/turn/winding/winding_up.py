"""How the end of a turn is run: its steps one after the other, in a task of their own.

One that fails stops none of the others. All together have as long as their session says: then the one that
runs is cancelled, and those after it are not begun.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context
from enum import StrEnum
from typing import Any, NamedTuple

from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.turn.exits import contained


class Kind(StrEnum):
    """Which hooks there are, by the name with which they are registered."""

    ON_CANCEL = "on_cancel"
    ON_INTERRUPT = "on_interrupt"
    ON_ROLLBACK = "on_rollback"
    ON_TURN_END = "on_turn_end"


class Step(NamedTuple):
    """One thing to do: a function without arguments, sync or async, and which kind of hook it is, if any."""

    kind: Kind | None
    call: Callable[[], Any]


class WindingUp:
    """Runs the steps of a turn's end. ``report`` is called when they are done, unless they are cut short."""

    __slots__ = ("_left", "_name", "_report", "failed", "task")

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        failed: Counter[Kind],
        report: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        """``name`` is what the logs call the turn. Failures are counted in ``failed``.

        The steps run in this ``context``.
        """
        self._name = name
        self._left = list(reversed(steps))
        #: How many have failed so far.
        self.failed = failed
        self._report: Callable[[], object] | None = report
        self.task = loop.create_task(self._run(), name=f"wind up {name}", context=context)
        self.task.add_done_callback(self._on_done)

    def cut(self) -> Counter[Kind]:
        """Their time is up: cancel the one that runs, and begin no other; how many are not done."""
        self._report = None
        self.task.cancel()  # of no effect, if all are done
        left = self._not_done()
        if left:
            names = ", ".join(left)
            text = "%d hooks of %s were not done in time: %s"
            logger.warning(text, left.total(), self._name, names)
        return left

    async def _run(self) -> None:
        task = asyncio.current_task()  # an eager one runs before it is known to anything else
        while self._left:
            await self._do(self._left[-1], task)
            if _is_cancelled(task):
                return  # the step has swallowed that
            self._left.pop()

    async def _do(self, step: Step, task: "asyncio.Task[None] | None") -> None:
        try:
            answer = step.call()
            if inspect.isawaitable(answer):
                await answer
        except (KeyboardInterrupt, SystemExit) as error:
            exited = contained(error)
            if exited is None:
                raise
            self._fail(step, error)
        except asyncio.CancelledError as error:
            if _is_cancelled(task):
                raise
            self._fail(step, error)  # of its own accord
        except GeneratorExit:
            raise  # the loop is being closed
        except BaseException as error:  # noqa: BLE001  whatever it is, the others are run
            self._fail(step, error)

    def _fail(self, step: Step, error: BaseException) -> None:
        if step.kind is not None:
            self.failed[step.kind] += 1
        logger.error("a hook of %s failed: %s", self._name, step.kind, exc_info=error)

    def _not_done(self) -> Counter[Kind]:
        return Counter(step.kind for step in reversed(self._left) if step.kind is not None)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio logs that it was not
        if self._report is not None:
            self.failed.update(self._not_done())
            self._report()


def _is_cancelled(task: "asyncio.Task[None] | None") -> bool:
    """Whether it was asked to stop."""
    return task is not None and task.cancelling() > 0
