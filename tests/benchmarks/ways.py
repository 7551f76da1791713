"""The ways people keep one turn per session: ours, the floor, and what they would pick instead."""

import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.benchmarks.agents import Waiting
from tests.benchmarks.floor import TaskTable
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


async def the_floor(agent: Waiting) -> Table:
    """Raw tasks that are overwritten without waiting for their end."""
    tasks = TaskTable(agent)

    async def start(session: str, message: str) -> None:
        tasks.start(session, message)

    return Table(tasks.run, start, tasks.supersede, tasks.cancel, tasks.close)


async def turnkeeper(agent: Waiting) -> Table:
    """Ours, with times that end a benchmark soon, and room for all of its turns."""
    settings = Settings(cancel_grace=0.1, shutdown_deadline=1.0, max_in_flight_in_all=100_000)
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
    """One scheduler, a dict of its jobs."""
    from tests.benchmarks.jobs import DictOfJobs  # only the extra `bench` brings it

    jobs = DictOfJobs(agent)
    return Table(jobs.run, jobs.send, jobs.send, jobs.cancel, jobs.close)


#: How to open each way, by its name; the first is the one the others are compared with.
Ways: TypeAlias = dict[str, Callable[[Any], Awaitable[Table]]]


def ways() -> Ways:
    """All that are installed."""
    found: Ways = {"floor": the_floor, "turnkeeper": turnkeeper, "dict of tasks": dict_of_tasks}
    if importlib.util.find_spec("aiojobs"):
        found["aiojobs"] = aiojobs
    return found
