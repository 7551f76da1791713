import io
import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from turnkeeper.web.command.client import Event
from turnkeeper.web.command.tables import (
    PS_COLUMNS,
    Screen,
    moment,
    ms,
    one_line,
    plain,
    settings_table,
    span,
    turns_table,
)

NOW = 1_700_000_000.0
ACTIVE: dict[str, Any] = {
    "later": {"active": True, "created_at": NOW - 5, "task_id": "b" * 32, "user": "bob", "agent": "coder"},
    "a-session-with-a-rather-long-name": {
        "active": True, "created_at": NOW - 100_000, "task_id": "a" * 32, "user": "ada\x1b[31m\nx",
    },
}  # fmt: skip


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@contextmanager
def columns(monkeypatch: pytest.MonkeyPatch, width: int) -> Generator[Screen]:
    monkeypatch.setenv("COLUMNS", str(width))
    yield Screen(Tty(), io.StringIO())


# -- Words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m00s"), (125, "2m05s"), (3_725, "1h02m"), (90_000, "1d01h"),
     (1e7, "115d17h")],
)  # fmt: skip
def test_a_span_is_told_in_at_most_two_units(seconds: float, told: str) -> None:
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("number", "told"), [(0.24, "0.2 ms"), (9.96, "10.0 ms"), (3000.4, "3000 ms"), (None, "an unknown time")]
)
def test_milliseconds_are_rounded(number: float | None, told: str) -> None:
    assert ms(number) == told


def test_a_moment_of_another_day_has_its_date() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d", moment(NOW, NOW + 5))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", moment(NOW, NOW + 100_000))


def test_what_could_steer_a_terminal_is_shown_as_its_number() -> None:
    assert plain("a\x1b[2J\x07b\r\nc\rd\u202e\x9b\ud800") == "a\\x1b[2J\\x07b\nc\\x0dd\\x202e\\x9b\\xd800"
    assert one_line("a\nb\tc") == "a\\nb c"


def test_what_languages_need_is_left_alone() -> None:
    text = "naïve 日本語 👩\u200d💻 க்\u200cஷ\u00a0x"
    assert plain(text) == text


# -- Pipes ------------------------------------------------------------------------------------------


def test_a_pipe_gets_whole_lines_without_colours_and_control_characters() -> None:
    out = io.StringIO()
    screen = Screen(out, io.StringIO())
    screen.table(turns_table(ACTIVE, screen.width, NOW))
    screen.event(Event("7-0", "turn.failed", json.dumps({"text": "\x1b[31m" * 50})))
    screen.event(Event("7-1", "delta", '"\x1b[31m"'))
    screen.write("word\x1b")
    text = out.getvalue()

    assert text.isprintable() or set(re.findall(r"[^ -~]", text)) == {"\n"}
    head, *_rest = text.splitlines()
    assert head.split() == list(PS_COLUMNS)
    assert "a-session-with-a-rather-long-name" in text
    assert "a" * 32 in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_longest_turn_stands_first() -> None:
    out = io.StringIO()
    Screen(out).table(turns_table(ACTIVE, 1000, NOW))
    first, second = out.getvalue().splitlines()[1:]

    assert first.startswith("a-session")
    assert first.endswith("1d03h")
    assert second.startswith("later")
    assert second.endswith("5s")


def test_json_is_ascii_in_one_line() -> None:
    out = io.StringIO()
    Screen(out).json({"user": "ü\n\x9b"})

    assert out.getvalue() == '{"user": "\\u00fc\\n\\u009b"}\n'


def test_a_character_that_the_output_cannot_say_is_written_as_its_number() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Screen(out, io.StringIO()).write("ü 日")

    assert raw.getvalue() == b"\\xfc \\u65e5"


def test_a_pipe_without_a_reader_is_told_to_the_command_and_not_exited_from() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    screen = Screen(Gone(), io.StringIO())
    for show in (
        lambda: screen.write("x"),
        lambda: screen.event(Event(None, "close", "x")),
        lambda: screen.table(turns_table({}, 80)),
    ):
        with pytest.raises(BrokenPipeError):
            show()


# -- Terminals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 8, 20, 30, 40, 56, 72, 80, 120, 200])
def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    with columns(monkeypatch, width) as screen:
        out = screen._out
        assert isinstance(out, Tty)
        screen.table(turns_table(ACTIVE, screen.width, NOW, caption="nothing runs"))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())

    assert "\x1b" not in text
    assert all(len(line) <= width for line in text.splitlines())
    if width >= 20:
        assert text.split()[:2] == ["SESSION", "RUNS"] or width >= 40
        assert "5s" in text


def test_a_terminal_gets_colours_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Event("7-1", "turn.failed", "{}")
    with columns(monkeypatch, 80) as screen:
        screen.event(event)
        assert "\x1b[31m" in screen._out.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setenv("NO_COLOR", "1")
    with columns(monkeypatch, 80) as screen:
        screen.event(event)
        assert "\x1b[31m" not in screen._out.getvalue()  # type: ignore[attr-defined]


def test_a_note_begins_a_line_of_its_own_at_a_terminal() -> None:
    out, err = Tty(), io.StringIO()
    screen = Screen(out, err)
    screen.write("one ")
    screen.note("stopping\x1b")
    screen.end_line()

    assert (out.getvalue(), err.getvalue()) == ("one \n", "turnkeeper: stopping\\x1b\n")


def test_a_changing_table_is_shown_below_the_last_one_in_a_pipe() -> None:
    out = io.StringIO()
    screen = Screen(out)
    with screen.changing() as show:
        show(turns_table({}, 80))
        show(turns_table(ACTIVE, 80, NOW))

    assert out.getvalue().count("SESSION") == 2


def test_settings_are_told_with_their_sources() -> None:
    out = io.StringIO()
    Screen(out).table(settings_table([("port", "1", "--port")]))

    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["SETTING", "VALUE", "FROM"],
        ["port", "1", "--port"],
    ]
