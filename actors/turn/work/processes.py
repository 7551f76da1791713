"""The processes that one turn has started with `Turn.process`, and the block in which it has one."""

import asyncio
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from turnkeeper.actors.model.exceptions import InvalidRequest

from .begun import Begun, Counted
from .patient import until_done
from .process import Running, TurnProcess
from .watch import Watch

#: One argument of a command.
Argument: TypeAlias = str | bytes | os.PathLike[Any]
#: How many bytes of a line a stream of a process takes.
LINE: int = 65_536


class Processes:
    """The processes of one turn: each is counted until none of its session is left."""

    counted_as: Counted = "processes"

    __slots__ = ("_begun", "_give_back", "_running")

    def __init__(self, begun: Begun, give_back: Callable[[], object]) -> None:
        """``give_back`` is called for each that is gone."""
        self._begun = begun
        self._give_back = give_back
        self._running: set[Running] = set()
        begun.kinds.append(self)

    @property
    def running(self) -> int:
        """How many of them run."""
        return len(self._running)

    def stop(self, *, again: bool) -> None:
        """Send SIGTERM to the groups of all that run, the second time SIGKILL."""
        for running in tuple(self._running):
            running.stop(again=again)

    def settle(self) -> None:
        """Nothing is left to be done."""

    def add(self, loop: asyncio.AbstractEventLoop, watch: Watch) -> Running:
        """One that is about to be started."""
        running = Running(loop, watch, self._gone)
        self._running.add(running)
        return running

    def _gone(self, running: Running) -> None:
        self._running.discard(running)
        self._give_back()
        # Soon, and not within what stopped it.
        running.loop.call_soon(self._begun.one_ended)


class ProcessBlock:
    """The ``async with`` block in which a turn has a process. Its beginning starts the process.

    At its end what is left of the process's group is stopped, and waited for.
    """

    def __init__(
        self,
        add: Callable[[], Running],
        is_stopped: Callable[[], bool],
        argv: tuple[Argument, ...],
        env: Mapping[str, str] | None,
        limit: int,
        options: dict[str, Any],
    ) -> None:
        """``add`` makes what is to be started, or raises; ``is_stopped``: is the turn on its way out?"""
        self._add = add
        self._is_stopped = is_stopped
        self._how = argv, env, limit, options
        self._running: Running | None = None

    async def __aenter__(self) -> TurnProcess:
        if self._running is not None:
            raise InvalidRequest("a process is started once: call turn.process again", field="process")
        self._running = running = self._add()
        starting = running.loop.create_task(running.start(*self._how))
        cancelled = await until_done(starting)
        error = starting.exception()
        if cancelled is not None:
            if error is None:
                await self._leave(running)
            raise cancelled
        return starting.result()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        assert self._running is not None
        cancelled = await self._leave(self._running)
        if cancelled is not None:
            raise cancelled

    async def _leave(self, running: Running) -> asyncio.CancelledError | None:
        return await running.leave(killed_by_ladder=self._is_stopped())


def checked(argv: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """What `asyncio` is to be given beside the command. Raises `InvalidRequest` for what cannot be one."""
    if not argv or not all(isinstance(each, str | bytes | os.PathLike) for each in argv):
        raise InvalidRequest("a process is started from a program and its arguments, all texts", field="argv")
    for name in ("start_new_session", "process_group", "preexec_fn", "shell"):
        if name in options:
            raise InvalidRequest(f"{name} cannot be said: a process has a group of its own", field=name)
    return options
