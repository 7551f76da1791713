"""The built-in store of contexts: those of the most recently used sessions, in memory."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from turnkeeper.actors.metrics.meter import CONVERSATIONS_FORGOTTEN, MESSAGES_OMITTED, Meter
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId

from .changes import Changes
from .context import OwnContext
from .kept import Kept
from .transcript import Bound


def _uncounted(_user: str, _size: int) -> None:
    """Where there are no bounds of users."""


class Left(NamedTuple):
    """What is left of a session beside its conversation: whose it was, its title, when it was last active."""

    session_id: SessionId
    owner: str
    title: str | None
    active_at: float

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return 0 if self.title is None else footprint(self.title)


class ContextStore:
    """What is kept of each session's conversation; of so many sessions, and of each up to a bound.

    Where there are too many, the least recently used one is forgotten: of the user whose turn has just ended,
    if that user has more than ``per_user`` of them, else of all. So no user pushes out what others said.
    ``count`` is called with a user, and with about how many bytes of memory more (less, with a minus) the
    conversations of that user's sessions take.
    """

    def __init__(
        self,
        sessions: int,
        bound: Bound,
        meter: Meter,
        count: Callable[[str, int], None] = _uncounted,
        *,
        per_user: int,
    ) -> None:
        self._most = sessions
        self._per_user = per_user
        self._bound = bound
        self._meter = meter
        self._count = count
        self._kept: OrderedDict[SessionId, Kept] = OrderedDict()
        #: The sessions of each user, in the same order.
        self._of_user: dict[str, OrderedDict[SessionId, None]] = {}
        #: What is left of sessions of which only the conversation is.
        self._left: dict[SessionId, Left] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def owner(self, session_id: SessionId) -> str | None:
        """Whose conversation is kept under this id."""
        kept = self._kept.get(session_id)
        return None if kept is None else kept.owner

    def size_of(self, session_id: SessionId) -> int:
        """About how many bytes of memory the session's conversation takes."""
        kept = self._kept.get(session_id)
        return 0 if kept is None else kept.size

    def conversation(
        self, session_id: SessionId, before: int | None = None, limit: int | None = None
    ) -> Conversation:
        """What was said, the kept messages themselves; an empty one where nothing is kept.

        Of those before the message number ``before``, counted from the very first one, the last ``limit``.
        """
        kept = self._kept.get(session_id)
        if kept is None:
            return Conversation(session_id)
        said = kept.transcript
        end = said.count if before is None else min(said.count, before)
        start = min(end, said.omitted if limit is None else max(said.omitted, end - limit))
        messages = said.messages[start - said.omitted : end - said.omitted] if start < end else ()
        return Conversation(session_id, tuple(messages), kept.cursor, start)

    def context_for(self, session_id: SessionId, owner: str, agent: str) -> OwnContext:
        """A turn's own copy, without flags of an earlier turn; an empty one where nothing is kept."""
        kept = self._kept.get(session_id)
        if kept is None:
            kept = Kept(owner)
        else:
            self._kept.move_to_end(session_id)
            self._of_user[kept.owner].move_to_end(session_id)
        return OwnContext(session_id, agent, kept)

    def apply(self, session_id: SessionId, given: Kept, changes: Changes, cursor: str | None = None) -> None:
        """Keep what a turn has made of what it was ``given``. Another conversation may have to go for it.

        ``cursor`` is the id of the event that ends the turn.
        """
        kept = given.after(changes, self._bound, cursor)
        dropped = kept.transcript.omitted - min(given.transcript.omitted, changes.keep)
        if dropped:
            self._meter.count(MESSAGES_OMITTED, dropped)
        self.forget(session_id)
        own = self._keep(session_id, kept)
        if len(self._kept) > self._most:
            self.forget(next(iter(own if len(own) > self._per_user else self._kept)))
            self._meter.count(CONVERSATIONS_FORGOTTEN)

    def _keep(self, session_id: SessionId, kept: Kept) -> OrderedDict[SessionId, None]:
        """Keep this, the last to be forgotten; return the sessions of its owner."""
        self._kept[session_id] = kept
        own = self._of_user.get(kept.owner)
        if own is None:
            own = self._of_user[kept.owner] = OrderedDict()
        own[session_id] = None
        self._count(kept.owner, kept.size)
        return own

    def restore(self, session_id: SessionId, kept: Kept) -> None:
        """Keep what a journal has of the session's conversation. None has to go for it."""
        self.forget(session_id)
        self._keep(session_id, kept)

    def make_room(self, keeps: Callable[[str], int], enough: Callable[[], bool]) -> Iterator[None]:
        """Forget conversations until there is room ``enough``, step by step: others may be kept in between.

        Each is the least recently used one of the user who then ``keeps`` the most.
        """
        users: list[tuple[int, str]] = []
        for user in list(self._of_user):
            heapq.heappush(users, (-keeps(user), user))
            yield
        while users and not enough():
            _, user = heapq.heappop(users)
            own = self._of_user.get(user)
            if own is not None:
                self.forget(next(iter(own)))
                self._meter.count(CONVERSATIONS_FORGOTTEN)
                heapq.heappush(users, (-keeps(user), user))
            yield

    def leave(self, left: Left) -> None:
        """Of this session only the conversation is left, if there is one."""
        if left.session_id in self._kept:
            self._left[left.session_id] = left
            self._count(left.owner, left.size)

    def left(self, session_id: SessionId) -> Left | None:
        """What is left of the session, if only its conversation is."""
        return self._left.get(session_id)

    def take(self, session_id: SessionId) -> Left | None:
        """The same, no longer kept here: there is a session again."""
        left = self._left.pop(session_id, None)
        if left is not None:
            self._count(left.owner, -left.size)
        return left

    def known(self, user: str | None) -> list[SessionId]:
        """The ids of the sessions that are `left`: this user's, or all."""
        if user is None:
            return list(self._left)
        return [session_id for session_id in self._of_user.get(user, ()) if session_id in self._left]

    def forget(self, session_id: SessionId) -> None:
        """Let go of the session's conversation."""
        self.take(session_id)
        kept = self._kept.pop(session_id, None)
        if kept is not None:
            own = self._of_user[kept.owner]
            del own[session_id]
            if not own:
                del self._of_user[kept.owner]
            self._count(kept.owner, -kept.size)
