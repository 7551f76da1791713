"""What goes wrong on a way of keeping turns: what it lets happen, tried and not quoted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks.ways import Table

CLEANUP = 0.02  # seconds that a cancelled turn takes to end, as one does that saves what it has
PATIENCE = 0.6  # seconds after which a send hangs; more than any grace here


class Watched:
    """An agent that takes a while to end when it is cancelled, and counts how many of it run."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.released = asyncio.Event()
        self.stubborn = False

    async def __call__(self, _turn: Any) -> None:
        self.tasks.append(asyncio.current_task())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            while self.stubborn and not self.released.is_set():
                try:
                    await self.released.wait()
                except asyncio.CancelledError:
                    continue
            await asyncio.sleep(CLEANUP)
            raise
        finally:
            self.running -= 1

    async def end(self) -> None:
        """End what a way has lost."""
        left = [task for task in self.tasks if task is not None and not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


Make = Callable[[Any], Awaitable[Table]]


async def _one_send(make: Make) -> list[str]:
    agent = Watched()
    table = await make(agent)
    await table.start("s", "first")
    await asyncio.sleep(0)
    await table.supersede("s", "second")
    await asyncio.sleep(2 * CLEANUP)
    await table.close()
    return ["a turn overlaps its successor"] if agent.most > 1 else []


async def _two_sends(make: Make) -> list[str]:
    agent = Watched()
    table = await make(agent)
    await table.start("s", "first")
    await asyncio.sleep(0)
    await asyncio.gather(table.supersede("s", "second"), table.supersede("s", "third"))
    await asyncio.sleep(2 * CLEANUP)
    await table.cancel("s")
    await asyncio.sleep(3 * CLEANUP)
    found = ["of two sends at once both run"] if agent.most > 1 else []
    found += ["a stop then misses one of them"] if agent.running else []
    await table.close()
    await agent.end()
    return found


async def _hanging(make: Make, patience: float) -> list[str]:
    agent = Watched()
    agent.stubborn = True
    table = await make(agent)
    await table.start("s", "first")
    await asyncio.sleep(0)
    sending = asyncio.ensure_future(table.supersede("s", "second"))
    await asyncio.wait((sending,), timeout=patience)
    if not sending.done():
        found = ["a turn that hangs blocks its successor for good"]
    elif sending.exception() is not None:
        found = ["a send onto a turn that hangs fails"]
    else:
        found = []
    agent.released.set()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.sleep(2 * CLEANUP)
    await table.close()
    return found


async def faults(make: Make, patience: float = PATIENCE) -> list[str]:
    """In words, what was seen to go wrong."""
    return [*await _one_send(make), *await _two_sends(make), *await _hanging(make, patience)]
