"""Sessions in each state of interest."""

import pytest

from tests.actors.session.stories import POLICY, Session


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def running(session: Session) -> Session:
    session.send("t1")
    session.now += 1.0
    return session


@pytest.fixture
def cancelling(running: Session) -> Session:
    """t1 was stopped by an asker that did not wait, for a reason that ends no streams."""
    running.stop("t1", POLICY, wait=False)
    running.now += 1.0
    return running


@pytest.fixture
def superseding(running: Session) -> Session:
    """t2 waits for t1 to settle; no asker waits for the answer."""
    running.send("t2", wait=False)
    running.now += 1.0
    return running
