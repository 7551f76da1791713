"""The list of everything in flight, and how long the loop stands still while it is made."""

import asyncio
import gc
import time
from statistics import median

from tests.benchmarks.agents import waits
from tests.benchmarks.figures import Figure, Size, at_most
from tests.benchmarks.floor import TaskTable
from turnkeeper.actors.registry import SessionRegistry


class Heartbeat:
    """Goes through the loop all the time, and remembers the longest time it had to wait."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = time.perf_counter()
        self.longest = 0.0
        self._handle = self._loop.call_soon(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = self._loop.call_soon(self._beat)

    def stop(self) -> None:
        """Be still."""
        self._handle.cancel()


async def lists(size: Size) -> list[Figure]:
    """Milliseconds for the list of all turns in flight: session, turn, status and start of each."""
    sessions = [f"session-{n}" for n in range(size.of(100_000))]
    table = TaskTable(waits)
    created = {session: time.time() for session in sessions}
    floor: list[float] = []
    measured: list[float] = []
    blocked: list[float] = []
    async with SessionRegistry(waits) as registry:
        for session in sessions:
            table.start(session, "hello")
            await registry.send(session, "hello")
        gc.collect()
        gc.freeze()
        for _ in range(size.rounds):
            began = time.perf_counter()
            found = {
                session: {"active": True, "created_at": created[session]}
                for session, task in table.tasks.items()
                if not task.done()
            }
            floor.append((time.perf_counter() - began) * 1_000)
            assert len(found) == len(sessions)
            del found
            gc.collect()

            began = time.perf_counter()
            active = await registry.active()
            measured.append((time.perf_counter() - began) * 1_000)
            assert len(active) == len(sessions)
            del active
            gc.collect()

            heart = Heartbeat()
            await asyncio.sleep(0)
            await registry.active()
            heart.stop()
            blocked.append(heart.longest * 1_000)
        gc.unfreeze()
        await table.close()
    low, high = median(floor), median(measured)
    return [
        Figure(f"list of {len(sessions):,} sessions", "ms", high, low, high / low, at_most(25, "ms")),
        Figure(f"loop blocked by that list, at most ({len(sessions):,})", "ms", median(blocked), low, median(blocked) / low),
    ]
