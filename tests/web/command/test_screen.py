import io
import json
import re
import sys

import pytest

from tests.web.command.fake_terminal import ACTIVE, NOW, Tty
from turnkeeper.web.client.sse_parser import StreamEvent
from turnkeeper.web.command.screen import NO_EDGE, Screen
from turnkeeper.web.command.tables import PS_COLUMNS, turns_table

# -- Pipes ------------------------------------------------------------------------------------------


def test_a_pipe_gets_whole_lines_without_colours_and_control_characters() -> None:
    out = io.StringIO()
    screen = Screen(out, io.StringIO())
    screen.table(turns_table(ACTIVE, screen.width, NOW))
    screen.event(StreamEvent("7-0", "turn.failed", json.dumps({"text": "\x1b[31m" * 50})))
    screen.event(StreamEvent("7-1", "delta", '"\x1b[31m"'))
    screen.write("word\x1b")
    text = out.getvalue()

    assert text.isprintable() or set(re.findall(r"[^ -~]", text)) == {"\n"}
    head, *_rest = text.splitlines()
    assert head.split() == list(PS_COLUMNS)
    assert "a-session-with-a-rather-long-name" in text
    assert "a" * 32 in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_json_is_ascii_in_one_line() -> None:
    out = io.StringIO()
    Screen(out).json({"user": "ü\n\x9b"})

    assert out.getvalue() == '{"user": "\\u00fc\\n\\u009b"}\n'


def test_a_character_that_the_output_cannot_encode_is_written_as_its_number() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Screen(out, io.StringIO()).write("ü 日")

    assert raw.getvalue() == b"\\xfc \\u65e5"


def test_a_pipe_without_a_reader_is_the_commands_to_handle() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    screen = Screen(Gone(), io.StringIO())
    for show in (
        lambda: screen.write("x"),
        lambda: screen.event(StreamEvent(None, "close", "x")),
        lambda: screen.table(turns_table({}, 80)),
    ):
        with pytest.raises(BrokenPipeError):
            show()


def test_in_a_pipe_a_changing_table_is_shown_below_the_last_one() -> None:
    out = io.StringIO()
    screen = Screen(out)
    assert not screen.can_change
    with screen.changing() as show:
        show(turns_table({}, 80))
        show(turns_table(ACTIVE, 80, NOW))

    assert out.getvalue().count("SESSION") == 2


# -- Terminals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "tty", "is_terminal"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"TTY_COMPATIBLE": "0"}, True, False),
        ({"TTY_COMPATIBLE": "1"}, False, True),
    ],
)
def test_what_is_a_terminal_is_for_the_environment_to_decide_first(
    environ: dict[str, str], tty: bool, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    screen = Screen(Tty() if tty else io.StringIO())

    assert (screen.is_terminal, screen.can_change) == (is_terminal, is_terminal)
    assert (screen.width == NO_EDGE) is not is_terminal


def test_a_note_begins_a_line_of_its_own_at_a_terminal() -> None:
    out, err = Tty(), io.StringIO()
    screen = Screen(out, err)
    screen.write("one ")
    screen.note("stopping\x1b")
    screen.end_line()

    assert (out.getvalue(), err.getvalue()) == ("one \n", "turnkeeper: stopping\\x1b\n")


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "turnkeeper.web.command.rich_terminal", raising=False)
    for name in [name for name in sys.modules if name.startswith("rich.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("COLUMNS", "50")
    out = Tty()
    screen = Screen(out)

    assert (screen.is_terminal, screen.can_change, screen.width) == (True, False, 50)
    screen.event(StreamEvent("7-0", "turn.failed", "{}"))
    with screen.changing() as show:
        show(turns_table(ACTIVE, screen.width, NOW))
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().splitlines()[1].split() == ["SESSION", "USER", "RUNS"]
