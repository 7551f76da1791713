"""How the server writes its log."""

import io
import logging
from collections.abc import Iterator

import pytest

from turnkeeper.web.command.logs import EntryFormatter

FORGED = "2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged"


@pytest.fixture(params=["asyncio", "turnkeeper", "another.library"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    logger, written = logging.getLogger(request.param), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(EntryFormatter())
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    yield logger, written
    logger.handlers, logger.propagate = before, True


def test_an_entry_says_when_how_grave_and_who(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.warning("it is %s", "late")
    when, rest = written.getvalue().split(" WARNING ")
    assert len(when) == len("2026-01-01 00:00:00,000")
    assert rest == f"{logger.name}: it is late\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"], ids=repr)
def test_whoever_logs_it_only_the_first_line_of_an_entry_begins_at_the_margin(
    log: tuple[logging.Logger, io.StringIO], end: str
) -> None:
    logger, written = log
    try:
        raise RuntimeError(f"text{end}{FORGED}")
    except RuntimeError:
        logger.exception("message%s%s", end, FORGED, stack_info=True)
    first, *more = written.getvalue().splitlines()
    assert "ERROR" in first
    assert more
    assert all(line.startswith("    ") for line in more)
    assert sum(line.strip() == "Traceback (most recent call last):" for line in more) == 1
    assert not written.getvalue().startswith(FORGED)
    assert max(len(line) - len(line.lstrip()) for line in more) < 40


def test_a_stack_is_indented_once(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.warning("here", stack_info=True)
    assert written.getvalue().splitlines()[1] == "    Stack (most recent call last):"
    assert __file__ in written.getvalue()
