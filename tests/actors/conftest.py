"""Fixtures of the domain's tests."""

import pytest

from turnkeeper.actors.testing import VirtualClock


@pytest.fixture
def clock(virtual_clock: VirtualClock) -> VirtualClock:
    """The loop's time jumps to its next timer when nothing is left to do."""
    return virtual_clock
