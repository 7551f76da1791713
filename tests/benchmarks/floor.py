"""The two floors: a dict of raw asyncio tasks, with none of the guarantees.

Sessions have no owner, and nothing is numbered, published or remembered. `Overwrites` cancels without
awaiting, and a successor starts at once, beside a predecessor that is still ending. `Awaits` cancels and
awaits, as whatever runs one turn at a time must: supersedes and cancels are compared with that one.
No design that runs a coroutine per turn can be faster.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

Agent = Callable[[str], Coroutine[Any, Any, Any]]


class Overwrites:
    """One task per session, of which only the newest is known."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.tasks: dict[str, asyncio.Task[Any]] = {}
        self.loop = asyncio.get_running_loop()

    async def run(self, session: str, message: str) -> Any:
        """Run one turn to its end."""
        task = self.tasks[session] = self.loop.create_task(self.agent(message))
        try:
            return await task
        finally:
            del self.tasks[session]

    def start(self, session: str, message: str) -> None:
        """Start a turn and let it run."""
        self.tasks[session] = self.loop.create_task(self.agent(message))

    async def supersede(self, session: str, message: str) -> None:
        """Cancel the session's turn and start another one; return when that has begun."""
        await self.cancel(session)
        self.start(session, message)
        await asyncio.sleep(0)

    async def cancel(self, session: str) -> None:
        """Cancel the session's turn, if it has one, and do not wait for its end."""
        task = self.tasks.pop(session, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Cancel what still runs."""
        left = list(self.tasks.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self.tasks.clear()


class Awaits(Overwrites):
    """The same, but what is cancelled is awaited: a successor starts when its predecessor has ended."""

    async def cancel(self, session: str) -> None:
        """Cancel the session's turn, if it has one, and wait for its end."""
        task = self.tasks.pop(session, None)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
