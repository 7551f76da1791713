"""How much is in a journal's file."""

import sqlite3
from pathlib import Path
from typing import Final

from turnkeeper.actors.journal.sqlite.schema import check
from turnkeeper.actors.model.value import value

#: How many users are named: those with the most bytes.
MOST_USERS: Final = 10


@value
class UserFigures:
    """What one user has in it. ``bytes`` are those of the log."""

    user: str
    sessions: int
    bytes: int


@value
class Figures:
    """How much there is of what. Sizes are in bytes, times in Unix seconds.

    ``file_bytes`` are those of the file with its log of transactions; of them ``free_bytes`` are of no use.
    ``log_bytes`` are those of all entries.
    """

    version: int
    file_bytes: int
    free_bytes: int
    log_bytes: int
    users: int
    sessions: int
    open_turns: int
    turns: int
    entries: int
    messages: int
    first_active_at: float | None
    last_active_at: float | None
    largest: tuple[UserFigures, ...]


def figures(connection: sqlite3.Connection, path: Path) -> Figures:
    """Those of the file that the connection reads. Raises `sqlite3.Error`."""

    def one(select: str) -> int:
        (found,) = connection.execute(select).fetchone()
        return int(found)

    files = [path, path.with_name(f"{path.name}-wal")]
    of_sessions = (
        "SELECT count(DISTINCT owner), count(*), coalesce(sum(size), 0), coalesce(sum(messages), 0), "
        "min(active_at), max(active_at) FROM session"
    )
    users, sessions, log_bytes, messages, first, last = connection.execute(of_sessions).fetchone()
    by_user = (
        "SELECT owner, count(*), sum(size) AS bytes FROM session GROUP BY owner "
        f"ORDER BY bytes DESC, owner LIMIT {MOST_USERS}"
    )
    return Figures(
        version=check(connection),
        file_bytes=sum(each.stat().st_size for each in files if each.exists()),
        free_bytes=one("PRAGMA freelist_count") * one("PRAGMA page_size"),
        log_bytes=log_bytes,
        users=users,
        sessions=sessions,
        open_turns=one("SELECT count(*) FROM turn WHERE open IS NOT NULL"),
        turns=one("SELECT count(*) FROM turn"),
        entries=one("SELECT count(*) FROM entry") + one("SELECT count(*) FROM event WHERE body IS NOT NULL"),
        messages=messages,
        first_active_at=first,
        last_active_at=last,
        largest=tuple(UserFigures(*row) for row in connection.execute(by_user)),
    )
