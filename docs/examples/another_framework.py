"""A host of another framework than aiohttp, such as FastAPI: its routes call these functions."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from turnkeeper.actors import SessionRegistry, Turn


async def agent(turn: Turn) -> AsyncIterator[str]:
    """Say the words of the message one by one: each text it yields is a `delta` event."""
    for word in turn.text.split():
        yield f"{word} "


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Open the registry when the app starts, and shut it down with the app."""
    async with SessionRegistry(agent) as registry:
        app.state.registry = registry
        yield


async def send(registry: SessionRegistry, session: str, message: Any, user: str) -> dict[str, Any]:
    """Run a turn for this message. A turn in flight is stopped first."""
    receipt = await registry.send(session, message, user=user)
    return {"status": "ok", "task_id": receipt.turn_id}


async def stop(registry: SessionRegistry, session: str, task_id: str, user: str) -> dict[str, Any]:
    """Stop that turn, and say what came of it once it has stopped."""
    answer = await registry.cancel(session, task_id, user=user)
    return {"status": answer.verdict, "settled_after_ms": answer.settled_after_ms}


async def events(
    registry: SessionRegistry, session: str, cursor: str | None, user: str
) -> AsyncIterator[str]:
    """What the session publishes after the cursor, as a `text/event-stream`."""
    async with aclosing(registry.events(session, after=cursor, user=user)) as published:
        async for event in published:
            number = "" if event.id is None else f"id: {event.id}\n"
            yield f"{number}event: {event.name}\ndata: {event.json}\n\n"
