"""What the command shows: tables, events and answers, for people at terminals and for pipes."""

import io
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .client import Event

#: What could steer a terminal, or make a line look like another one. What languages need is left alone.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Wide enough for anything: a pipe has no edge.
NO_EDGE = 10_000
DAY = 24 * 3600
#: The columns that are cut where a terminal is too narrow; the others are short.
NARROWED = ("SESSION", "USER", "AGENT", "TASK", "VALUE", "FROM")
STYLES = {"turn.completed": "green", "turn.failed": "red", "turn.unresponsive": "red", "gap": "yellow"}


def plain(text: str) -> str:
    """The text without anything that steers a terminal; what did is shown as its number."""
    return _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same, in one line."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")


def span(seconds: float) -> str:
    """How long, in at most two units."""
    whole = max(0, int(seconds))
    for size, unit, small, smaller in ((DAY, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small:02d}{smaller}"
    return f"{whole}s"


def moment(at: float, now: float) -> str:
    """The time of day here, and the day if it is not within the last one."""
    there = datetime.fromtimestamp(at).astimezone()
    return there.strftime("%H:%M:%S" if now - at < DAY else "%Y-%m-%d %H:%M")


def ms(span_ms: float | None) -> str:
    """A span in milliseconds for people."""
    if span_ms is None:
        return "an unknown time"
    return f"{span_ms:.1f} ms" if span_ms < 10 else f"{span_ms:.0f} ms"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command, which ends quietly; rich would end the process itself."""
        raise BrokenPipeError


class Screen:
    """The command's two outputs. Only a terminal gets colours and a table that changes in place."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._mid_line = False
        for stream in (self._out, self._err):
            with suppress(AttributeError, ValueError):  # not every stand-in can
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        self._console = _Console(file=self._out, highlight=False, markup=False, emoji=False)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it."""
        return self._console.is_terminal

    def write(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        shown = plain(text)
        if shown:
            self._out.write(shown)
            self._out.flush()
            self._mid_line = not shown.endswith("\n")

    def end_line(self) -> None:
        """Begin a new line, unless one has just begun."""
        if self._mid_line:
            self._out.write("\n")
            self._out.flush()
            self._mid_line = False

    def line(self, text: str) -> None:
        """A line of the answer."""
        self.end_line()
        self._out.write(one_line(text) + "\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """A line about the answer, beside it."""
        if self._console.is_terminal:
            self.end_line()
        with suppress(BrokenPipeError):
            self._err.write(f"turnkeeper: {one_line(text)}\n")
            self._err.flush()

    def json(self, data: Any) -> None:
        """One JSON text in a line of its own. Only ASCII, so that it steers nothing."""
        self._out.write(json.dumps(data) + "\n")
        self._out.flush()

    def event(self, event: Event) -> None:
        """An event in a line."""
        line = Text()
        line.append(f"{one_line(event.id or '-'):<18} ", style="dim")
        line.append(one_line(event.name), style=STYLES.get(event.name, "cyan"))
        line.append(f" {one_line(event.text)}")
        self._console.print(line, soft_wrap=True)
        self._out.flush()

    def table(self, table: Table) -> None:
        """A table, cut to fit a terminal and whole in a pipe."""
        if self.is_terminal:
            self._console.print(table)
            return
        whole = io.StringIO()
        Console(file=whole, width=NO_EDGE, no_color=True, force_terminal=False).print(table)
        self._out.write("".join(line.rstrip() + "\n" for line in whole.getvalue().splitlines()))
        self._out.flush()

    def changing(self) -> "AbstractContextManager[Callable[[Table], None]]":
        """A table that is shown anew in its place; without a terminal, below the one before."""
        return _Changing(self, self._console)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self._console.width if self.is_terminal else NO_EDGE


class _Changing:
    def __init__(self, screen: Screen, console: Console) -> None:
        self._screen = screen
        self._live = Live(console=console, auto_refresh=False) if screen.is_terminal else None

    def __enter__(self) -> Callable[[Table], None]:
        live = self._live
        if live is None:
            return self._screen.table
        live.start()
        return lambda table: live.update(table, refresh=True)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None = None) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", caption_justify="left")
    if caption is not None:
        table.caption = Text(one_line(caption))
    for name in columns:
        # Rich narrows only columns that may wrap; the cells themselves never do.
        table.add_column(Text(name), no_wrap=name not in NARROWED, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(one_line(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    return table


#: The columns of `ps`, and from which width of a terminal on each is shown.
PS_COLUMNS = {"SESSION": 0, "USER": 40, "AGENT": 88, "TASK": 72, "SINCE": 56, "RUNS": 20}


def turns_table(
    active: Mapping[str, Mapping[str, Any]], width: int, now: float | None = None, caption: str | None = None
) -> Table:
    """What runs where, for whom, and since when; the longest first."""
    now = time.time() if now is None else now
    shown = [name for name, least in PS_COLUMNS.items() if width >= least]
    rows: list[list[str]] = []
    for session, turn in sorted(active.items(), key=lambda each: (each[1].get("created_at") or now, each[0])):
        at = turn.get("created_at")
        cells = {
            "SESSION": session,
            "USER": str(turn.get("user", "")),
            "AGENT": str(turn.get("agent", "")),
            "TASK": str(turn.get("task_id", "")),
            "SINCE": "" if at is None else moment(at, now),
            "RUNS": "" if at is None else span(now - at),
        }
        rows.append([cells[name] for name in shown])
    return _table(shown, rows, caption)


def settings_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Each setting, its value, and where that came from."""
    return _table(("SETTING", "VALUE", "FROM"), rows)
