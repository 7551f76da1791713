"""Which session a chat completion belongs to: the one that a header names, or one of its own.

One of its own holds one turn. It is closed and forgotten when that has ended, so that any number of them
leave nothing behind.
"""

from collections.abc import Mapping
from typing import Final

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import Close, TurnEnd
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.value import value
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.web.http.settings import WebSettings, header_names
from turnkeeper.web.wires.openai.ids import ONCE, new_session

from .asked import Asked

#: How the prompts begin that Open WebUI sends for titles, tags, follow-ups, queries and completions of what a
#: user types, unless it is set up otherwise.
_TASK: Final = "### Task:"


@value
class Place:
    """A session; ``once``: it is for this request alone."""

    session_id: SessionId
    once: bool


def place_of(
    headers: Mapping[str, str], settings: WebSettings, asked: Asked, user: str, key: str | None
) -> Place:
    """The session of a request with these headers. Raises `InvalidRequest` for an id that breaks the rule.

    With a ``key``, a retry comes to the same one.
    """
    if not any(headers.get(name) for name in header_names(settings.task_headers, "task_headers")):
        for name in header_names(settings.session_headers, "session_headers"):
            if session := headers.get(name):
                try:
                    named = ids.session_id(session)
                except InvalidRequest:
                    raise InvalidRequest(f"{name} must be {ids.ID_RULE}", field=name) from None
                if not _is_task(asked):
                    return Place(named, once=False)
    return Place(new_session(ONCE, user, key), once=True)


def _is_task(asked: Asked) -> bool:
    """Whether it is a task of Open WebUI's own that comes without a header that says so.

    It has the id of its chat all the same, and would stop the turn there.
    """
    text = asked.message
    return not asked.streams and not asked.before and isinstance(text, str) and text.startswith(_TASK)


class Forgetting(AsyncioFuture[TurnEnd]):
    """Where the end of the only turn of a session goes: the session is closed then, and forgotten.

    But not before the turn has its reader, which is given all of it even so.
    """

    def __init__(self, registry: SessionRegistry, session_id: str) -> None:
        self._registry = registry
        self._session_id = session_id
        self._ended = False
        self._is_followed = False

    def set(self, value: TurnEnd | None = None) -> None:
        """The turn has ended."""
        super().set(value)
        self._ended = True
        self._close()

    def follow(self) -> None:
        """The turn has its reader, or will have none."""
        self._is_followed = True
        self._close()

    def _close(self) -> None:
        if self._ended and self._is_followed:
            self._registry.ref.tell_if_alive(Close(self._session_id, free=True))
