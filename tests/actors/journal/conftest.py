"""A session at rest, and one in which a turn runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.actors.session.stories import Session
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.journal.sqlite import SqliteJournal


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def running(session: Session) -> Session:
    """t1 has just been started."""
    session.send("t1")
    return session


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Each kind of journal, open."""
    made: Journal = (
        MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "turnkeeper.db")
    )
    await made.open()
    yield made
    await made.close()
