"""What a registry has under way: passes over many sessions, cleanups, and its own end."""

import asyncio
from collections.abc import Callable

from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.runtime import ReplyTo, answer

from .directory import Entry

#: How many sessions one pass over many looks at before others get the loop.
PASS = 2_000


class Cleaning:
    """One cleanup under way: whose sessions have been asked to sleep, and which have done so."""

    __slots__ = ("asked_all", "cleaned", "left", "reply_to")

    def __init__(self, reply_to: ReplyTo) -> None:
        self.reply_to = reply_to
        self.left: set[SessionId] = set()
        self.cleaned: list[SessionId] = []
        self.asked_all = False

    def answer(self) -> None:
        """Tell which sessions sleep now."""
        answer(self.reply_to, tuple(self.cleaned))


class Ending:
    """The registry's end: which sessions are not closed yet, and what follows when all are."""

    __slots__ = ("_then", "left", "overdue")

    def __init__(self) -> None:
        self.left: dict[SessionId, Entry] = {}
        self.overdue: asyncio.TimerHandle | None = None
        self._then: list[Callable[[], None]] = []

    def then(self, do: Callable[[], None]) -> None:
        """Do this when all are closed."""
        self._then.append(do)

    def answer_too(self, reply_to: ReplyTo) -> None:
        """Answer this one, too, when all are closed."""
        if reply_to is not None:
            self.then(lambda: reply_to.set(None))

    def finish(self) -> None:
        """All are closed: do what is to be done then."""
        if self.overdue is not None:
            self.overdue.cancel()
        todo, self._then = self._then, []
        for do in todo:
            do()
