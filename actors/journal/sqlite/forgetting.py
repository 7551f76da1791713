"""What is forgotten: sessions, with all that is kept of them, and the room that they took."""

import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

from turnkeeper.actors.journal.contract import History
from turnkeeper.actors.model.records import SessionId

from .statements import AMONG, among

#: How many sessions are forgotten in one transaction.
AT_A_TIME: Final = 50
#: How many free pages are cut off the file in one transaction.
_PAGES: Final = 200


def forget(connection: sqlite3.Connection, ids: Iterable[SessionId]) -> int:
    """Delete sessions and all that is kept of them; return how many there were. Raises `sqlite3.Error`."""
    select = f"SELECT number FROM session WHERE id {AMONG}"
    numbers = among(number for (number,) in connection.execute(select, (among(ids),)).fetchall())
    for table in ("entry", "event", "turn", "said"):
        connection.execute(f"DELETE FROM {table} WHERE session {AMONG}", (numbers,))
    return connection.execute(f"DELETE FROM session WHERE number {AMONG}", (numbers,)).rowcount


def shrink(connection: sqlite3.Connection) -> bool:
    """Cut free pages off the file; whether there are more. Raises `sqlite3.Error`."""
    # As a script: of a statement `sqlite3` takes one step, which is one page. A script is not run within a
    # transaction, so that it leaves the next one.
    connection.executescript(f"PRAGMA incremental_vacuum({_PAGES}); BEGIN IMMEDIATE;")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(left)


def too_many(
    connection: sqlite3.Connection, history: History, in_use: Collection[SessionId], now: float
) -> list[SessionId]:
    """The sessions that are more than may be kept: what was idle longest. Raises `sqlite3.Error`."""
    values = {
        "oldest": None if history.age is None else now - history.age,
        "sessions": history.sessions,
        "bytes": history.bytes,
        "in_all": history.bytes_in_all,
        "in_use": among(in_use),
    }
    # Usually there is nothing, and that is found out in a tenth of the time.
    (owners,) = connection.execute(_OWNERS, values).fetchone()
    if owners == "[]":
        return []
    values["owners"] = owners
    return [SessionId(session_id) for (session_id,) in connection.execute(_TOO_MANY, values).fetchall()]


#: The users of whom something is to be forgotten: all if there is too much in all.
_OWNERS: Final = """
WITH owned AS (
    SELECT owner, count(*) AS sessions, sum(size) AS size, min(active_at) AS oldest
    FROM session GROUP BY owner
)
SELECT json_group_array(owner) FROM owned
WHERE sessions > :sessions OR size > :bytes OR oldest < :oldest
    OR (SELECT sum(size) FROM owned) > :in_all
"""
#: What comes, the newest first, after as much as may be kept. Those in use come before all others:
#: those with a turn that has not ended among them.
_TOO_MANY: Final = """
WITH known AS (
    SELECT id, owner, size, active_at,
        in_flight OR queued OR id IN (SELECT value FROM json_each(:in_use)) AS in_use,
        coalesce(active_at < :oldest, FALSE) AS is_old
    FROM session WHERE owner IN (SELECT value FROM json_each(:owners))
), counted AS (
    SELECT *, is_old
        OR count(*) OVER of_owner > :sessions
        OR sum(size) OVER of_owner > :bytes AS too_many
    FROM known
    WINDOW of_owner AS (
        PARTITION BY owner, is_old ORDER BY in_use DESC, active_at DESC, id DESC ROWS UNBOUNDED PRECEDING
    )
), summed AS (
    SELECT *, sum(size) OVER (
        PARTITION BY too_many AND NOT in_use
        ORDER BY in_use DESC, active_at DESC, id DESC ROWS UNBOUNDED PRECEDING
    ) > :in_all AS too_much
    FROM counted
)
SELECT id FROM summed WHERE (too_many OR too_much) AND NOT in_use
"""
