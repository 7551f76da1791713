"""The file itself: how it is made and opened, and whether it still is the one that was opened."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from turnkeeper.actors.model.exceptions import JournalDown, JournalNotOpened

from .schema import check, check_sqlite, migrate

#: How long another program's lock is waited for, in milliseconds.
PATIENCE: Final = 2_000
#: How much of the file's log is kept for the next transactions, in bytes.
_KEPT_WAL: Final = 64 << 20
#: After how many pages of it SQLite writes them into the file by itself: the writer does so before.
_LATEST_CHECKPOINT: Final = 32_000
_CACHE: Final = 16 << 20


def real(path: str | os.PathLike[str]) -> Path:
    """The name of the file that links lead to: the names of its log and its lock are made of that one."""
    return Path(os.path.realpath(path))


def create(path: Path) -> None:
    """Make an empty file that only its owner can read, if there is none. Raises `OSError`."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def expect_one_name(path: Path) -> None:
    """Raise `JournalNotOpened` for a file that another name leads to, too. Raises `OSError`.

    Under that name its log of transactions is not found, nor its lock: two processes could write to it.
    """
    if os.stat(path).st_nlink > 1:
        raise JournalNotOpened(f"the journal {path} has a hard link: put a copy in the place of that")


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes, to a file of this version. There is one at a time, and no other checkpoints.

    (Two that checkpoint and write in the same moment can corrupt a file: a fault of SQLite before 3.51.3.)
    Raises `sqlite3.Error`, `OSError` and `JournalNotOpened`.
    """
    check_sqlite()
    connection = _connect(path, "rw")
    try:
        version = check(connection)
        if not version:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # while there is nothing in it
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalDown("the journal is down: its file system has no shared memory")
        connection.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LATEST_CHECKPOINT}")
        connection.execute(f"PRAGMA cache_size = {-_CACHE // 1024}")
        # What is forgotten is not to be found in the file.
        connection.execute("PRAGMA secure_delete = ON")
        migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that reads, from whichever thread. Raises `sqlite3.Error`."""
    return _connect(path, "ro")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
    except BaseException:
        connection.close()
        raise
    return connection


class Database:
    """The file of a journal, and the connection that writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        #: Which file that is, and which one has the log of its transactions: nothing goes into another one.
        self._file: _Identity | None = None
        self._wal: _Identity | None = None
        self._patience = PATIENCE
        self._synchronous: str | None = None

    def open(self) -> sqlite3.Connection:
        """The connection, opened if it is not. Raises `sqlite3.Error`, `OSError` and `JournalDown`."""
        connection = self._connection
        if connection is None:
            if self._file is not None and _identity(self._path) != self._file:
                raise JournalDown(_GONE)
            connection = open_to_write(self._path)
            self._connection, self._synchronous, self._patience = connection, None, PATIENCE
            self._file, self._wal = _identity(self._path), _identity(self._wal_path)
        elif _identity(self._path) != self._file or _identity(self._wal_path) != self._wal:
            raise JournalDown(_GONE)
        return connection

    def begin(self, *, flush: bool, patience: int = PATIENCE) -> sqlite3.Connection:
        """Begin a transaction. ``flush``: it is on the disk when it is committed.

        ``patience`` is how long another program's lock is waited for, in milliseconds.
        Raises `sqlite3.Error`, `OSError` and `JournalDown`.
        """
        connection = self.open()
        if patience != self._patience:
            connection.execute(f"PRAGMA busy_timeout = {patience}")
            self._patience = patience
        synchronous = "FULL" if flush else "NORMAL"
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def roll_back(self, *, close: bool) -> None:
        """Undo what was not committed, and open the file anew later if ``close``."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.rollback()
        except sqlite3.Error:
            close = True
        if close:
            self.close()

    def checkpoint(self, mode: str) -> None:
        """Move what was committed from the log of transactions into the file. Raises `sqlite3.Error`."""
        if self._connection is not None:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def close(self) -> None:
        """Close the connection; it is opened anew when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @property
    def _wal_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")


class _Identity(NamedTuple):
    """Which file stands under a name."""

    device: int
    inode: int


def _identity(path: Path) -> _Identity:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise JournalDown(_GONE) from None
    return _Identity(found.st_dev, found.st_ino)


_GONE: Final = "the journal is down: its file was removed, or another one put in its place"
