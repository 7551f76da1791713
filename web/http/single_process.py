"""One process: a second worker of the same master is refused, which knows nothing of the turns of the first.

A server with several workers deals its connections out to all of them. A Stop that reaches the wrong one
finds no turn to stop, and says so, while the turn goes on. Whether two processes are workers of one master is
concluded: they were forked from it, or `multiprocessing` started them. Two servers of one shell are neither.

The first worker to start holds a lock under the master's id and the mount's prefix while it accepts turns.
The kernel takes it away with the process. A worker that replaces another (a reload) waits for the lock.
"""

import asyncio
import hashlib
import multiprocessing
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from turnkeeper.actors.model.exceptions import RuntimeMisuse

#: For how many seconds a new worker waits for the one that it replaces, and after how many it looks again.
WAIT = 5.0
EVERY = 0.05

#: The locks that this process holds, and how often: all apps of one process are one worker.
_held: dict[Path, tuple[int, int]] = {}


class SecondWorker(RuntimeMisuse):
    """Another worker of the same master serves under this prefix, and sessions live in one process."""

    code = "SECOND_WORKER"


def master() -> int | None:
    """The process whose worker this one is; ``None`` if it is none's, or that cannot be said."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        return parent.pid
    with suppress(OSError):  # not Linux, or a parent of another user
        mine, theirs = (Path(f"/proc/{who}/cmdline").read_bytes() for who in ("self", os.getppid()))
        if mine == theirs and _started("self") != _started(str(os.getppid())):
            return os.getppid()
    return None


def _started(process: str) -> str:
    """When a process was started, since the machine was: of two with one id only one has it."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]


class WorkerLock:
    """The right to be the one worker under a prefix. Not needed without a master, or where not ``wanted``."""

    def __init__(self, prefix: str, *, wanted: bool = True) -> None:
        self._prefix = prefix
        self._wanted = wanted
        self._path: Path | None = None

    async def take(self) -> None:
        """Take the lock; wait at most `WAIT` seconds for another worker to give it back.

        Raises `SecondWorker`. Cancelling it takes nothing.
        """
        who = await asyncio.to_thread(master) if self._wanted else None
        if who is None:
            return
        name = hashlib.blake2b(self._prefix.encode(), digest_size=8).hexdigest()
        path = Path(tempfile.gettempdir(), f"turnkeeper-{os.getuid()}-{who}-{name}.lock")
        deadline = asyncio.get_running_loop().time() + WAIT
        while not _lock(path):
            if asyncio.get_running_loop().time() >= deadline:
                raise SecondWorker(
                    "another worker of the same master serves turnkeeper, and sessions live in one process: "
                    "run one worker, or pass single_process=False and make sure that all requests of a "
                    "session reach the same one"
                )
            await asyncio.sleep(EVERY)
        self._path = path

    def give_back(self) -> None:
        """Let another worker be the one. May be called more than once."""
        if self._path is not None:
            path, self._path = self._path, None
            _unlock(path)


def _lock(path: Path) -> bool:
    import fcntl  # not on Windows, where there is no fork either

    if path in _held:
        fd, count = _held[path]
        _held[path] = fd, count + 1
        return True
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return False
    _held[path] = fd, 1
    return True


def _unlock(path: Path) -> None:
    fd, count = _held.pop(path)
    if count > 1:
        _held[path] = fd, count - 1
    else:
        os.close(fd)
