"""The registry's end: every session is closed, then every actor is stopped.

One that is to be forgotten, as the session of a single turn is at its end, is waited for until it is.

Both go through all sessions in passes of the loop, and the registry's actor goes on handling messages until
the last of them. Meanwhile no session is opened; once actors are being stopped, none is started any more, and
what is for a session is refused at once.
"""

import math
from collections.abc import Callable, Iterator
from enum import Enum, auto
from itertools import islice, takewhile
from typing import Any, Final

from turnkeeper.actors.events.readers import END_BATCH
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Shut, ShutdownOverdue
from turnkeeper.actors.model.records import Reason, SessionId
from turnkeeper.actors.model.words import CancelCode, StreamEnd
from turnkeeper.actors.runtime import AsyncioFuture, Timer, in_batches
from turnkeeper.actors.session.states import Closed

from .children import BATCH, Children
from .directory import Entry
from .shared import Shared

#: What is left of the shutdown deadline for streams and answers once the last turn has been given up, in
#: seconds: at most this, and at most a quarter of the deadline.
MARGIN: Final = 0.5


class Phase(Enum):
    """How far it is."""

    OPEN = auto()
    """It has not begun."""
    CLOSING = auto()
    """Sessions are being closed, at most until the deadline."""
    STOPPING = auto()
    """Actors are being stopped."""
    STOPPED = auto()
    """No session has an actor any more."""


class Ending:
    """Closes every session that is awake, at most until a deadline. Of several the nearest deadline holds."""

    def __init__(self, shared: Shared, children: Children) -> None:
        self._shared = shared
        self._children = children
        self._phase = Phase.OPEN
        #: Those that were asked to close and have not.
        self._left: set[SessionId] = set()
        #: How many sessions are on their way to be forgotten.
        self._to_forget = 0
        #: How many times over not all have been asked yet.
        self._asking = 0
        self._overdue = False
        self._due = math.inf
        self._timer = Timer(shared.loop, lambda: shared.report(ShutdownOverdue()))
        #: What is to be done when all are closed, and when all actors have stopped.
        self._then: list[Callable[[], None]] = []
        self._finally: list[Callable[[], None]] = []

    @property
    def begun(self) -> bool:
        """Whether the end has begun: nothing more is accepted."""
        return self._phase is not Phase.OPEN

    @property
    def stopped(self) -> bool:
        """Whether every actor has stopped."""
        return self._phase is Phase.STOPPED

    @property
    def drained(self) -> bool:
        """Whether the end has begun and every session is closed, or was given up at the deadline."""
        return self.begun and (self._overdue or not (self._asking or self._left or self._to_forget))

    # -- Closing ----------------------------------------------------------------------------------------

    def begin(self, deadline: float, then: Callable[[], None]) -> None:
        """Close every session within ``deadline`` seconds, then call ``then``: now, if all are closed."""
        due = self._shared.loop.time() + deadline
        self._then.append(then)
        if self.drained or self._due <= due:
            self._finish_if_drained()
            return
        if self._phase is Phase.OPEN:
            self._phase = Phase.CLOSING
            self._children.early_readers.end(StreamEnd.SHUTDOWN)
            self._shared.slots.close()
            directory = self._shared.directory
            awake = len(directory.entries) - len(directory.asleep)
            if awake:
                logger.info("shutting down: %d sessions awake", awake)
        self._due = due
        self._timer.set(due)
        self._ask_all(Shut(Reason(CancelCode.SHUTDOWN), max(0.0, deadline - min(MARGIN, deadline / 4))))

    def _ask_all(self, shut: Shut) -> None:
        def ask(entries: list[Entry]) -> None:
            for entry in entries:
                if entry.actor is not None and not isinstance(entry.state, Closed):
                    self._left.add(entry.session_id)
                    self._children.forward(entry, shut, None)

        def asked() -> None:
            self._asking -= 1
            self._finish_if_drained()

        self._asking += 1
        every = takewhile(lambda _entry: not self._overdue, list(self._shared.directory.entries.values()))
        in_batches(self._shared.loop, every, BATCH, ask, asked)

    def closed(self, session_id: SessionId) -> None:
        """One session is closed, or its actor is gone."""
        if self.begun:
            self._left.discard(session_id)
            self._finish_if_drained()

    def count_to_forget(self, by: int) -> None:
        """So many more sessions are on their way to be forgotten, or fewer."""
        self._to_forget += by
        self._finish_if_drained()

    def overdue(self) -> None:
        """The deadline has come: give up those that are not closed."""
        if not self.drained:
            logger.error("shutdown deadline reached with %d sessions open", len(self._left))
            self._overdue = True
            self._left.clear()
            self._finish_if_drained()

    def _finish_if_drained(self) -> None:
        if self.drained:
            self._timer.cancel()
            self._due = math.inf  # what is to be forgotten after this has the next deadline
            todo, self._then = self._then, []
            for do in todo:
                do()

    # -- Stopping ---------------------------------------------------------------------------------------

    def stop(self, then: Callable[[], None]) -> None:
        """Stop every actor, and call ``then`` when all have stopped and every reader has been woken."""
        self._finally.append(then)
        if self._phase is Phase.STOPPED:
            self._finish()
        elif self._phase is not Phase.STOPPING:
            self._phase = Phase.STOPPING
            self._children.end()
            self._stop_some(iter(list(self._shared.directory.entries.values())))

    def _stop_some(self, entries: Iterator[Entry]) -> None:
        """Stop a batch; the next one follows when all of this one have stopped and their tasks had a step."""
        batch = list(islice(entries, BATCH))
        if not batch:
            self._wake_readers()
            return
        awake = sum(entry.actor is not None for entry in batch)

        def stopped() -> None:
            self._shared.loop.call_soon(self._stop_some, entries)

        self._children.stop(batch, _Stopping(awake, stopped))
        if not awake:
            stopped()

    def _wake_readers(self) -> None:
        """Let each reader find its `close` before this is over, wherever the passes over them are."""

        def wake(readers: list[Subscription]) -> None:
            for reader in readers:
                reader.wake()

        readers = list(self._shared.directory.streams)
        in_batches(self._shared.loop, iter(readers), END_BATCH, wake, self._finish)

    def _finish(self) -> None:
        self._phase = Phase.STOPPED
        todo, self._finally = self._finally, []
        for do in todo:
            do()

    def close(self) -> None:
        """The registry's actor stops. If that is not the last step of all, the process is about to end."""
        self._timer.cancel()
        for give_up in tuple(self._shared.cut_short):
            give_up()
        if self._phase is not Phase.STOPPED:
            self._children.end()
            self._children.early_readers.end(StreamEnd.SHUTDOWN)
            self._children.stop(list(self._shared.directory.entries.values()), None)


class _Stopping(AsyncioFuture[bool]):
    """Where so many actors say that they have stopped: calls ``then`` when all of them have."""

    def __init__(self, count: int, then: Callable[[], object]) -> None:
        self._left = count
        self._then = then

    def set(self, value: bool | None = None) -> None:
        self._left -= 1
        if not self._left:
            self._then()

    def set_exception(self, exc_info: Any = None) -> None:
        self.set()  # it had stopped by itself
