"""What is in the file of a journal, and how a file of an older version becomes one of this."""

import sqlite3
from typing import Final

from turnkeeper.actors.model.exceptions import JournalNotOpened, JournalTooNew

#: No system that is looked after has an older one. ``UPDATE ... FROM`` is needed.
OLDEST: Final = (3, 33, 0)
#: Which program a file is of: "tkpr".
APPLICATION: Final = 0x746B7072

_FIRST = """
-- One row a session: what is listed of it, and where its log stands. `early` has the cancels that came before
-- their sends, `closed` and `data` are the entries that say so, `messages` is how many there are, and `size`
-- is the bytes of its log.
CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    title TEXT,
    folded TEXT,
    active_at REAL NOT NULL,
    state TEXT NOT NULL,
    in_flight INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    unresponsive INTEGER NOT NULL,
    head INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    key TEXT NOT NULL,
    early TEXT NOT NULL,
    closed INTEGER,
    messages INTEGER NOT NULL,
    cursor TEXT,
    data INTEGER,
    size INTEGER NOT NULL
);
CREATE INDEX session_of_owner ON session (owner, active_at);

-- The log itself, but for what agents emit. A title has no position: nothing depends on it.
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    position INTEGER,
    turn INTEGER,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX entry_of_session ON entry (session, position);

-- Every event with an id, by the id of the first in the row: an entry with what an agent has emitted, or the
-- turn of an event of turnkeeper's own, which its entries say.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    turn INTEGER,
    body TEXT
);
CREATE UNIQUE INDEX event_of_session ON event (session, epoch, n);

-- The turns; the entries of one are between those of its `first` and `last` position. `open` is 1 for a turn
-- that has not ended, and 2 for one that was given up and has not ended yet; `asked`: it was asked to stop.
CREATE TABLE turn (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    id TEXT NOT NULL,
    sent_at REAL NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    epoch INTEGER,
    open INTEGER,
    asked INTEGER NOT NULL
);
CREATE INDEX turn_of_session ON turn (session, sent_at, id);
CREATE INDEX turn_open ON turn (session) WHERE open IS NOT NULL;

-- The messages of the conversation, counted from the very first: so many of those that an entry added.
CREATE TABLE said (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    entry INTEGER NOT NULL
);
CREATE UNIQUE INDEX said_of_session ON said (session, first);
"""

#: What makes a file of one version a file of the next; the first makes one of an empty file.
STEPS: Final = (_FIRST,)
VERSION: Final = len(STEPS)


def check_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise `JournalNotOpened` if SQLite itself is too old."""
    if version < OLDEST:
        found, needed = (".".join(map(str, each)) for each in (version, OLDEST))
        raise JournalNotOpened(f"SQLite is version {found}, and a journal needs {needed} or a newer one")


def check(connection: sqlite3.Connection, steps: tuple[str, ...] = STEPS) -> int:
    """The version of the file, which is not changed; 0 for an empty one.

    Raises `JournalTooNew`, and `JournalNotOpened` for a file of another program.
    """
    version = _version(connection)
    if version > len(steps):
        raise JournalTooNew("a newer turnkeeper has written the journal")
    return version


def migrate(connection: sqlite3.Connection, version: int, steps: tuple[str, ...] = STEPS) -> None:
    """Make a file of that version one of this, all of it or nothing. Raises `sqlite3.Error`."""
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(steps[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _version(connection: sqlite3.Connection) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION and version > 0:
        return int(version)
    if application or version or tables:
        raise JournalNotOpened("the file is of another program, and no journal")
    return 0


def _statements(steps: tuple[str, ...]) -> list[str]:
    """Each statement by itself: a script would end the transaction that it is run in."""
    found: list[str] = []
    for step in steps:
        statement = ""
        for line in step.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                found.append(statement)
                statement = ""
    return found
