"""The ways people keep one turn per session: ours, the floors, and what they would pick instead."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.benchmarks.agents import Waiting
from tests.benchmarks.floor import Awaits, Overwrites
from tests.benchmarks.naive import DictOfTasks
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings

#: Does something to a session with a message.
Send: TypeAlias = Callable[[str, str], Awaitable[object]]


@dataclass(frozen=True)
class Table:
    """What every way can do."""

    run: Send
    start: Send
    supersede: Send
    cancel: Callable[[str], Awaitable[object]]
    close: Callable[[], Awaitable[object]]


def _of(tasks: Overwrites) -> Table:
    async def start(session: str, message: str) -> None:
        tasks.start(session, message)

    return Table(tasks.run, start, tasks.supersede, tasks.cancel, tasks.close)


async def overwrites(agent: Waiting) -> Table:
    """Raw tasks that are overwritten without waiting for their end."""
    return _of(Overwrites(agent))


async def awaits(agent: Waiting) -> Table:
    """Raw tasks that are cancelled and awaited."""
    return _of(Awaits(agent))


async def turnkeeper(agent: Waiting) -> Table:
    """Ours, with times that end a benchmark soon, and room for all of its turns."""
    # The other ways keep nothing of what is said.
    settings = Settings(cancel_grace=0.1, shutdown_deadline=1.0, max_in_flight_in_all=100_000, record=False)
    registry = await SessionRegistry(agent, settings=settings).__aenter__()

    async def run(session: str, message: str) -> None:
        await (await registry.send(session, message)).result()

    async def close() -> None:
        await registry.__aexit__(None, None, None)

    return Table(run, registry.send, registry.send, registry.cancel, close)


async def dict_of_tasks(agent: Waiting) -> Table:
    """The dict that cancels and awaits."""
    tasks = DictOfTasks(agent)
    return Table(tasks.run, tasks.send, tasks.send, tasks.cancel, tasks.close)


async def aiojobs(agent: Waiting) -> Table:
    """One scheduler, a dict of its jobs. Raises `ImportError` if the library is not installed."""
    from tests.benchmarks.jobs import DictOfJobs  # only the extra `bench` brings it

    jobs = DictOfJobs(agent)
    return Table(jobs.run, jobs.send, jobs.send, jobs.cancel, jobs.close)


Make: TypeAlias = Callable[[Any], Awaitable[Table]]

#: The way that the others are compared with.
FLOOR = "awaits"
#: How to open each way, by its name; the floor is the first.
WAYS: dict[str, Make] = {
    FLOOR: awaits,
    "overwrites": overwrites,
    "turnkeeper": turnkeeper,
    "dict of tasks": dict_of_tasks,
    "aiojobs": aiojobs,
}
