"""A journal whose appends are answered when a test lets them be, or are refused, or come too late."""

from collections import deque
from copy import deepcopy
from typing import Any

from turnkeeper.actors.journal.contract import Append, NotLanded
from turnkeeper.actors.journal.entries import Entry
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import JournalDown, SessionError
from turnkeeper.actors.model.records import SessionId


class SlowJournal(MemoryJournal):
    """In memory, on the loop, by script: `hold` and `let_go`, `is_down`, `intrude`."""

    def __init__(self) -> None:
        super().__init__()
        self.held: deque[Append] = deque()
        self.holds = False
        self.is_down = False
        self.appends: list[Append] = []

    @property
    def down(self) -> SessionError | None:
        return JournalDown("the disk is full") if self.is_down else None

    def hold(self) -> None:
        """Keep what is appended from now on, until `let_go`."""
        self.holds = True

    def let_go(self, count: int | None = None) -> None:
        """Write what was kept: so many appends, or all, and those that come from now on."""
        if count is None:
            self.holds, count = False, len(self.held)
        for _ in range(count):
            self._write(self.held.popleft())

    def intrude(self, session: str, *entries: Entry) -> None:
        """Another process appends to this session."""
        log = self._logs[SessionId(session)]
        log.append(Append(SessionId(session), log.head, entries, "another's", _Nowhere()))

    def after_a_kill(self) -> MemoryJournal:
        """What is found after a kill at this moment: all that has been written."""
        found = MemoryJournal()
        found._logs = deepcopy(self._logs)
        return found

    def append(self, append: Append) -> None:
        self.appends.append(append)
        if self.holds:
            self.held.append(append)
        else:
            self._write(append)

    def _write(self, append: Append) -> None:
        if self.is_down:
            append.to.tell_if_alive(NotLanded(append.key, JournalDown("the disk is full")))
        else:
            super().append(append)


class _Nowhere:
    def tell_if_alive(self, message: Any, /) -> bool:
        return False
