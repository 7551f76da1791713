import io
import re

import pytest

from tests.web.command.fake_terminal import ACTIVE, NOW, Tty
from turnkeeper.web.client.sse_parser import StreamEvent
from turnkeeper.web.command.screen import Screen
from turnkeeper.web.command.tables import turns_table


def at_width(width: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Tty, Screen]:
    monkeypatch.setenv("COLUMNS", str(width))
    out = Tty()
    return out, Screen(out, io.StringIO())


@pytest.mark.parametrize("width", [1, 8, 20, 30, 40, 56, 72, 80, 120, 200])
def test_a_table_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out, screen = at_width(width, monkeypatch)
    screen.table(turns_table(ACTIVE, screen.width, NOW, caption="nothing is running"))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())

    assert "\x1b" not in text
    assert all(len(line) <= width for line in text.splitlines())
    if width >= 20:
        assert text.split()[:2] == ["SESSION", "RUNS"] or width >= 40
        assert "5s" in text


def test_a_terminal_gets_colours_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    event = StreamEvent("7-1", "turn.failed", "{}")
    out, screen = at_width(80, monkeypatch)
    screen.event(event)
    assert "\x1b[31m" in out.getvalue()

    monkeypatch.setenv("NO_COLOR", "1")
    out, screen = at_width(80, monkeypatch)
    screen.event(event)
    assert "\x1b[31m" not in out.getvalue()


def test_a_table_changes_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    out, screen = at_width(80, monkeypatch)
    with screen.changing() as show:
        show(turns_table({}, 80, NOW, "nothing is running"))
        show(turns_table(ACTIVE, 80, NOW))

    assert "\x1b[1A" in out.getvalue(), "the cursor has gone up"
    assert out.getvalue().endswith("\x1b[?25h"), "the cursor is there again"


def test_a_terminal_that_has_gone_is_the_commands_to_handle() -> None:
    class Gone(Tty):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    screen = Screen(Gone(), io.StringIO())
    for show in (
        lambda: screen.event(StreamEvent(None, "close", "x")),
        lambda: screen.table(turns_table({}, 80)),
    ):
        with pytest.raises(BrokenPipeError):
            show()
