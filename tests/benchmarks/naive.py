"""The dict of tasks that many chat servers have: cancel the old one, await it, start the next one.

The commoner of the two variants; the other one, which overwrites without waiting, is the floor.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.benchmarks.agents import Waiting


class DictOfTasks:
    """One task per session, if there are no two sends at once."""

    def __init__(self, agent: Waiting) -> None:
        self.agent = agent
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def send(self, session: str, message: str) -> asyncio.Task[Any]:
        """Cancel what runs, wait for its end, start the next one."""
        await self.cancel(session)
        task = self.tasks[session] = asyncio.create_task(self.agent(message))
        task.add_done_callback(lambda _: self.tasks.pop(session, None))
        return task

    async def run(self, session: str, message: str) -> Any:
        """Run one turn to its end."""
        return await (await self.send(session, message))

    async def cancel(self, session: str) -> None:
        """Cancel the session's turn and wait for its end."""
        task = self.tasks.get(session)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        """Cancel what still runs."""
        left = list(self.tasks.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
