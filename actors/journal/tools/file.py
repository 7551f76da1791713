"""The file of a journal, opened to look at it or to change it.

Beside a server that has it open a file can be looked at: readers do not wait for the writer, nor it for them,
and see what the file was when they began. It can be changed by one process at a time.
"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from turnkeeper.actors.journal.sqlite.database import Database, create, expect_one_name, open_to_read, real
from turnkeeper.actors.journal.sqlite.failures import down, not_opened
from turnkeeper.actors.journal.sqlite.lock import FileLock
from turnkeeper.actors.journal.sqlite.schema import VERSION, check
from turnkeeper.actors.model.exceptions import JournalNotOpened

#: Hears how much is done, and of how much.
Progress: TypeAlias = Callable[[int, int], None]


@contextmanager
def looked_at(path: Path) -> Generator[sqlite3.Connection]:
    """A connection that sees the file as it is now. Raises `JournalNotOpened` and, later, `JournalDown`."""
    _expect(path)
    try:
        connection = open_to_read(path)
    except sqlite3.Error as error:
        raise not_opened(error, path) from error
    try:
        try:
            connection.execute("BEGIN")
            _expect_version(check(connection), path)
        except sqlite3.Error as error:
            raise not_opened(error, path) from error
        try:
            yield connection
        except sqlite3.Error as error:
            raise down(error) from error
    finally:
        connection.close()


@contextmanager
def changed(path: Path) -> Generator[Database]:
    """The file, and its lock. Raises `JournalNotOpened` and, later, `JournalDown`."""
    _expect(path)
    path = real(path)
    lock = FileLock.of(path)
    lock.take()
    try:
        database = Database(path)
        try:
            expect_one_name(path)
            database.open()
        except (sqlite3.Error, OSError) as error:
            raise not_opened(error, path) from error
        try:
            yield database
            database.checkpoint("TRUNCATE")
        except (sqlite3.Error, OSError) as error:
            raise down(error) from error
        finally:
            database.close()
    finally:
        lock.release()


@contextmanager
def made(path: Path) -> Generator[Database]:
    """A new file, which is removed again if what is done with it fails. Raises as `changed` does."""
    if path.exists():
        raise JournalNotOpened(f"there is a file {path} already")
    path = real(path)
    try:
        create(path)
    except OSError as error:
        raise not_opened(error, path) from error
    try:
        with changed(path) as database:
            yield database
    except BaseException:
        for end in ("", "-wal", "-shm", ".lock"):
            with suppress(OSError):
                path.with_name(f"{path.name}{end}").unlink()
        raise


def _expect(path: Path) -> None:
    if not path.is_file():
        raise JournalNotOpened(f"there is no file {path}")


def _expect_version(version: int, path: Path) -> None:
    if version == 0:
        raise JournalNotOpened(f"nothing has been written into the file {path}")
    if version < VERSION:
        raise JournalNotOpened("an older turnkeeper has written the journal: start a server on it first")
