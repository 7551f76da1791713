"""Very many busy sessions, on both floors and in a registry."""

import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from tests.benchmarks.agents import Waiting
from tests.benchmarks.floor import Awaits, Overwrites
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings


@contextmanager
def quiet() -> Iterator[None]:
    """What is cut short here is meant to be, and no log need say so."""
    logging.getLogger("turnkeeper").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger("turnkeeper").setLevel(logging.NOTSET)


class Crowd(NamedTuple):
    """The same sessions three times, each with a turn in flight."""

    sessions: list[str]
    overwrites: Overwrites
    awaits: Awaits
    registry: SessionRegistry


@asynccontextmanager
async def crowd(agent: Waiting, count: int) -> AsyncIterator[Crowd]:
    """So many sessions whose agent waits for ever."""
    sessions = [f"session-{n}" for n in range(count)]
    overwrites, awaits = Overwrites(agent), Awaits(agent)
    settings = Settings(record=False, shutdown_deadline=1.0, max_in_flight_in_all=count)
    with quiet():
        try:
            async with SessionRegistry(agent, settings=settings) as registry:
                for session in sessions:
                    overwrites.start(session, "hello")
                    awaits.start(session, "hello")
                    await registry.send(session, "hello")
                # What is there now stays: a collection would walk through it now and then, on all sides.
                gc.collect()
                gc.freeze()
                yield Crowd(sessions, overwrites, awaits, registry)
                await overwrites.close()
                await awaits.close()
        finally:
            gc.unfreeze()
