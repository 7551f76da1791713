"""The kinds of functions that a host hands to a registry."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, TypeAlias

from turnkeeper.actors.model.records import SessionId

from .turn import Turn

#: What a host registers: ``async def agent(turn)``, or an async generator function.
AgentFunction: TypeAlias = Callable[[Turn[Any]], Awaitable[Any] | AsyncIterable[Any]]
#: Called with the session and the user whose session it is; returns the turn's context, or ``None``.
LoadContext: TypeAlias = Callable[[SessionId, str], Awaitable[Any]]
#: Called with the turn's context at its end.
SaveContext: TypeAlias = Callable[[Any], Awaitable[None]]
