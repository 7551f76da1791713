import errno
import sqlite3

import pytest

from turnkeeper.actors.journal.sqlite.failures import down, is_known, is_passing, not_opened, words
from turnkeeper.actors.model.exceptions import (
    JournalCorrupt,
    JournalDown,
    JournalInUse,
    JournalNotOpened,
)


def failed(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("what SQLite says of itself")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (failed(sqlite3.SQLITE_FULL), "the disk is full"),
        (failed(sqlite3.SQLITE_IOERR_FSYNC), "the disk reports an error"),
        (failed(sqlite3.SQLITE_READONLY_DBMOVED), "it can only be read"),
        (failed(sqlite3.SQLITE_BUSY_SNAPSHOT), "another program has locked it"),
        (failed(sqlite3.SQLITE_CORRUPT), "its file is damaged"),
        (failed(sqlite3.SQLITE_NOTADB), "its file is damaged"),
        (failed(sqlite3.SQLITE_CANTOPEN), "its file cannot be opened"),
        (OSError(errno.EACCES, "Permission denied"), "permission denied"),
        (failed(sqlite3.SQLITE_CONSTRAINT_UNIQUE), "it fails inside turnkeeper"),
        (KeyError("secret"), "it fails inside turnkeeper"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(error: Exception, what: str) -> None:
    assert words(error) == what
    assert str(down(error)) == f"the journal is down: {what}"
    assert str(not_opened(error, "turnkeeper.db")) == f"the journal turnkeeper.db cannot be opened: {what}"


def test_what_has_been_said_is_not_said_again() -> None:
    was_down, in_use = JournalDown("it is gone"), JournalInUse("process 7 has it")
    assert down(was_down) is was_down
    assert not_opened(in_use, "turnkeeper.db") is in_use
    assert str(down(in_use)) == "the journal is down: process 7 has it"


def test_a_damaged_file_is_told_from_one_that_cannot_be_opened() -> None:
    assert type(not_opened(failed(sqlite3.SQLITE_CORRUPT), "x")) is JournalCorrupt
    assert type(not_opened(failed(sqlite3.SQLITE_FULL), "x")) is JournalNotOpened


def test_after_some_errors_it_is_known_that_nothing_was_written() -> None:
    assert is_passing(failed(sqlite3.SQLITE_FULL))
    assert is_passing(failed(sqlite3.SQLITE_BUSY))
    assert not is_passing(failed(sqlite3.SQLITE_IOERR))
    assert not is_passing(KeyError())


def test_errors_of_turnkeeper_s_own_are_told_from_those_of_the_disk() -> None:
    for error in (failed(sqlite3.SQLITE_IOERR), OSError(), JournalDown(""), JournalInUse("")):
        assert is_known(error)
    for other in (failed(sqlite3.SQLITE_CONSTRAINT), failed(sqlite3.SQLITE_ERROR), KeyError()):
        assert not is_known(other)
