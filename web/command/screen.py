"""The command's two outputs: lines, tables and pieces of an answer, for people at terminals and for pipes."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TextIO

from turnkeeper.web.client.sse_parser import StreamEvent

from .tables import Table
from .wording import event_text, one_line, plain

if TYPE_CHECKING:
    from .rich_terminal import RichTerminal

#: Wide enough for anything: a pipe has no edge.
NO_EDGE = 10_000


class Screen:
    """The command's standard output and standard error.

    Only a terminal gets colours and tables that fit or change in place, and only if `rich` is installed;
    everything else is plain text. No text of an agent's or a user's can steer a terminal.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._mid_line = False
        for stream in (self._out, self._err):
            with suppress(AttributeError, ValueError):  # not every stand-in can
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        #: Whether a person is looking at the output.
        self.is_terminal = _is_terminal(self._out)
        self._rich = _rich_terminal(self._out) if self.is_terminal else None

    @property
    def width(self) -> int:
        """How many columns there are."""
        if self._rich is not None:
            return self._rich.width
        return shutil.get_terminal_size().columns if self.is_terminal else NO_EDGE

    def write(self, text: str) -> None:
        """Show a piece of an answer, as it comes."""
        shown = plain(text)
        if shown:
            self._print(shown)
            self._mid_line = not shown.endswith("\n")

    def end_line(self) -> None:
        """Begin a new line, unless one has just begun."""
        if self._mid_line:
            self._print("\n")
            self._mid_line = False

    def line(self, text: str) -> None:
        """Show a line of the answer."""
        self.end_line()
        self._print(one_line(text) + "\n")

    def note(self, text: str) -> None:
        """Show a line about the answer, on the standard error."""
        if self.is_terminal:
            self.end_line()
        with suppress(BrokenPipeError):
            self._err.write(f"turnkeeper: {one_line(text)}\n")
            self._err.flush()

    def json(self, data: Any) -> None:
        """Show JSON on a line of its own, in ASCII, so that it steers nothing."""
        self._print(json.dumps(data) + "\n")

    def event(self, event: StreamEvent, session: str | None = None) -> None:
        """Show an event on a line of its own, with the session that it is of, if there are several."""
        cursor = f"{one_line(event.id or '-'):<18}"
        before = cursor if session is None else f"{session} {cursor}"
        cells = before, one_line(event.name), one_line(event_text(event.text))
        if self._rich is None:
            self._print(" ".join(cells) + "\n")
        else:
            self._rich.event(*cells)

    def table(self, table: Table) -> None:
        """Show a table: cut to fit a terminal, where `rich` is installed, and whole everywhere else."""
        if self._rich is None:
            self._print(table.text())
        else:
            self._rich.table(table)

    def changing(self) -> "AbstractContextManager[Callable[[Table], None]]":
        """A table that changes in its place; each one below the last where that cannot be."""
        return nullcontext(self.table) if self._rich is None else self._rich.changing()

    def progress(self, text: str) -> "AbstractContextManager[Callable[[int, int], None]]":
        """A bar on the standard error, which is handed how much is done, and of how much.

        There is none where the standard error is no terminal, or without `rich`.
        """
        terminal = _rich_terminal(self._err) if _is_terminal(self._err) else None
        return nullcontext(_no_bar) if terminal is None else terminal.progress(text)

    @property
    def can_change(self) -> bool:
        """Whether a table can change in its place."""
        return self._rich is not None

    def _print(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _no_bar(_done: int, _count: int) -> None:
    """Nothing is shown of it."""


def _is_terminal(out: TextIO) -> bool:
    """Whether the output is a terminal; TTY_COMPATIBLE (0 or 1) and FORCE_COLOR, if set, decide."""
    compatible, forced = os.environ.get("TTY_COMPATIBLE"), os.environ.get("FORCE_COLOR")
    if compatible in ("0", "1"):
        return compatible == "1"
    if forced is not None:
        return forced != ""
    try:
        return out.isatty()
    except ValueError:  # it is closed
        return False


def _rich_terminal(out: TextIO) -> "RichTerminal | None":
    """A terminal as `rich` drives it; `None` where that is not installed."""
    try:
        from .rich_terminal import RichTerminal
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        return None
    return RichTerminal(out)
