"""The conversation, as a turn sees it."""

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from turnkeeper.actors.model.exceptions import ContextNotCopyable, InvalidRequest
from turnkeeper.actors.model.frozen import frozen

from .changes import Changes, OwnMessages, same, shared
from .kept import Kept

#: Set on the running turn's context when a cancel is asked, cleared when a turn starts, for code that
#: reads flags.
CANCEL_FLAGS = ("task_cancelled", "cancel_current_turn")


class Context:
    """What was said in a session, and whatever else the host keeps with it in ``data``.

    ``log_id`` and ``username`` can also be read and set as ``session_id`` and ``user``.

    In the context that turnkeeper keeps for a session, ``messages`` is a list of the turn's own, copied when
    it is first looked at. The messages in it that come from earlier turns are read-only: a change raises
    `ReadOnlyMessage`, and ``messages[0] = {**messages[0], "content": "new"}`` puts another in the place of
    one. ``data`` is a deep copy. A context that the host brings is the host's own in all of this.
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


class OwnContext(Context):
    """A turn's own copy of the session's context; each half of it is made when it is first looked at.

    ``messages`` is a list of its own. Those in it that come from earlier turns are read-only
    (`ReadOnlyMessage`), and may be replaced by others. ``data`` is a deep copy.
    """

    __slots__ = ("_data", "_flagged", "_messages", "kept")

    def __init__(self, session_id: str, agent: str, kept: Kept) -> None:
        self.log_id = session_id
        self.username = kept.owner
        self.agent_name = agent
        #: What it is a copy of.
        self.kept = kept
        self._messages: list[Any] | None = None
        self._data: dict[str, Any] | None = None
        self._flagged = False

    @property
    def messages(self) -> list[Any]:
        """What was said, the oldest first. Assigning something else than a list raises `InvalidRequest`."""
        if self._messages is None:
            self._messages = OwnMessages(self.kept.transcript.messages)
        return self._messages

    @messages.setter
    def messages(self, messages: list[Any]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        if not isinstance(messages, list | tuple):
            raise InvalidRequest("a context's messages are a list", field="messages")
        # Other kinds of lists may go through their items in a way of their own.
        self._messages = messages if type(messages) in (list, OwnMessages) else list(messages)

    @property
    def data(self) -> dict[str, Any]:
        """The host's own. Raises `ContextNotCopyable`. Assigning no dict raises `InvalidRequest`."""
        if self._data is None:
            try:
                self._data = copy.deepcopy(self.kept.data)
            except Exception as error:
                raise ContextNotCopyable("the session's data cannot be copied") from error
            if self._flagged:
                set_flags(self._data)
        return self._data

    @data.setter
    def data(self, data: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        if not isinstance(data, dict):
            raise InvalidRequest("a context's data is a dict", field="data")
        self._data = data

    def flag_cancel(self) -> None:
        """Set the flags, or, if ``data`` has not been looked at yet, when it is."""
        self._flagged = True
        if self._data is not None:
            set_flags(self._data)

    @property
    def has_written(self) -> bool:
        """Whether the turn did anything else to the messages than look at them."""
        messages, given = self._messages, self.kept.transcript.messages
        if messages is None:
            return False
        # As they were given, and no longer than that.
        return not (
            type(messages) is OwnMessages and messages.begins_with is given and len(messages) == len(given)
        )

    def discard_messages(self) -> None:
        """Leave the messages as they were given."""
        self._messages = None

    def changes(self) -> Changes:
        """What the turn has changed. Never raises."""
        given, messages, data = self.kept.transcript, self._messages, self._changed_data()
        if messages is None:
            return Changes(given.count, (), data)
        count = shared(given.messages, messages)
        return Changes(given.omitted + count, tuple(map(frozen, messages[count:])), data)

    def _changed_data(self) -> dict[str, Any] | None:
        before, data = self.kept.data, self._data
        if data is None or same(before, data):
            return None
        try:
            data = copy.deepcopy(data)
            clear_flags(data)
        except Exception:  # noqa: BLE001 - whatever it is, the next turn that looks meets it too
            return data
        return None if same(before, data) else data

    def __reduce__(self) -> tuple[Any, ...]:
        return Context, (self.log_id, self.username, self.agent_name, self.data, self.messages)


def set_flags(data: dict[str, Any]) -> None:
    """Say in a context's ``data`` that a cancel was asked."""
    data.update(dict.fromkeys(CANCEL_FLAGS, True))


def clear_flags(data: dict[str, Any]) -> None:
    """Take that back."""
    for flag in CANCEL_FLAGS:
        data.pop(flag, None)


def flag_cancel(context: object) -> None:
    """Set the flags on a context, if it has a ``data`` that can take them."""
    if isinstance(context, OwnContext):
        context.flag_cancel()
    else:
        _on_data_of(context, set_flags)


def clear_cancel(context: object) -> None:
    """Clear the flags on a context, in the same way."""
    _on_data_of(context, clear_flags)


def _on_data_of(context: object, change: Callable[[dict[str, Any]], None]) -> None:
    # It is the host's object, and whatever it raises must not keep a turn from being cancelled.
    with suppress(Exception):
        data = getattr(context, "data", None)
        if isinstance(data, dict):
            change(data)
