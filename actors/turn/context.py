"""The conversation that outlives its actor."""

import copy
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from turnkeeper.actors.model.messages import Conversation
from turnkeeper.actors.model.records import SessionId

#: Set on the running turn's context when a cancel is asked, cleared when a turn starts, for code that
#: reads flags.
CANCEL_FLAGS = ("task_cancelled", "cancel_current_turn")


class Context:
    """What was said in a session, and whatever else the host keeps with it in ``data``.

    ``log_id`` and ``username`` can also be read and set as ``session_id`` and ``user``.
    """

    __slots__ = ("agent_name", "data", "log_id", "messages", "username")

    def __init__(
        self,
        log_id: str,
        username: str,
        agent_name: str = "default",
        data: dict[str, Any] | None = None,
        messages: list[Any] | None = None,
    ) -> None:
        self.log_id = log_id
        self.username = username
        self.agent_name = agent_name
        self.data: dict[str, Any] = {} if data is None else data
        self.messages: list[Any] = [] if messages is None else messages

    @property
    def session_id(self) -> str:
        """The same as ``log_id``."""
        return self.log_id

    @session_id.setter
    def session_id(self, session_id: str) -> None:
        self.log_id = session_id

    @property
    def user(self) -> str:
        """The same as ``username``."""
        return self.username

    @user.setter
    def user(self, user: str) -> None:
        self.username = user

    def copy(self) -> "Context":
        """A copy that shares nothing with this one. Raises whatever its values raise when copied."""
        return Context(
            self.log_id,
            self.username,
            self.agent_name,
            copy.deepcopy(self.data),
            copy.deepcopy(self.messages),
        )

    def __repr__(self) -> str:
        return f"<Context {self.log_id} of {self.username}: {len(self.messages)} messages>"


def flag_cancel(context: object) -> None:
    """Set the flags on a context, if it has a ``data`` that can take them."""
    # It is the host's object, and whatever it raises must not keep a turn from being cancelled.
    with suppress(Exception):
        data = getattr(context, "data", None)
        if isinstance(data, dict):
            data.update(dict.fromkeys(CANCEL_FLAGS, True))


def clear_cancel(context: object) -> None:
    """Clear the flags."""
    with suppress(Exception):
        data = getattr(context, "data", None)
        if isinstance(data, dict):
            for flag in CANCEL_FLAGS:
                data.pop(flag, None)


class ContextStore:
    """The built-in store: the contexts of the most recently used sessions, in memory."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._contexts: OrderedDict[SessionId, tuple[Context, str | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._contexts)

    def owner(self, session_id: SessionId) -> str | None:
        """Whose conversation is kept under this id."""
        kept = self._contexts.get(session_id)
        return None if kept is None else kept[0].username

    def conversation(self, session_id: SessionId) -> Conversation:
        """What was said, the kept messages themselves; an empty one where nothing is kept."""
        kept = self._contexts.get(session_id)
        if kept is None:
            return Conversation(session_id)
        messages: object = kept[0].messages  # an agent may have put anything in their place
        said = tuple(messages) if isinstance(messages, list | tuple) else ()
        return Conversation(session_id, said, kept[1])

    def copy_for(self, session_id: SessionId, owner: str, agent: str) -> Context:
        """A turn's own copy, without flags of an earlier turn; an empty one where nothing is kept."""
        kept = self._contexts.get(session_id)
        if kept is None:
            return Context(session_id, owner, agent)
        self._contexts.move_to_end(session_id)
        mine = kept[0].copy()
        mine.agent_name = agent
        clear_cancel(mine)
        return mine

    def keep(self, session_id: SessionId, context: Context, cursor: str | None = None) -> None:
        """Keep this as the session's conversation; the least recently used one may have to go.

        ``cursor`` is the id of the event that ends the turn it comes from. A turn that left the messages
        as they were has no part in them.
        """
        before = self._contexts.get(session_id)
        if before is not None and _same(before[0].messages, context.messages):
            cursor = before[1]
        self._contexts[session_id] = context, cursor
        self._contexts.move_to_end(session_id)
        if len(self._contexts) > self._size:
            self._contexts.popitem(last=False)

    def forget(self, session_id: SessionId) -> None:
        """Let go of the session's conversation."""
        self._contexts.pop(session_id, None)


def _same(messages: object, others: object) -> bool:
    # Nearly free: a copy has the very texts of what it is a copy of. A message may refuse to be compared.
    with suppress(Exception):
        return bool(messages == others)
    return False
