"""What a turn needs of the registry it runs in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.records import SessionId, TurnId
from turnkeeper.actors.runtime import AsyncioRef
from turnkeeper.actors.turn.context_store import ContextStore
from turnkeeper.actors.turn.family.tree import Tree
from turnkeeper.actors.turn.work.means import Means


class Stages(Protocol):
    """The stages that an agent may run."""

    def run(self, name: str, data: dict[str, Any], turn: Any, /) -> Awaitable[dict[str, Any]]:
        """Run the stages of that name, each with what the one before returned."""
        ...


class TurnHost(Protocol):
    """What a turn needs of the registry it runs in."""

    @property
    def thread(self) -> int:
        """The thread of the event loop."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Returns the time, in Unix seconds."""
        ...

    @property
    def max_event_size(self) -> int:
        """How many characters the data of one event may take."""
        ...

    @property
    def contexts(self) -> ContextStore:
        """The conversations of all sessions."""
        ...

    @property
    def most_recorded(self) -> int:
        """How many bytes are kept of a reply that a turn does not keep itself."""
        ...

    @property
    def most_open_calls(self) -> int:
        """How many calls of tools a turn may have open."""
        ...

    @property
    def meter(self) -> Meter:
        """Where refused events and replies that are too long are counted."""
        ...

    @property
    def stages(self) -> Stages:
        """The registry's stages."""
        ...

    @property
    def tree(self) -> Tree:
        """The turns that turns have sent for."""
        ...

    @property
    def child_wait(self) -> float:
        """How long such a turn may wait for its session, in seconds."""
        ...

    @property
    def ref(self) -> AsyncioRef[Any]:
        """The registry's actor."""
        ...

    @property
    def turn_ids(self) -> Iterator[TurnId]:
        """The ids of turns for which no sender chooses one."""
        ...

    def count_refusal(self, error: Exception, /) -> None:
        """Count what was refused at a bound."""
        ...

    @property
    def means(self) -> Means:
        """With what its turns begin tasks, threads and processes."""
        ...

    def set_title(self, session_id: SessionId, title: str, /) -> None:
        """Give a session a title."""
        ...

    def session(self, session_id: SessionId, /) -> AsyncioRef[Any] | None:
        """The actor of a session; ``None`` if it has none."""
        ...

    def report(self, message: Any) -> None:
        """Send the registry a report."""
        ...
