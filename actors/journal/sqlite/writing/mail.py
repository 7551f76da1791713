"""What goes to the writer, and what comes back from it."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from turnkeeper.actors.journal.contract import Addressee, Answer
from turnkeeper.actors.model.exceptions import JournalDown
from turnkeeper.actors.model.records import SessionId

from .group import Written


class Job(NamedTuple):
    """Something else to be done in a transaction of its own, and who waits for what it returns.

    ``writes``: it certainly writes something.
    """

    run: Callable[[sqlite3.Connection], Any]
    waits: "asyncio.Future[Any]"
    writes: bool = False


class Mark(NamedTuple):
    """Passed when all that was put before it has been written, of this session or of all."""

    session_id: SessionId | None
    waits: "asyncio.Future[None]"


Item: TypeAlias = Written | Job | Mark


class Done(NamedTuple):
    """What a job or a mark has come to."""

    waits: "asyncio.Future[Any]"
    returned: Any
    error: Exception | None


class Delivery(NamedTuple):
    """What became of some of the mail, and why the journal cannot be written, if it cannot."""

    answers: list[tuple[Addressee, Answer]]
    done: list[Done]
    down: JournalDown | None


class Mail:
    """What waits for the writer. It is put on the loop's thread and taken on the writer's."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._awake = False

    def put(self, item: Item) -> bool:
        """Put something; whether the writer is to be woken for it."""
        self._items.append(item)
        wakes, self._awake = not self._awake, True
        return wakes

    def take(self, most: int) -> list[Item]:
        """The oldest that waits, at most so many."""
        self._awake = False  # first: what is put from now on wakes the writer once more
        items: list[Item] = []
        while self._items and len(items) < most:
            items.append(self._items.popleft())
        return items
