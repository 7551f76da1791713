"""The tables that the command shows, and how they read as plain text. Pure."""

import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .wording import moment, one_line, span

#: The columns of `ps`, and the narrowest terminal that each is shown on.
PS_COLUMNS = {"SESSION": 0, "USER": 40, "AGENT": 88, "TASK": 72, "SINCE": 56, "RUNS": 20}
#: Those that it has beside them where turns wait for a slot: for how long, for what, in which lane, and at
#: which place among the user's own.
WAITING_COLUMNS = {"WAITS": 20, "FOR": 48, "LANE": 112, "PLACE": 64}
#: What stands before the session of a turn that another one has sent for.
INDENT, BELOW = "  ", "└ "
#: The columns of `sessions`, likewise.
SESSIONS_COLUMNS = {"SESSION": 0, "TITLE": 20, "USER": 72, "STATE": 40, "ACTIVE": 56}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below their columns' names, and a line below them all."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def text(self) -> str:
        """The table as plain text, every cell whole."""
        lines = [self.columns, *([one_line(cell) for cell in row] for row in self.rows)]
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        shown = ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]
        if self.caption:
            shown.append(one_line(self.caption))
        return "".join(f"{line}\n" for line in shown)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):  # shown with the one before it, or not at all
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def turns_table(
    active: Mapping[str, Mapping[str, Any]], width: int, now: float | None = None, caption: str = ""
) -> Table:
    """The turns in flight, the longest first, then those that wait for a slot: whose, since when, and why."""
    now = time.time() if now is None else now
    rows: list[Mapping[str, str]] = []
    for level, session, turn in _as_trees(active, now):
        waits, at = _since(turn, now)
        rows.append(
            {
                "SESSION": _branch(level) + session,
                "USER": str(turn.get("user", "")),
                "AGENT": str(turn.get("agent", "")),
                "TASK": str(turn.get("task_id", "")),
                "SINCE": moment(at, now),
                "RUNS": "" if waits else span(now - at) + (", held" if turn.get("held") else ""),
                "WAITS": span(now - at) if waits else "",
                "FOR": str(turn.get("waits_for", "")),
                "LANE": str(turn.get("priority", "")),
                "PLACE": _place(turn.get("standing")),
            }
        )
    waiting = any(row["WAITS"] for row in rows)
    return fitting({**PS_COLUMNS, **WAITING_COLUMNS} if waiting else PS_COLUMNS, width, rows, caption)


def _as_trees(
    active: Mapping[str, Mapping[str, Any]], now: float
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """The turns in order, each that another one of them has sent for below that one, on its level."""
    first: list[str] = []
    below: dict[str, list[str]] = {}
    for session, turn in sorted(active.items(), key=lambda each: (*_since(each[1], now), each[0])):
        parent = turn.get("parent") or {}
        above = active.get(str(parent.get("log_id")))
        if above is not None and above.get("task_id") == parent.get("task_id"):
            below.setdefault(str(parent["log_id"]), []).append(session)
        else:
            first.append(session)
    left = [(0, session) for session in reversed(first)]
    while left:
        level, session = left.pop()
        yield level, session, active[session]
        left += [(level + 1, each) for each in reversed(below.get(session, ()))]


def _branch(level: int) -> str:
    """What stands before the session of a turn on this level of its tree."""
    return INDENT * (level - 1) + BELOW if level else ""


def _since(turn: Mapping[str, Any], now: float) -> tuple[bool, float]:
    """Whether it waits, and since when it does, or runs."""
    waits = not turn.get("active", True)
    return waits, turn.get("since" if waits else "created_at") or now


def _place(standing: Mapping[str, Any] | None) -> str:
    """Where it stands among the user's own, and how many wait in all."""
    return "" if standing is None else f"{standing['position']}, {standing['waiting']} in all"


def sessions_table(sessions: Sequence[Mapping[str, Any]], width: int, now: float | None = None) -> Table:
    """Sessions in this order: their titles, whose they are, how they stand, and when they were active."""
    now = time.time() if now is None else now
    rows = [
        {
            "SESSION": str(each["log_id"]),
            "TITLE": each["title"] or "",
            "USER": str(each["user"]),
            "STATE": str(each["state"]),
            "ACTIVE": moment(each["last_active_at"], now),
        }
        for each in sessions
    ]
    return fitting(SESSIONS_COLUMNS, width, rows)


def fitting(
    columns: Mapping[str, int], width: int, rows: Sequence[Mapping[str, str]], caption: str = ""
) -> Table:
    """Rows of cells by their columns' names, with those columns that this width has room for."""
    shown = [name for name, least in columns.items() if width >= least]
    return Table(shown, [[row[name] for name in shown] for row in rows], caption)


def settings_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Each setting, its value, and where that came from."""
    return Table(("SETTING", "VALUE", "FROM"), rows)
