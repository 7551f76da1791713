"""A journal whose appends are answered when a test lets them be, or are refused, or come too late."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from turnkeeper.actors.journal.contract import Append, Landed, Loaded, NotLanded, Tail
from turnkeeper.actors.journal.entries import Entry
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import JournalDown, SessionError
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRecord


class SlowJournal(MemoryJournal):
    """In memory, on the loop, by script: `hold` and `let_go`, `is_down`, `is_gone`, `intrude`, `repeat`.

    A session is read, and a question about one turn answered, when a test lets it be: `hold_answers` and
    `let_answer`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock=clock)
        self.held: deque[Append] = deque()
        self.holds = False
        #: Whether it cannot write, and whether it cannot read.
        self.is_down = self.is_gone = False
        #: The sessions whose pages are broken.
        self.broken: set[str] = set()
        self.appends: list[Append] = []
        #: Those that were written, in order.
        self.written: list[Append] = []
        self._gone = asyncio.Event()
        #: The turns that were asked about, in order.
        self.asked: list[TurnId] = []
        #: How many messages were read.
        self.messages_read = 0
        self._answers = asyncio.Event()
        self._answers.set()

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
        for _ in range(min(count, len(self.held))):
            self._write(self.held.popleft())
        self._gone.set()  # for those who wait now
        self._gone.clear()

    def lose(self) -> None:
        """The process is gone with all that was kept."""
        self.held.clear()
        self.holds = False

    def intrude(self, session: str, *entries: Entry) -> None:
        """Another process appends to this session."""
        log = self._logs[SessionId(session)]
        log.append(Append(SessionId(session), log.head, entries, "another's", _Nowhere()))

    def after_a_kill(self) -> "SlowJournal":
        """What is found after a kill at this moment: all that has been written."""
        found = SlowJournal()
        found._logs = deepcopy(self._logs)
        return found

    def repeat(self, session: str) -> None:
        """Answer the session's last append once more."""
        log = self._logs.get(SessionId(session))
        last = [append for append in self.written if append.session_id == session][-1:]
        for append in last if log is not None else []:
            append.to.tell_if_alive(Landed(append.key, log.head))

    def append(self, append: Append) -> None:
        self.appends.append(append)
        if self.holds:
            self.held.append(append)
        else:
            self._write(append)

    async def load(self, session_id: SessionId, tail: Tail) -> Loaded | None:
        while any(append.session_id == session_id for append in self.held):
            await self._gone.wait()
        await self._answers.wait()
        if self.is_gone or session_id in self.broken:
            raise JournalDown("the disk is gone")
        return await super().load(session_id, tail)

    def hold_answers(self) -> None:
        """Read nothing from now on, until `let_answer`."""
        self._answers.clear()

    def let_answer(self) -> None:
        """Answer what was asked, and what is asked from now on."""
        self._answers.set()

    async def messages(self, session_id: SessionId, before: int | None, limit: int | None) -> Conversation:
        found = await super().messages(session_id, before, limit)
        self.messages_read += len(found.messages)
        return found

    async def turn(self, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        self.asked.append(turn_id)
        await self._answers.wait()
        if self.is_gone:
            raise JournalDown("the disk is gone")
        return await super().turn(session_id, turn_id)

    def _write(self, append: Append) -> None:
        if self.is_down:
            append.to.tell_if_alive(NotLanded(append.key, JournalDown("the disk is full")))
            return
        super().append(append)
        log = self._logs.get(append.session_id)
        if log is not None and log.key == append.key:
            self.written.append(append)


class _Nowhere:
    def tell_if_alive(self, message: Any, /) -> bool:
        return False
