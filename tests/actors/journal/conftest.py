"""A session at rest, and one in which a turn runs."""

import pytest

from tests.actors.session.stories import Session


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def running(session: Session) -> Session:
    """t1 has just been started."""
    session.send("t1")
    return session
