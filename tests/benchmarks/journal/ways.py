"""The same registry in memory and with a journal in a file: what of the two differs is the journal's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.agent import AnyAgent


class Both(NamedTuple):
    """Two registries of the same agent."""

    memory: SessionRegistry
    sqlite: SessionRegistry


@asynccontextmanager
async def a_file() -> AsyncIterator[Path]:
    """Where a journal may be made; it is deleted afterwards."""
    folder = await asyncio.to_thread(TemporaryDirectory)
    try:
        yield Path(folder.name) / "turnkeeper.db"
    finally:
        await asyncio.to_thread(folder.cleanup)


@asynccontextmanager
async def both(agent: AnyAgent, path: Path, settings: Settings | None = None) -> AsyncIterator[Both]:
    """One in memory, and one whose journal is that file."""
    async with (
        SessionRegistry(agent, settings=settings) as memory,
        SessionRegistry(agent, settings=settings, journal=path) as sqlite,
    ):
        yield Both(memory, sqlite)


async def bytes_of(path: Path) -> int:
    """How many bytes the file of a journal has that is closed."""
    return (await asyncio.to_thread(path.stat)).st_size
