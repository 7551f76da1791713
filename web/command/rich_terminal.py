"""A terminal with colours, and with tables that fit it and change in place. Needs ``turnkeeper[cli]``."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO, assert_never

import rich.table
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from turnkeeper.actors.events.event import EventName

from .tables import Table
from .wording import one_line

#: The columns that are cut where a terminal is too narrow; the others are short.
NARROWED = ("SESSION", "TITLE", "USER", "AGENT", "TASK", "VALUE", "FROM")
_OURS = {name.value: name for name in EventName}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command, which ends quietly; rich would end the process itself."""
        raise BrokenPipeError


class RichTerminal:
    """A terminal that `rich` drives. Every text must have been made harmless before."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._console = _Console(file=out, force_terminal=True, highlight=False, markup=False, emoji=False)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self._console.width

    def event(self, before: str, name: str, text: str) -> None:
        """Show an event on a line of its own; ``before`` is where it stands."""
        line = Text()
        line.append(f"{before} ", style="dim")
        line.append(name, style=_style_of(name))
        line.append(f" {text}")
        self._console.print(line, soft_wrap=True)
        self._out.flush()

    def table(self, table: Table) -> None:
        """Show a table, cut to fit."""
        self._console.print(_fitted(table))

    @contextmanager
    def changing(self) -> Generator[Callable[[Table], None]]:
        """A table that changes in its place."""
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda table: live.update(_fitted(table), refresh=True)

    @contextmanager
    def progress(self, text: str) -> Generator[Callable[[int, int], None]]:
        """A bar that is gone at the end."""
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(text, total=None)
            yield lambda done, count: bar.update(task, completed=done, total=count)


def _style_of(name: str) -> str:
    event = _OURS.get(name)
    match event:
        case EventName.COMPLETED:
            return "green"
        case EventName.FAILED | EventName.UNRESPONSIVE:
            return "red"
        case EventName.GAP:
            return "yellow"
        case (
            EventName.SNAPSHOT
            | EventName.CLOSE
            | EventName.QUEUED
            | EventName.PLACES
            | EventName.EDITED
            | EventName.STARTED
            | EventName.CANCELLED
            | EventName.TIMED_OUT
            | EventName.INTERRUPTED
            | EventName.TOOL_CALL
            | EventName.TOOL_RESULT
            | EventName.MERGED
            | None  # an agent's own
        ):
            return "cyan"
        case _:
            assert_never(event)


def _fitted(table: Table) -> rich.table.Table:
    fitted = rich.table.Table(
        box=None, pad_edge=False, show_edge=False, header_style="bold", caption_justify="left"
    )
    if table.caption:
        fitted.caption = Text(one_line(table.caption))
    for name in table.columns:
        # Rich narrows only columns that may wrap; the cells themselves never do.
        fitted.add_column(Text(name), no_wrap=name not in NARROWED, overflow="ellipsis")
    for row in table.rows:
        fitted.add_row(*(Text(one_line(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    return fitted
