"""One record is one entry of the log, whatever texts are in it."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from tests.turns import head
from turnkeeper.actors.model.logger import FIELDS, MOST, about, escaped, indented, logger, one_entry
from turnkeeper.actors.model.words import TurnStatus, Verdict

FORGED = "2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged"
#: What a terminal, an editor or a reader of log files takes for the beginning of a line.
BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
#: What moves the cursor, clears the screen, or turns the direction of what follows.
CONTROLS = ["\x00", "\x07", "\b", "\x1b[2J", "\x7f", "\x9b1A", "\u202e", "\u2066"]

FORMATS = {
    "the usual one": "%(asctime)s %(levelname)s %(name)s: %(message)s",
    "the message alone": "%(message)s",
}


@pytest.fixture(params=FORMATS)
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a host's own handler writes, which knows nothing of ours."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter(FORMATS[request.param]))
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)


def lines(log: io.StringIO) -> list[str]:
    """The lines as `str.splitlines` sees them, which is as widely as anything does."""
    return log.getvalue().splitlines()


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001
        return raised


@pytest.mark.parametrize("control", BREAKS + CONTROLS, ids=repr)
def test_a_message_stays_on_its_line(log: io.StringIO, control: str) -> None:
    logger.warning("turn %s failed: %s", "t1", f"text{control}{FORGED}")
    [line] = lines(log)
    assert FORGED in line
    assert not line.startswith(FORGED)
    assert control not in line


@pytest.mark.parametrize("control", BREAKS, ids=repr)
def test_only_the_first_line_of_an_entry_begins_at_the_margin(log: io.StringIO, control: str) -> None:
    error = caught(RuntimeError(f"text{control}{FORGED}"))
    error.add_note(f"note{control}{FORGED}")
    error.__cause__ = caught(KeyError(f"cause{control}{FORGED}"))
    logger.error("turn %s failed", "t1", exc_info=error)
    first, *more = lines(log)
    assert first.endswith("turn t1 failed")
    assert more
    assert all(line.startswith("    ") for line in more)
    assert sum(FORGED in line for line in more) == 3


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_a_traceback_moves_no_cursor(log: io.StringIO, control: str) -> None:
    logger.error("turn %s failed", "t1", exc_info=caught(RuntimeError(f"text{control}more")))
    assert control not in log.getvalue()
    assert escaped(control) in log.getvalue()


def test_a_traceback_can_be_read(log: io.StringIO) -> None:
    logger.error("turn %s failed", "t1", exc_info=caught(RuntimeError("boom\tbang")))
    text = "\n".join(line.removeprefix("    ") for line in lines(log)[1:])
    assert re.fullmatch(
        r"Traceback \(most recent call last\):\n"
        r'  File "[^"]+test_logger.py", line \d+, in caught\n'
        r"    raise error\n"
        r"RuntimeError: boom\tbang",
        text,
    )


def test_a_stack_is_indented(log: io.StringIO) -> None:
    logger.error("here", stack_info=True)
    first, *more = lines(log)
    assert first.endswith("here")
    assert "Stack (most recent call last):" in more[0]
    assert all(line.startswith("    ") for line in more)


def test_a_very_long_text_of_an_exception_is_cut_in_the_middle(log: io.StringIO) -> None:
    logger.error("turn failed", exc_info=caught(RuntimeError("begin" + "x" * 1_000_000 + "end")))
    text = log.getvalue()
    assert len(text) < MOST + 1_000
    assert "RuntimeError: begin" in text
    assert "xend\n" in text
    assert re.search(r"^    \.\.\. 9\d{5} characters are left out \.\.\.$", text, re.MULTILINE)


def test_a_text_at_the_bound_is_whole() -> None:
    assert indented("x" * MOST) == "    " + "x" * MOST
    assert "1 characters are left out" in indented("x" * (MOST + 1))


def test_a_lone_surrogate_can_be_written(log: io.StringIO) -> None:
    logger.error("turn %s failed", "\ud800", exc_info=caught(RuntimeError("\udfff")))
    log.getvalue().encode()
    assert r"\ud800" in log.getvalue()
    assert r"\udfff" in log.getvalue()


def test_what_holds_no_control_character_is_left_as_it_was_given() -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        logger.error("turn %s failed: %s", "t1", "é ü 漢 🙂")
    finally:
        logger.removeHandler(handler)
    [record] = seen
    assert (record.msg, record.args) == ("turn %s failed: %s", ("t1", "é ü 漢 🙂"))


def test_a_record_that_cannot_be_formatted_is_left_to_its_handler() -> None:
    record = logger.makeRecord("turnkeeper", logging.ERROR, __file__, 1, "%d of %d", ("one",), None)
    assert one_entry(record)
    with pytest.raises(TypeError):
        record.getMessage()


class Rude(Exception):
    """Its text cannot be had."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3)], ids=repr)
def test_an_exception_whose_text_raises_is_logged_all_the_same(
    log: io.StringIO, error: BaseException
) -> None:
    logger.error("turn %s failed", "t1", exc_info=caught(Rude(error)))
    assert "Rude: <exception str() failed>" in log.getvalue()


@pytest.mark.parametrize("text", ["", "plain", "é ü 漢 🙂 \t"])
def test_a_text_without_control_characters_is_itself(text: str) -> None:
    assert escaped(text) == text


def test_what_does_not_apply_is_not_there() -> None:
    assert about("s1") == {"session": "s1"}
    assert about("s1", head("t1")) == {"session": "s1", "turn": "t1", "user": "ada", "agent": "coder"}


def test_all_fields_can_be_said_and_are_named() -> None:
    all_of_it = about("s1", head(), status=TurnStatus.CANCELLED, verdict=Verdict.CANCELLED, ms=1.23456)
    assert tuple(all_of_it) == FIELDS
    assert all_of_it["ms"] == 1.235


def test_the_name_of_a_user_forges_no_line_wherever_it_is_written() -> None:
    assert about("s1", head(user="ada\nCRITICAL"))["user"] == "ada\\nCRITICAL"


def test_no_field_has_a_name_that_records_use_themselves(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("turnkeeper").warning("x", extra=about("s1", head(), status="x", verdict="y", ms=0.0))
    [record] = caplog.records
    assert (vars(record)["session"], vars(record)["ms"]) == ("s1", 0.0)
