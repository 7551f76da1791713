"""The registry's end: first every session is closed, then the askers are answered."""

import math
from collections.abc import Callable

from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.model.messages import Shut, ShutdownOverdue
from turnkeeper.actors.model.records import Reason, SessionId
from turnkeeper.actors.model.words import CancelCode, StreamEnd
from turnkeeper.actors.runtime import Timer, in_batches
from turnkeeper.actors.session.states import Closed

from .children import Children
from .directory import PASS, Entry
from .shared import Shared

#: What is left of the shutdown deadline for streams and answers once the last turn has been given up, in
#: seconds: at most this, and at most a quarter of the deadline.
MARGIN = 0.5


class Ending:
    """Closes every session that is awake, at most until a deadline. Of several the nearest deadline holds."""

    def __init__(self, shared: Shared, children: Children) -> None:
        self._shared = shared
        self._children = children
        self._left: dict[SessionId, Entry] = {}
        #: Whether the end has begun: nothing more is accepted.
        self.begun = False
        self._due = math.inf
        self._timer = Timer(shared.loop, lambda: shared.report(ShutdownOverdue()))
        self._then: list[Callable[[], None]] = []

    @property
    def drained(self) -> bool:
        """Whether the end has begun and every session is closed, or was given up at the deadline."""
        return self.begun and not self._left

    def begin(self, deadline: float, then: Callable[[], None]) -> None:
        """Close every session within ``deadline`` seconds, then call ``then``: now, if all are closed."""
        loop = self._shared.loop
        due = loop.time() + deadline
        if not self.begun:
            self._left = {
                entry.session_id: entry
                for entry in self._shared.directory.entries.values()
                if entry.actor is not None and not isinstance(entry.state, Closed)
            }
        self._then.append(then)
        if self.begun and (self._due <= due or not self._left):
            self._finish_if_drained()
            return
        self.begun, self._due = True, due
        self._children.early_readers.end(StreamEnd.SHUTDOWN)
        self._timer.set(due)
        shut = Shut(Reason(CancelCode.SHUTDOWN), max(0.0, deadline - min(MARGIN, deadline / 4)))
        if self._left:
            logger.info("shutting down: %d sessions awake", len(self._left))

        def close(entries: list[Entry]) -> None:
            for entry in entries:
                self._children.forward(entry, shut, None)

        in_batches(loop, iter(list(self._left.values())), PASS, close, self._finish_if_drained)

    def closed(self, session_id: SessionId) -> None:
        """One session is closed, or its actor is gone."""
        if self.begun:
            self._left.pop(session_id, None)
            self._finish_if_drained()

    def overdue(self) -> None:
        """The deadline has come: give up those that are not closed."""
        if self._left:
            logger.error("shutdown deadline reached with %d sessions open", len(self._left))
            self._left.clear()
            self._finish_if_drained()

    def _finish_if_drained(self) -> None:
        if self.drained:
            self._timer.cancel()
            todo, self._then = self._then, []
            for do in todo:
                do()

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.cancel()
