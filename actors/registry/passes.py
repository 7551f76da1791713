"""What a registry has under way: passes over many sessions, cleanups, and its own end."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.runtime.actor import ReplyTo
from turnkeeper.actors.runtime.future import answer

from .directory import Entry

#: How many sessions one pass over many looks at before others get the loop.
PASS = 2_000
E = TypeVar("E")


def in_passes(
    loop: asyncio.AbstractEventLoop,
    entries: Iterator[E],
    look: Callable[[E], None],
    done: Callable[[], None],
) -> None:
    """Look at all of them, a batch in a pass of the loop, then call ``done``."""
    batch = list(itertools.islice(entries, PASS))
    for entry in batch:
        look(entry)
    if len(batch) < PASS:
        done()
    else:
        loop.call_soon(in_passes, loop, entries, look, done)


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
