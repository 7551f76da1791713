"""One process a journal: a lock of the operating system's, for as long as the process lives."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from turnkeeper.actors.model.exceptions import JournalInUse, JournalNotOpened


class FileLock:
    """A lock on a file of its own, which holds the id of the process that has it.

    Closing a database's own file, however it was opened, drops the locks that SQLite holds on it. The file
    stays when the lock is given back: another process may be waiting for it already.
    """

    @classmethod
    def of(cls, journal: Path) -> "FileLock":
        """The lock of the journal in this file."""
        return cls(journal.with_name(f"{journal.name}.lock"))

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Take it. Raises `JournalInUse`, and `JournalNotOpened` if there cannot be such a file."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise JournalNotOpened(f"{self._path} cannot be written: {reason}") from error
        try:
            _lock(file)
        except OSError as error:
            holder = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            by = f"process {holder}" if holder.isdigit() else "another process"
            raise JournalInUse(f"{by} has the journal open") from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Give it back, if it is held."""
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # what is locked cannot be read: not where the id stands
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
