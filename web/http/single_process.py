"""One process: a second worker of the same master is refused, which knows nothing of the turns of the first.

A server with several workers deals its connections out to all of them. A Stop that reaches the wrong one
finds no turn to stop, and says so, while the turn goes on. Whether two processes are workers of one master is
concluded: they were forked from it, or `multiprocessing` started them. Two servers of one shell are neither.
Only Linux says enough for that.

The first worker to start holds a lock while it accepts turns: an abstract Unix socket, bound to a name made
of the master and the mount's prefix. It leaves no file behind, and the kernel takes it away with the process.
A worker that replaces another (a reload) waits for the lock.
"""

import asyncio
import errno
import hashlib
import multiprocessing
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from turnkeeper.actors.model.exceptions import RuntimeMisuse

#: For how many seconds a new worker waits for the one that it replaces, and after how many it looks again.
WAIT = 5.0
EVERY = 0.05

#: The locks that this process holds, by name, and how often: all apps of one process are one worker.
_held: dict[str, tuple[socket.socket, int]] = {}


class SecondWorker(RuntimeMisuse):
    """Another worker of the same master serves under this prefix, and sessions live in one process."""

    code = "SECOND_WORKER"


def master() -> int | None:
    """The process whose worker this one is; ``None`` if it is none's, or that cannot be said."""
    if sys.platform != "linux":
        return None
    parent = multiprocessing.parent_process()
    if parent is not None:
        return parent.pid
    with suppress(OSError):  # a parent of another user
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
        self._name: str | None = None

    async def take(self) -> None:
        """Take the lock; wait at most `WAIT` seconds for another worker to give it back.

        Raises `SecondWorker`. Cancelling it takes nothing.
        """
        name = await asyncio.to_thread(_lock_name, self._prefix) if self._wanted else None
        if name is None:
            return
        deadline = asyncio.get_running_loop().time() + WAIT
        while not _lock(name):
            if asyncio.get_running_loop().time() >= deadline:
                raise SecondWorker(
                    "another worker of the same master serves turnkeeper, and sessions live in one process: "
                    "run one worker, or pass single_process=False and make sure that all requests of a "
                    "session reach the same one"
                )
            await asyncio.sleep(EVERY)
        self._name = name

    def give_back(self) -> None:
        """Let another worker be the one. May be called more than once."""
        if self._name is not None:
            name, self._name = self._name, None
            _unlock(name)


def _lock_name(prefix: str) -> str | None:
    """What the workers of one master lock under this prefix; ``None`` without a master.

    The leading zero byte makes the socket abstract. Containers may share these names and have processes with
    equal ids: the moment in which the master started tells them apart.
    """
    who = master()
    if who is None:
        return None
    mount = hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()
    return f"\0turnkeeper-{os.getuid()}-{who}-{_started(str(who))}-{mount}"


def _lock(name: str) -> bool:
    """Hold this lock once more. False if another process holds it."""
    if name in _held:
        bound, count = _held[name]
        _held[name] = bound, count + 1
        return True
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        bound.bind(name)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    _held[name] = bound, 1
    return True


def _unlock(name: str) -> None:
    bound, count = _held.pop(name)
    if count > 1:
        _held[name] = bound, count - 1
    else:
        bound.close()
