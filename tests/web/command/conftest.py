import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the environment decides what is a terminal, and how wide it is."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(autouse=True)
def _level_of_the_log() -> Iterator[None]:
    """`serve` sets it for its whole process."""
    yield
    logging.getLogger("turnkeeper").setLevel(logging.NOTSET)
