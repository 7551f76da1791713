"""What a turn begins beside its coroutine: tasks, threads, processes."""

import asyncio
import inspect
import os
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

from turnkeeper.actors.metrics.meter import TASKS_FAILED, TOO_MANY_PROCESSES, TOO_MANY_TASKS
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    TooManyProcesses,
    TooManyTasks,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.turn.work.left import Left
from turnkeeper.actors.turn.work.process import Running
from turnkeeper.actors.turn.work.processes import LINE, Argument, ProcessBlock, Processes, checked
from turnkeeper.actors.turn.work.tasks import Tasks
from turnkeeper.actors.turn.work.threads import Threads

from .host import TurnHost
from .own import Own
from .undoable import Undoable

T = TypeVar("T")
P = ParamSpec("P")


class Working(Undoable):
    """What a turn begins: it is stopped and waited for with the turn."""

    __slots__ = ()
    _host: TurnHost
    owner: str
    stop_asked: bool
    over: bool
    own: Own | None

    def create_task(self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> "asyncio.Task[T]":
        """Run a coroutine in a task of the turn's: it is cancelled with it, and waited for before its end.

        So is one that the turn leaves running when it returns: await what is to be finished. An error that
        is never looked at changes nothing of the turn; it is logged and counted. Raises `InvalidRequest` for
        what is no coroutine, `TooManyTasks`, `TurnOver` once the turn has ended or its time is up,
        `OutsideTurn` in a task that is not the turn's, and `WrongThread` off the loop's thread.
        """
        if not isinstance(coroutine, Coroutine):
            raise InvalidRequest(
                "create_task takes a coroutine: work() of `async def work()`", field="coroutine"
            )
        try:
            self._check_may_begin("create_task")
            means = self._host.means
            tasks = self.made_own.made_begun.kind(Tasks, lambda begun: Tasks(begun, self._log_failed))
            if tasks.running >= means.max_tasks:
                means.meter.count(TOO_MANY_TASKS)
                raise TooManyTasks(f"turn {self.turn_id} has {means.max_tasks} tasks that run")
        except BaseException:
            coroutine.close()  # or Python warns that it was never awaited
            raise
        return tasks.start(coroutine, name, means.loop)

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function in a thread; return what it returns, or raise what it raises, once it has.

        In the thread `emit`, `set_title` and ``cancel_requested`` can be used as anywhere: each event is
        published before the call returns. No thread can be stopped from outside: cancelling this sets
        ``cancel_requested`` for the function to look at, and raises CancelledError when it has returned.
        Where all threads are busy it waits for one; cancelling ends that at once. Raises `InvalidRequest`,
        `ThreadNotStarted`, `TurnOver` once the turn has ended or its time is up, `OutsideTurn` in a task that
        is not the turn's, and `WrongThread`.
        """
        if inspect.iscoroutinefunction(function) or not callable(function):
            raise InvalidRequest("in_thread takes a plain function and its arguments", field="function")
        self._check_may_begin("in_thread")
        means = self._host.means
        threads = self.made_own.made_begun.kind(
            Threads, lambda begun: Threads(begun, means.pool, self.owner, means)
        )
        begin = partial(self._check_may_begin, "in_thread")
        answer: T = await threads.run(partial(function, *args, **kwargs), begin)
        return answer

    def process(
        self,
        *argv: Argument,
        stdin: Any = DEVNULL,
        stdout: Any = PIPE,
        stderr: Any = STDOUT,
        cwd: "str | bytes | os.PathLike[Any] | None" = None,
        env: Mapping[str, str] | None = None,
        limit: int = LINE,
        **options: Any,
    ) -> ProcessBlock:
        """Start a process: ``async with turn.process("bash", "-c", command) as process``.

        ``process`` is as that of `asyncio.create_subprocess_exec`, which the arguments go to. It leads a
        process group of its own. When the turn is cancelled, its whole group gets SIGTERM, and SIGKILL at
        half of the grace; when the block is left, what is left of it gets the same, with a second between.
        Leaving waits until none of it runs, through every cancellation.

        The block raises, where it begins, `ProcessNotStarted`, `TooManyProcesses`, `TurnOver` once the turn
        has ended or its time is up, `OutsideTurn` in a task that is not the turn's, and `WrongThread`. Raises
        `InvalidRequest`.
        """
        more = checked(argv, {**options, "stdin": stdin, "stdout": stdout, "stderr": stderr, "cwd": cwd})
        return ProcessBlock(self._add_process, lambda: self.stop_asked, argv, env, limit, more)

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    def _check_may_begin(self, what: str) -> None:
        if get_ident() != self._host.thread:
            raise WrongThread(f"{what} belongs on the loop, in the turn's coroutine or a task of it")
        begun = None if self.own is None else self.own.begun
        if self.over or (begun is not None and begun.closed):
            raise TurnOver(f"turn {self.turn_id} is over, or its time is up: it begins nothing more")
        self.check_inside(what)

    def outlived(self) -> None:
        """It is over, and what it has begun may run on."""
        if self.own is not None and self.own.begun is not None:
            self._host.means.left.add(self.own.begun)

    def is_left_in(self, left: Left) -> bool:
        """Whether it was stopped and is over, and ``left`` counts what its registry's turns leave running."""
        return self.over and self.stop_asked and self._host.means.left is left

    def _add_process(self) -> Running:
        self._check_may_begin("process")
        means, user = self._host.means, self.owner
        if not means.processes.has_room(user):
            means.meter.count(TOO_MANY_PROCESSES)
            raise TooManyProcesses("as many processes run as may, of this user or in all")
        means.processes.take(user)
        give_back = partial(means.processes.give_back, user)
        processes = self.made_own.made_begun.kind(Processes, lambda begun: Processes(begun, give_back))
        return processes.add(means.loop, means.watch)

    def _log_failed(self, task: "asyncio.Task[Any]") -> None:
        self._host.means.meter.count(TASKS_FAILED)
        text = "task %s of turn %s of session %s failed"
        logger.error(text, task.get_name(), self.turn_id, self.session_id, exc_info=task.exception())
