"""What runs in the server under test: its child processes and its threads, where the audit can look into it.

It can where `psutil` is installed and the server is a process of the same user on this machine. What it sees
is what the operating system shows, so the server need say nothing about itself.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .log import Inside

if TYPE_CHECKING:
    import psutil
else:
    try:
        import psutil
    except ImportError:
        psutil = None

#: Seconds of a processor's time by which a thread has worked in a quiet moment: two ticks of the usual clock.
WORKED = 0.02


class CannotLook(Exception):
    """The audit cannot look into the server; the text says why."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one moment.

    ``processes`` are the server's own ones and all that came of them, ``threads`` the seconds of work that
    each thread has done, but for the first one of each process, which runs its event loop.
    """

    processes: frozenset[tuple[int, float]]
    names: dict[tuple[int, float], str]
    threads: dict[tuple[int, int], float]


class Server:
    """The server's processes."""

    def __init__(self, process: "psutil.Process") -> None:
        self._process = process

    def look(self) -> Sight:
        """Look at what runs in it. Raises `CannotLook`. Blocks, for some milliseconds."""
        names: dict[tuple[int, float], str] = {}
        threads: dict[tuple[int, int], float] = {}
        with _seen():
            for each in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    key = each.pid, each.create_time()
                    if each.status() == psutil.STATUS_ZOMBIE:
                        continue  # it has ended, and is not waited for yet
                    names[key] = each.name()
                    for thread in each.threads():
                        if thread.id != each.pid:
                            threads[each.pid, thread.id] = thread.user_time + thread.system_time
        return Sight(frozenset(names), names, threads)


def server_of(url: str | None, pid: int | None) -> Server:
    """The server: the process ``pid``, else the one that listens at ``url``. Raises `CannotLook`. Blocks."""
    if psutil is None:
        raise CannotLook("psutil is not installed: pip install 'turnkeeper[audit]'")
    with _seen():
        process = psutil.Process(pid) if pid is not None else _listener(url or "")
        if process.pid in (os.getpid(), *(each.pid for each in psutil.Process().parents())):
            raise CannotLook("it runs in the process of the audit, or in one that has started that")
        return Server(process)


def _listener(url: str) -> "psutil.Process":
    """The first of the processes that listen there: of a server and its workers, the server."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    pids = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
    }
    listening = [psutil.Process(each) for each in pids if each is not None]
    if not listening:
        raise CannotLook("its process is another user's, or on another machine (--pid names it)")
    return min(listening, key=lambda process: (len(process.parents()), process.create_time()))


@contextmanager
def _seen() -> Generator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        raise CannotLook("its process has ended") from None
    except psutil.AccessDenied:
        raise CannotLook("its process is another user's") from None


def left_in(before: Sight, after: Sight, later: Sight) -> Inside:
    """What the audit has left in the server.

    ``before`` is from before it, ``after`` and ``later`` are from a quiet moment after all of its turns.
    """
    left = sorted(after.names[each] for each in after.processes & later.processes - before.processes)
    worked = [
        thread
        for thread, seconds in later.threads.items()
        if seconds - after.threads.get(thread, seconds) >= WORKED
    ]
    return Inside(tuple(left), len(worked), len(before.threads), len(later.threads))
