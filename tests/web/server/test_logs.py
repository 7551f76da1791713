"""How the server writes its log."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fakes import opened
from tests.turns import head
from turnkeeper.actors.model.logger import MOST, about
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.http.settings import LogFormat, LogLevel
from turnkeeper.web.server.logs import JsonFormatter, TextFormatter, log_to_stderr, name_turn

FORGED = "2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged"


def writing(name: str, formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and what is written of it."""
    logger, written = logging.getLogger(name), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    handler.addFilter(name_turn)
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    yield logger, written
    logger.handlers, logger.propagate = before, True


@pytest.fixture(params=["asyncio", "turnkeeper", "another.library"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    yield from writing(request.param, TextFormatter())


@pytest.fixture(params=["turnkeeper", "another.library"])
def as_json(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    yield from writing(request.param, JsonFormatter())


def entries(written: io.StringIO) -> list[dict[str, Any]]:
    """What was written, line by line."""
    return [json.loads(line) for line in written.getvalue().splitlines()]


# -- Text -------------------------------------------------------------------------------------------


def test_an_entry_says_when_how_grave_and_who(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.warning("it is %s", "late")
    when, rest = written.getvalue().split(" WARNING ")
    assert len(when) == len("2026-01-01 00:00:00,000")
    assert rest == f"{logger.name}: it is late\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"], ids=repr)
def test_only_the_first_line_of_an_entry_begins_at_the_margin_whatever_logs_it(
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


def test_the_turn_is_named_where_the_message_does_not(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    fields = about("s1", head("t1", user="ada\n" + FORGED))
    logger.warning("it is late", extra=fields)
    logger.warning("turn t1 is late", extra=fields)
    first, second = written.getvalue().splitlines()
    assert "it is late (in turn t1 of session s1, user ada" in first
    assert second.endswith("turn t1 is late")


# -- JSON -------------------------------------------------------------------------------------------


def test_an_entry_is_one_object(as_json: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = as_json
    logger.warning("it is %s", "late", extra={**about("s1", head("t1"), ms=3.0), "tool": "x", "kind": object})
    [entry] = entries(written)
    when = entry.pop("time")
    assert (when[10], when[-1], len(when)) == ("T", "Z", len("2026-01-01T00:00:00.000Z"))
    assert entry == {
        "level": "warning", "logger": logger.name, "message": "it is late", "session": "s1", "turn": "t1",
        "user": "ada", "agent": "coder", "ms": 3.0, "tool": "x", "kind": "<class 'object'>",
    }  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\ud800"], ids=ascii)
def test_whatever_is_in_it_an_object_stays_on_its_line(
    as_json: tuple[logging.Logger, io.StringIO], end: str
) -> None:
    logger, written = as_json
    try:
        raise RuntimeError(f"text{end}{FORGED}")
    except RuntimeError:
        logger.exception("message%s%s", end, FORGED, stack_info=True, extra={"more": f"x{end}{FORGED}"})
    [entry] = entries(written)
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["stack"].startswith("Stack (most recent call last):\n")
    assert written.getvalue().isascii()


def test_an_exception_of_any_length_is_shortened(as_json: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = as_json
    try:
        raise RuntimeError("x" * 3 * MOST)
    except RuntimeError:
        logger.exception("it failed")
    [entry] = entries(written)
    assert len(entry["exception"]) < MOST + 100


def test_a_number_that_json_has_no_word_for_is_a_text(as_json: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = as_json
    logger.warning("x", extra={"ratio": float("nan"), "much": float("inf"), "level": "forged"})
    [entry] = entries(written)
    assert (entry["ratio"], entry["much"], entry["level"]) == ("nan", "inf", "warning")


# -- Whose turn -------------------------------------------------------------------------------------


async def test_what_agents_and_their_libraries_log_names_their_turn() -> None:
    """In the turn's own task, and in tasks and threads that it starts."""
    library = logging.getLogger("another.library")

    async def helper() -> None:
        library.warning("in a task")

    async def agent(turn: Turn) -> None:
        library.warning("in the turn")
        await asyncio.create_task(helper())
        await asyncio.to_thread(library.warning, "in a thread")
        library.warning("of another", extra={"turn": "mine"})

    for _, written in writing(library.name, JsonFormatter()):
        async with opened(agent) as registry:
            await (await registry.send("s1", "hello", turn_id="t1", user="ada")).ended()
        library.warning("outside")
        said = entries(written)
    assert [entry.get("turn") for entry in said] == ["t1", "t1", "t1", "mine", None]
    assert {entry["session"] for entry in said[:3]} == {"s1"}


async def test_a_record_of_ours_is_about_what_it_says_it_is_about() -> None:
    """It may be logged while another turn's context runs."""
    ours = logging.getLogger("turnkeeper")

    async def agent(turn: Turn) -> None:
        ours.warning("about a session", extra=about("s2"))

    for _, written in writing(ours.name, JsonFormatter()):
        async with opened(agent) as registry:
            await (await registry.send("s1", "hello")).ended()
        [entry] = entries(written)
    assert entry["session"] == "s2"
    assert "turn" not in entry


# -- Where to ---------------------------------------------------------------------------------------


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger without the handlers that pytest gives it when a test begins."""
    root, ours = logging.getLogger(), logging.getLogger("turnkeeper")
    before, root.handlers, level = root.handlers, [], ours.level
    try:
        yield root
    finally:
        root.handlers = before
        ours.setLevel(level)


@pytest.mark.parametrize(("level", "shown"), [(LogLevel.INFO, True), (LogLevel.WARNING, False)])
def test_the_level_is_that_of_our_own_records(
    capsys: pytest.CaptureFixture[str], level: LogLevel, shown: bool
) -> None:
    with bare_root():
        log_to_stderr(LogFormat.JSON, level)
        logging.getLogger("turnkeeper").info("ours")
        logging.getLogger("another.library").info("theirs")
        logging.getLogger("another.library").warning("it matters")
    messages = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert messages == ["ours", "it matters"][not shown :]


@pytest.mark.parametrize("how", LogFormat)
def test_a_host_that_has_a_handler_keeps_it(how: LogFormat) -> None:
    theirs = logging.StreamHandler(sys.stderr)
    with bare_root() as root:
        root.addHandler(theirs)
        log_to_stderr(how, LogLevel.ERROR)
        assert root.handlers == [theirs]
        assert theirs.formatter is None
