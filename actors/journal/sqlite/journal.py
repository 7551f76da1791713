"""The journal in a file: what the event loop's thread has of it.

Nothing here waits for the file: what is to be written goes by `Post` to the one that writes, and what is
asked to `Readers`.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from turnkeeper.actors.admission.page import check_limit
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.journal.contract import Append, History, Loaded, NotLanded, Tail
from turnkeeper.actors.journal.entries import encode
from turnkeeper.actors.model.exceptions import JournalDown, JournalNotOpened, SessionError
from turnkeeper.actors.model.messages import Conversation, SessionPage, TurnPage
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.words import Durability, SessionState
from turnkeeper.actors.session.settings import Settings

from . import forgetting
from .database import create, expect_one_name, real
from .failures import down, not_opened
from .lock import FileLock
from .post import Post
from .readers import Readers
from .reading import events, lists
from .reading.load import load
from .writing import tables
from .writing.group import Written

T = TypeVar("T")
_CLOSED: Final = "the journal is closed"
_NONE: Final[frozenset[SessionId]] = frozenset()


class SqliteJournal:
    """The logs of sessions in one file of SQLite's, which one process has open at a time.

    ``path`` names the file; it is made if there is none, and only its owner can read it. ``durability`` says
    what survives when the machine loses its power. ``sizes`` is how much readers are shown of events that are
    made anew, and ``clock`` returns the time, in Unix seconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = Durability.MIXED,
        sizes: Sizes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._durability = Durability(durability)
        self._sizes = Sizes.of(Settings()) if sizes is None else sizes
        self._clock = clock
        self._lock: FileLock | None = None
        self._post: Post | None = None
        self._readers: Readers | None = None

    async def open(self) -> tuple[SessionId, ...]:
        """Open it, and say which sessions have a turn that has not ended.

        Raises `JournalNotOpened`: another process has it, it cannot be written or is not to be read.
        """
        if self._post is not None:
            raise JournalNotOpened("the journal is open already")
        await asyncio.get_running_loop().run_in_executor(None, self._take)
        self._readers = Readers(self._path)
        self._post = Post(self._path, self._durability)
        try:
            return await self._post.do(tables.in_flight)
        except Exception as error:
            await self.close()
            raise not_opened(error, self._path) from error
        except asyncio.CancelledError:
            await self.close()
            raise

    def _take(self) -> None:
        self._path = real(self._path)
        lock = FileLock.of(self._path)
        lock.take()
        try:
            create(self._path)
            expect_one_name(self._path)
        except (OSError, JournalNotOpened) as error:
            lock.release()
            raise not_opened(error, self._path) from error
        self._lock = lock

    @property
    def down(self) -> SessionError | None:
        """Why it could not write last time, if it could not."""
        return None if self._post is None else self._post.down

    def append(self, append: Append) -> None:
        """Write entries behind the session's head; its ``to`` is answered. Appends keep their order.

        Raises `TypeError` for a message that JSON cannot say; then nothing is written or answered.
        """
        written = Written(append, tuple(map(encode, append.entries)))
        if self._post is None or not self._post.send(written):
            append.to.tell_if_alive(NotLanded(append.key, JournalDown(_CLOSED)))

    async def _do(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Have something done by the writer. Raises `JournalDown`."""
        if self._post is None:
            raise JournalDown(_CLOSED)
        try:
            return await self._post.do(run)
        except Exception as error:
            raise down(error) from error

    async def _read(self, query: Callable[[sqlite3.Connection], T], of: SessionId | None = None) -> T:
        """What a query about a session, or all, finds when what was appended before is there.

        Raises `JournalDown`.
        """
        post, readers = self._post, self._readers
        if post is None or readers is None:
            raise JournalDown(_CLOSED)
        await post.catch_up(of)
        return await readers.read(query)

    # -- what is asked --------------------------------------------------------------------

    async def load(self, session_id: SessionId, tail: Tail) -> Loaded | None:
        """The session; ``None`` if it has no log. All appends of the session that came before are in it."""
        return await self._read(
            partial(load, session_id=session_id, tail=tail, sizes=self._sizes), session_id
        )

    async def read(
        self, session_id: SessionId, after: tuple[Epoch, int] | None
    ) -> AsyncGenerator[Event, None]:
        """The numbered events after that id, or all, oldest first, as far as they are durable."""
        seen = after
        while True:
            query = partial(events.after, session_id=session_id, seen=seen, sizes=self._sizes)
            page = await self._read(query, session_id)
            if not page:
                return
            for event in page:
                yield event
            last = page[-1]
            assert last.epoch is not None, "it has an id"
            seen = last.epoch, last.n

    async def sessions(
        self,
        *,
        owner: str | None = None,
        state: SessionState | None = None,
        q: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> SessionPage:
        """A page of sessions, the last active first. Raises `InvalidRequest`."""
        asked = lists.asked(before, limit, self._clock())
        return await self._read(partial(lists.sessions, asked=asked, owner=owner, state=state, q=q))

    async def named(self, prefix: str) -> tuple[SessionId, ...]:
        """The sessions whose ids begin with that, in whatever state."""
        return await self._read(partial(lists.named, prefix=prefix))

    async def messages(self, session_id: SessionId, before: int | None, limit: int | None) -> Conversation:
        """What was said before so many messages, however long ago. Raises `InvalidRequest`."""
        most = check_limit(limit)
        query = partial(lists.messages, session_id=session_id, before=before, limit=most)
        return await self._read(query, session_id)

    async def turns(self, session_id: SessionId, before: str | None, limit: int | None) -> TurnPage:
        """A page of the session's turns, the one sent last first. Raises `InvalidRequest`."""
        asked = lists.asked(before, limit, self._clock())
        return await self._read(partial(lists.turns, session_id=session_id, asked=asked), session_id)

    async def turn(self, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        """One turn of the session, however long ago; ``None`` if the log has none of that id."""
        return await self._read(partial(lists.turn, session_id=session_id, turn_id=turn_id), session_id)

    # -- what is forgotten ----------------------------------------------------------------

    async def forget(self, session_id: SessionId) -> None:
        """Delete the session and all that is kept of it."""
        await self._forget([session_id])

    async def prune(self, history: History, in_use: AbstractSet[SessionId]) -> int:
        """Forget the sessions that are too many, idle longest first, and none ``in_use``; return how many."""
        find = partial(forgetting.too_many, history=history, in_use=list(in_use), now=self._clock())
        return await self._forget(await self._read(find), in_use)

    async def _forget(self, session_ids: list[SessionId], in_use: AbstractSet[SessionId] = _NONE) -> int:
        """In parts, so that others can append in between."""
        count, most = 0, forgetting.AT_A_TIME
        for start in range(0, len(session_ids), most):
            ids = [each for each in session_ids[start : start + most] if each not in in_use]
            count += await self._do(partial(forgetting.forget, ids=ids))
        while await self._do(forgetting.shrink):
            pass
        return count

    async def close(self) -> None:
        """Write what has been appended, and close it. May be called more than once."""
        post, self._post = self._post, None
        readers, self._readers = self._readers, None
        if post is None or readers is None:
            return
        await post.close()
        await readers.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            await asyncio.get_running_loop().run_in_executor(None, lock.release)
