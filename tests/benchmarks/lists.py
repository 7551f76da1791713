"""The list of everything in flight, and how long the loop stands still while it is made."""

import asyncio
import gc
import time
from statistics import median

from tests.benchmarks.agents import waits
from tests.benchmarks.crowd import crowd
from tests.benchmarks.figures import Figure, Size, at_most


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
    floor: list[float] = []
    measured: list[float] = []
    blocked: list[float] = []
    async with crowd(waits, size.of(100_000)) as (sessions, table, registry):
        created = {session: time.time() for session in sessions}
        # The first list finds nothing in the processor's caches.
        began = time.perf_counter()
        await registry.active()
        first = (time.perf_counter() - began) * 1_000
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
    low, high = median(floor), median(measured)
    still, aim = median(blocked), at_most(25, "ms")
    count = f"{len(sessions):,}"
    return [
        Figure(
            f"list of {count} sessions, none of which was listed before", "ms", first, low, first / low, aim
        ),
        Figure(f"list of {count} sessions, again", "ms", high, low, high / low, aim),
        Figure(f"loop blocked by that list ({count}), at most", "ms", still, low, still / low),
    ]
