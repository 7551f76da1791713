"""What every journal does, and what it is handed and hands back. Data and a protocol only.

A journal keeps the logs of sessions. Who appends says behind which entry, and is answered by a message: so a
session decides on nothing but what is durable.
"""

from collections.abc import AsyncGenerator, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, NewType, Protocol, TypeAlias, final, runtime_checkable

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Conversation, SessionPage, TurnPage
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import SessionState
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.kept import Kept

from .durable import Durable
from .entries import Entry

#: The position of the last entry of a session on which decisions depend: events and titles do not move it.
Head = NewType("Head", int)


class Addressee(Protocol):
    """Where the answer to an append goes: an actor's ref."""

    def tell_if_alive(self, message: Any, /) -> bool:
        """Send it a message, from the event loop's thread."""
        ...


@value
class Append:
    """Some entries of one session, to be written together or not at all.

    ``after`` is the head that they were decided on; ``None`` for a session that has no log yet. ``key`` names
    this append among all: one that has been written already, because its answer was lost, is answered as
    landed and is not written twice. ``to`` gets a `Landed`, `Moved` or `NotLanded`.

    Of one session one append is on its way at most. One that has events and titles only may come behind
    any head: it is written unless those events are of another epoch than the session's last.
    """

    session_id: SessionId
    after: Head | None
    entries: tuple[Entry, ...]
    key: str
    to: Addressee


@final
@value
class Landed:
    """The append is durable; ``head`` is where the session stands now."""

    key: str
    head: Head


@final
@value
class Moved:
    """Nothing was written: another has appended ``entries`` to the session since. It stands at ``head``.

    Without entries the session has no log any more, or its events are of an epoch that is over.
    """

    key: str
    head: Head
    entries: tuple[Entry, ...]


@final
@value
class NotLanded:
    """The journal cannot write now, and nothing was written."""

    key: str
    error: SessionError


#: What becomes of an append.
Answer: TypeAlias = Landed | Moved | NotLanded


@value
class Loaded:
    """A session as the journal has it.

    ``kept`` is the conversation's last part and the context's data. ``events`` are the last ones, oldest
    first, and ``dropped`` is the id of the last numbered event before them. ``active_at`` is when a turn last
    started or ended.
    """

    session_id: SessionId
    head: Head
    durable: Durable
    kept: Kept
    events: tuple[Event, ...]
    dropped: tuple[Epoch, int] | None
    title: str | None
    active_at: float


@value
class Tail:
    """How much of a session is loaded: at most so many events and messages, of about so many bytes.

    ``limits`` are those of the session's own memory.
    """

    events: int
    event_bytes: int
    messages: int
    message_bytes: int
    limits: Limits

    def of(self, events: Iterable[Event]) -> tuple[list[Event], Event | None]:
        """Those of the events, the newest first, that are loaded, and the one before them.

        The newest is loaded in any case.
        """
        found: list[Event] = []
        size = 0
        for event in events:
            size += event.size
            if found and (len(found) == self.events or size > self.event_bytes):
                return found, event
            found.append(event)
        return found, None


@value
class History:
    """How much a journal keeps before the sessions that were idle longest are forgotten.

    ``age`` in seconds, ``None`` for any. Of one user ``sessions`` and ``bytes``, of all ``bytes_in_all``.
    """

    age: float | None
    sessions: int
    bytes: int
    bytes_in_all: int


@runtime_checkable
class Journal(Protocol):
    """The logs of sessions. Every method belongs to the event loop's thread and does not block it.

    Every ``async`` method raises `JournalDown` where the journal cannot be read or written now, and may be
    cancelled without harm.
    """

    async def open(self) -> tuple[SessionId, ...]:
        """Open it, and say which sessions have a turn that has not ended, in the order of their sends.

        Raises `JournalNotOpened`: another process has it, it cannot be written or is not to be read.
        """
        ...

    @property
    def down(self) -> SessionError | None:
        """Why it could not write last time, if it could not."""
        ...

    def append(self, append: Append) -> None:
        """Write entries behind the session's head; its ``to`` is answered. Appends keep their order.

        Raises `TypeError` for a message that JSON cannot say; then nothing is written or answered.
        """
        ...

    async def load(self, session_id: SessionId, tail: Tail) -> Loaded | None:
        """The session; ``None`` if it has no log. All appends of the session that came before are in it."""
        ...

    def read(self, session_id: SessionId, after: tuple[Epoch, int] | None) -> AsyncGenerator[Event, None]:
        """The numbered events after that id, or all, oldest first, as far as they are durable."""
        ...

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
        ...

    async def named(self, prefix: str) -> tuple[SessionId, ...]:
        """The sessions whose ids begin with that, in whatever state, in no order."""
        ...

    async def messages(self, session_id: SessionId, before: int | None, limit: int | None) -> Conversation:
        """What was said before so many messages, also what is no longer in memory."""
        ...

    async def turns(self, session_id: SessionId, before: str | None, limit: int | None) -> TurnPage:
        """A page of the session's turns, the one sent last first. Raises `InvalidRequest`."""
        ...

    async def turn(self, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        """One turn of the session, however long ago; ``None`` if the log has none of that id."""
        ...

    async def forget(self, session_id: SessionId) -> None:
        """Delete the session and all that is kept of it."""
        ...

    async def prune(self, history: History, in_use: AbstractSet[SessionId]) -> int:
        """Forget the sessions that are too many, idle longest first, and none ``in_use``; return how many.

        One with a turn that has not ended is in use, too. Whether one is in use is asked once more in the
        moment in which it is forgotten.
        """
        ...

    async def close(self) -> None:
        """Write what has been appended, and close it. May be called more than once."""
        ...
