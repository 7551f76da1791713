"""One process that a turn has started, with all that it starts: how it is stopped, and when it is gone."""

import asyncio
import os
import signal
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping
from typing import Any, Final

from turnkeeper.actors.model.exceptions import ProcessNotStarted

from .group import Group, Table
from .patient import until_done
from .watch import Watch

#: How long after SIGTERM what still runs is killed, in seconds, where no cancel's grace says that.
TERM_SPAN: Final = 1.0


class _Protocol(SubprocessStreamProtocol):
    """Says at once when the process has ended, also while others hold its pipes open."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop, exited: Callable[[], object]) -> None:
        super().__init__(limit=limit, loop=loop)
        self._exited = exited

    def process_exited(self) -> None:
        """The process has ended, and was reaped."""
        super().process_exited()
        self._exited()


class TurnProcess(Process):
    """A process of a turn: as `asyncio.subprocess.Process`, but a signal goes to its whole group."""

    def __init__(self, transport: Any, protocol: SubprocessStreamProtocol, running: "Running") -> None:
        super().__init__(transport, protocol, running.loop)
        self._running = running

    async def wait(self) -> int:
        """Wait until it has ended; return its status. What it has started may run on. Cancelling is safe."""
        await asyncio.wait((self._running.exited,))
        status = self.returncode
        return 0 if status is None else status

    def send_signal(self, signal: int) -> None:
        """Send a signal to it and to all of its group that runs."""
        self._running.signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM to it and to all of its group that runs."""
        self._running.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, and all of its group that runs."""
        self._running.signal(signal.SIGKILL)


class Running:
    """A process from before it is started until it is gone, with all of its group and session."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, watch: Watch, ended: "Callable[[Running], object]"
    ) -> None:
        """``ended`` is called when none of its session is left, or when it could not be started."""
        self.loop = loop
        self._watch = watch
        self._ended = ended
        #: Done when the process itself has ended and was reaped.
        self.exited: asyncio.Future[None] = loop.create_future()
        #: Done when none of its session is left.
        self.gone: asyncio.Future[None] = loop.create_future()
        self._group: Group | None = None
        self._transport: Any = None
        self._stopped = self._killed = False
        self._to_kill: asyncio.TimerHandle | None = None

    async def start(
        self,
        argv: tuple[str | bytes | os.PathLike[Any], ...],
        env: Mapping[str, str] | None,
        limit: int,
        options: dict[str, Any],
    ) -> TurnProcess:
        """Start it. Raises `ProcessNotStarted`. Not to be cancelled."""
        try:
            self._transport, protocol = await self.loop.subprocess_exec(
                lambda: _Protocol(limit, self.loop, self._on_exit),
                *argv,
                env=env,
                start_new_session=True,
                **options,
            )
        except Exception as error:
            self._end()
            text = f"the process cannot be started: {type(error).__name__}: {error}"
            raise ProcessNotStarted(text) from error
        self._group = Group(self._transport.get_pid())
        process = TurnProcess(self._transport, protocol, self)
        if self.exited.done():
            self._on_exit()
        if self._stopped:
            self.stop(again=self._killed)  # asked while it was being started
        return process

    def signal(self, number: int) -> None:
        """Send a signal to all that runs of it."""
        if self._group is not None and not self._is_gone(self._group):
            self._group.signal(number)

    def stop(self, *, again: bool) -> None:
        """Send SIGTERM to all of it; the second time, SIGKILL."""
        self._stopped, self._killed = True, self._killed or again
        if self._group is not None and not self._is_gone(self._group):
            number = signal.SIGKILL if again else signal.SIGTERM
            self._group.signal_session(number, self._watch.table())
            self._watch.begin(self)

    async def leave(self, *, killed_by_ladder: bool) -> asyncio.CancelledError | None:
        """Stop what is left of it, and wait until it is gone, through every cancellation; return the last.

        It is killed after `TERM_SPAN`, unless the turn's ladder sees to that. What is unread of its output is
        lost.
        """
        if not self.gone.done():
            if not self._stopped:
                self.stop(again=False)
            if not killed_by_ladder and not self.gone.done():
                self._to_kill = self.loop.call_later(TERM_SPAN, lambda: self.stop(again=True))
        cancelled = await until_done(self.gone)
        if self._transport is not None:
            self._transport.close()
        return cancelled

    @property
    def may_be_gone(self) -> bool:
        """Whether it is worth a look. What only runs on behind its leader is, once its group is empty."""
        return self._group is not None and (self._stopped or self._group.is_empty)

    def look(self, table: Table) -> None:
        """Take note that it is gone, if it is. What came up while it was killed is killed, too."""
        if self._group is None or self._ends(self._group, table) or not self._killed:
            return
        self._group.signal_session(signal.SIGKILL, table)

    def _on_exit(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)
        # Without a group it has ended before its start was reported.
        if self._group is not None and not self._is_gone(self._group):
            self._watch.begin(self)

    def _is_gone(self, group: Group) -> bool:
        """Whether it is: from then on its number may be another's."""
        return self.gone.done() or (self.exited.done() and self._ends(group, self._watch.table()))

    def _ends(self, group: Group, table: Table) -> bool:
        if not self.gone.done() and self.exited.done() and group.is_dead(table):
            self._end()
        return self.gone.done()

    def _end(self) -> None:
        self._watch.end(self)
        if self._to_kill is not None:
            self._to_kill.cancel()
        if not self.gone.done():
            self.gone.set_result(None)
            self._ended(self)
