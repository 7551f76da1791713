"""The built-in store of contexts: those of the most recently used sessions, in memory."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator

from turnkeeper.actors.metrics.meter import CONVERSATIONS_FORGOTTEN, MESSAGES_OMITTED, Meter
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId

from .changes import Changes
from .context import OwnContext
from .kept import Kept
from .transcript import Bound


def _uncounted(_user: str, _size: int) -> None:
    """Where there are no bounds of users."""


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

    def conversation(self, session_id: SessionId) -> Conversation:
        """What was said, the kept messages themselves; an empty one where nothing is kept."""
        kept = self._kept.get(session_id)
        if kept is None:
            return Conversation(session_id)
        said = kept.transcript
        return Conversation(session_id, tuple(said.messages), kept.cursor, said.omitted)

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
        self._kept[session_id] = kept
        own = self._of_user.get(kept.owner)
        if own is None:
            own = self._of_user[kept.owner] = OrderedDict()
        own[session_id] = None
        self._count(kept.owner, kept.size)
        if len(self._kept) > self._most:
            self.forget(next(iter(own if len(own) > self._per_user else self._kept)))
            self._meter.count(CONVERSATIONS_FORGOTTEN)

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

    def forget(self, session_id: SessionId) -> None:
        """Let go of the session's conversation."""
        kept = self._kept.pop(session_id, None)
        if kept is not None:
            own = self._of_user[kept.owner]
            del own[session_id]
            if not own:
                del self._of_user[kept.owner]
            self._count(kept.owner, -kept.size)
