"""The built-in store of contexts: those of the most recently used sessions, in memory."""

from collections import OrderedDict

from turnkeeper.actors.metrics.meter import CONVERSATIONS_FORGOTTEN, MESSAGES_OMITTED, Meter
from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId

from .changes import Changes
from .context import OwnContext
from .kept import Kept
from .transcript import Bound


class ContextStore:
    """What is kept of each session's conversation; of so many sessions, and of each up to a bound."""

    def __init__(self, sessions: int, bound: Bound, meter: Meter) -> None:
        self._most = sessions
        self._bound = bound
        self._meter = meter
        self._kept: OrderedDict[SessionId, Kept] = OrderedDict()
        self._sizes_by_owner: dict[str, int] = {}
        #: About how many bytes of memory all conversations take.
        self.size = 0

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

    def size_of_all(self, owner: str) -> int:
        """About how many bytes of memory the conversations of a user's sessions take."""
        return self._sizes_by_owner.get(owner, 0)

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
        return OwnContext(session_id, agent, kept)

    def apply(self, session_id: SessionId, given: Kept, changes: Changes, cursor: str | None = None) -> None:
        """Keep what a turn has made of what it was ``given``. The least recently used session may have to go.

        ``cursor`` is the id of the event that ends the turn.
        """
        kept = given.after(changes, self._bound, cursor)
        dropped = kept.transcript.omitted - min(given.transcript.omitted, changes.keep)
        if dropped:
            self._meter.count(MESSAGES_OMITTED, dropped)
        self.forget(session_id)
        self._kept[session_id] = kept
        self._add_up(kept.owner, kept.size)
        if len(self._kept) > self._most:
            self.forget(next(iter(self._kept)))
            self._meter.count(CONVERSATIONS_FORGOTTEN)

    def forget(self, session_id: SessionId) -> None:
        """Let go of the session's conversation."""
        kept = self._kept.pop(session_id, None)
        if kept is not None:
            self._add_up(kept.owner, -kept.size)

    def _add_up(self, owner: str, size: int) -> None:
        self.size += size
        size += self._sizes_by_owner.get(owner, 0)
        if size:
            self._sizes_by_owner[owner] = size
        else:
            self._sizes_by_owner.pop(owner, None)
