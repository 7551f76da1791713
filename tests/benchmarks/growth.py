"""What grows with the number of sessions, and what must not: one registry from its first send to its stop.

Everything is counted in CPU time. A pass is one callback of the loop, in CPU time of the loop's thread: for
so long nothing else gets the loop, whatever other processes do meanwhile. The collector is as in `serve`, and
what it does within a pass is part of it; its look at all objects, which `serve` puts off, has a row of its
own. The stop alone is by the wall clock, which its deadline goes by.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from tests.benchmarks import aims
from tests.benchmarks.aims import Aim
from tests.benchmarks.crowd import quiet
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.turns import callers
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.turn import Turn

COUNTS = (1_000, 10_000, 100_000)
#: How many of the sessions are one user's, and how many are worked on at a time.
OF_ONE_USER, AT_A_TIME = 100, 100
USER = "ada"
LISTS = 20
BRIEF, LONG = "brief", "long"


def _name(handle: asyncio.Handle) -> str:
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        callback = task.get_coro()
    return getattr(callback, "__qualname__", type(callback).__qualname__)


class Passes:
    """The longest pass so far, in milliseconds, and what ran in it."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.ran = ""

    def note(self, took: float, handle: asyncio.Handle) -> None:
        """A pass has taken so many milliseconds."""
        if took > self.longest:
            self.longest = took
            self.ran = _name(handle)


@contextmanager
def passes() -> Iterator[Passes]:
    """Time every pass of every loop."""
    run = asyncio.Handle._run
    seen = Passes()

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time_ns()
        run(handle)
        seen.note((time.thread_time_ns() - began) / 1e6, handle)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


async def _agent(turn: Turn) -> None:
    if turn.message == LONG:
        await asyncio.get_running_loop().create_future()


async def _cpu(work: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time()
    await work()
    return time.process_time() - began


def _look_at_all() -> float:
    """How many milliseconds the collector takes for all objects. In a thread of its own, it is in no pass."""
    began = time.thread_time()
    gc.collect()
    return (time.thread_time() - began) * 1e3


async def _at(count: int, full: int) -> list[Figure]:
    """The rows for so many sessions, which stand for ``full`` of them."""
    sessions = [f"session-{n}" for n in range(count)]
    users = dict.fromkeys(sessions[:OF_ONE_USER], USER)
    settings = Settings(
        max_in_flight=OF_ONE_USER, max_in_flight_in_all=count, max_sessions_in_all=count, record=False
    )

    async def send(session: str, message: str) -> None:
        receipt = await registry.send(session, message, user=users.get(session))
        if message == BRIEF:
            await receipt.result()

    def to_all(message: str) -> Callable[[], Awaitable[object]]:
        return callers(lambda session: send(session, message), sessions, min(AT_A_TIME, count))

    with quiet(), passes() as seen:
        registry = await SessionRegistry(_agent, settings=settings).__aenter__()
        opened = await _cpu(to_all(BRIEF)) / count * 1e6
        sent = await _cpu(to_all(LONG)) / count * 1e6
        assert len(await registry.active()) == count
        listed = median([await _cpu(registry.active) for _ in range(LISTS)]) * 1e3
        assert len(await registry.active(user=USER)) == min(OF_ONE_USER, count)
        of_user = median([await _cpu(lambda: registry.active(user=USER)) for _ in range(LISTS)]) * 1e3
        looked = await asyncio.to_thread(_look_at_all)
        began = time.perf_counter()
        await registry.stop()
        stopped = time.perf_counter() - began
    figures = [
        Figure("open (a send to a session that is not there)", "us", opened),
        Figure("send (to one that is idle)", "us", sent),
        Figure("list of all, all with a turn in flight", "ms", listed, aim=aims.LIST),
        Figure(f"list of one user's {min(OF_ONE_USER, count)} turns", "ms", of_user, aim=aims.USERS_LIST),
        Figure("stop with all of them busy (wall clock)", "s", stopped, aim=aims.STOP),
        Figure("the collector's look at all objects, when no turn is in flight", "ms", looked),
        Figure("longest pass, stop included", "ms", seen.longest, aim=aims.PASS, note=seen.ran),
    ]

    def aim(figure: Figure) -> Aim | None:
        return figure.aim if full == max(COUNTS) else None

    return [replace(figure, what=f"{count:,} sessions: {figure.what}", aim=aim(figure)) for figure in figures]


async def growth(size: Size) -> list[Figure]:
    """Open, send, list, stop and the longest pass, with few, many and very many sessions."""
    figures: list[Figure] = []
    for full in COUNTS:
        figures += await _at(size.of(full), full)
        gc.collect()  # what is left of them is in no pass of the next ones
    return figures
