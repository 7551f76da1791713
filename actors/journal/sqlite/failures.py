"""What goes wrong with a file, in the words of those who look after it."""

import sqlite3
from typing import Final

from turnkeeper.actors.model.exceptions import (
    JournalCorrupt,
    JournalDown,
    JournalNotOpened,
)

#: By SQLite's primary result code.
_WORDS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it can only be read",
    sqlite3.SQLITE_PERM: "it can only be read",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_PROTOCOL: "another program has locked it",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is damaged",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: After these the file may be gone on with as it is open, and nothing of the transaction is in it.
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def code_of(error: BaseException) -> int | None:
    """SQLite's primary result code; ``None`` for what SQLite has not raised."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def words(error: BaseException) -> str:
    """What is wrong."""
    if isinstance(error, JournalNotOpened):
        return str(error)
    code = code_of(error)
    if code is not None and code in _WORDS:
        return _WORDS[code]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "it fails inside turnkeeper"


def down(error: BaseException) -> JournalDown:
    """Why the journal cannot be used now."""
    return error if isinstance(error, JournalDown) else JournalDown(f"the journal is down: {words(error)}")


def not_opened(error: BaseException, path: object) -> JournalNotOpened:
    """Why the journal cannot be opened."""
    if isinstance(error, JournalNotOpened):
        return error
    kind = JournalCorrupt if code_of(error) in _DAMAGED else JournalNotOpened
    return kind(f"the journal {path} cannot be opened: {words(error)}")


def is_passing(error: BaseException) -> bool:
    """Whether nothing was written, and the file need not be opened anew."""
    return code_of(error) in _PASSING


def is_known(error: BaseException) -> bool:
    """Whether it is an error of the file or the disk, and not one of turnkeeper's own."""
    return isinstance(error, OSError | JournalDown | JournalNotOpened) or code_of(error) in _WORDS
