"""What is forgotten of a journal that no server has open: sessions that are too many, or all of a user's."""

import sqlite3
import time
from pathlib import Path

from turnkeeper.actors.journal.contract import History
from turnkeeper.actors.journal.sqlite import forgetting
from turnkeeper.actors.journal.sqlite.database import Database
from turnkeeper.actors.model.records import SessionId

from .file import Progress, changed, looked_at


def too_many(path: Path, history: History) -> list[SessionId]:
    """The sessions that are more than may be kept. Raises `JournalNotOpened` and `JournalDown`."""
    with looked_at(path) as connection:
        return forgetting.too_many(connection, history, (), time.time())


def prune(path: Path, history: History, progress: Progress = lambda _done, _all: None) -> int:
    """Forget the sessions that are more than may be kept; return how many. Raises as `too_many` does."""
    with changed(path) as database:
        return _forget(database, forgetting.too_many(database.open(), history, (), time.time()), progress)


def forget_user(path: Path, user: str, progress: Progress = lambda _done, _all: None) -> int:
    """Forget all sessions of a user; return how many there were. Raises as `too_many` does."""
    with changed(path) as database:
        return _forget(database, _of_user(database.open(), user), progress)


def _of_user(connection: sqlite3.Connection, user: str) -> list[SessionId]:
    return [
        SessionId(each) for (each,) in connection.execute("SELECT id FROM session WHERE owner = ?", (user,))
    ]


def _forget(database: Database, ids: list[SessionId], progress: Progress) -> int:
    """In parts. What an earlier part has forgotten stays forgotten if a later one fails."""
    count, most = 0, forgetting.AT_A_TIME
    for start in range(0, len(ids), most):
        progress(start, len(ids))
        connection = database.begin(flush=True)
        count += forgetting.forget(connection, ids[start : start + most])
        connection.execute("COMMIT")
    more = True
    while more:
        connection = database.begin(flush=True)
        more = forgetting.shrink(connection)
        connection.execute("COMMIT")
    progress(len(ids), len(ids))
    return count
