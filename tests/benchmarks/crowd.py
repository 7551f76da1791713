"""Very many busy sessions, on the floor and in a registry."""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.benchmarks.agents import Waiting
from tests.benchmarks.floor import TaskTable
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings


class Crowd(NamedTuple):
    """The same sessions twice, each with a turn in flight."""

    sessions: list[str]
    table: TaskTable
    registry: SessionRegistry


@asynccontextmanager
async def crowd(agent: Waiting, count: int) -> AsyncIterator[Crowd]:
    """So many sessions whose agent waits for ever."""
    sessions = [f"session-{n}" for n in range(count)]
    table = TaskTable(agent)
    # Nothing waits for the end of all of them, or has to hear that it was cut short.
    logging.getLogger("turnkeeper").setLevel(logging.CRITICAL)
    try:
        settings = Settings(shutdown_deadline=1.0, max_in_flight_in_all=count)
        async with SessionRegistry(agent, settings=settings) as registry:
            for session in sessions:
                table.start(session, "hello")
                await registry.send(session, "hello")
            # What is there now stays: a collection would walk through it now and then, on both sides.
            gc.collect()
            gc.freeze()
            yield Crowd(sessions, table, registry)
            await table.close()
    finally:
        gc.unfreeze()
        logging.getLogger("turnkeeper").setLevel(logging.NOTSET)
