"""What all sessions of one registry share."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from turnkeeper.actors.model import ids
from turnkeeper.actors.model.exceptions import UnknownSession
from turnkeeper.actors.model.messages import Conversation, GetMessages
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.context import ContextStore

from .directory import Directory

if TYPE_CHECKING:
    from turnkeeper.actors.turn.pipeline import Pipeline
    from turnkeeper.actors.turn.turn import Turn

#: What a host registers: ``async def agent(turn)``, or an async generator function.
Agent: TypeAlias = "Callable[[Turn], Awaitable[Any] | AsyncGenerator[Any, None]]"
LoadContext: TypeAlias = Callable[[SessionId, str], Awaitable[Any]]
SaveContext: TypeAlias = Callable[[Any], Awaitable[None]]

logger = logging.getLogger("turnkeeper")


def debug_from(environ: Mapping[str, str]) -> None:
    """``MR_DEBUG=True`` turns on debug logs: registration, cancellation, cleanup, errors, transitions."""
    if environ.get("MR_DEBUG", "").strip().lower() in ("true", "1"):
        logger.setLevel(logging.DEBUG)
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())


@dataclass(slots=True, kw_only=True)
class Household:
    """The loop and its clock, the settings, agents and stages, the contexts, the directory, the counters."""

    loop: asyncio.AbstractEventLoop
    thread: int
    clock: Callable[[], float]
    settings: Settings
    agents: Mapping[str, Agent]
    contexts: ContextStore
    directory: Directory = field(default_factory=Directory)
    load_context: LoadContext | None = None
    save_context: SaveContext | None = None
    counters: Counter[str] = field(default_factory=Counter)
    pipeline: "Pipeline | None" = None
    #: What was given up and still runs: the loop itself would let the garbage collector have it.
    strays: "set[asyncio.Future[Any]]" = field(default_factory=set)

    def conversation(self, asked: GetMessages) -> Conversation:
        """What was said, for whose session it is, or for whose it was if only this is left of it.

        Raises `UnknownSession`.
        """
        session, asker = ids.session_id(asked.session_id), asked.asker
        entry = self.directory.entries.get(session)
        owner = self.contexts.owner(session) if entry is None else entry.owner
        if owner is None or not (asker.sees_all or owner == asker.user):
            raise UnknownSession(f"no session {session!r}")
        return self.contexts.conversation(session)
