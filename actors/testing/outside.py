"""What works outside an event loop, on its behalf: threads, child processes, other ends of connections.

Whether something works is looked up in real time, and never long: what has worked for ``patience`` seconds
and given no sign of life is waited for no more, until it does.
"""

# Some by their own names: a test rig that finds blocking calls wraps those of the modules.
import concurrent.futures.thread
import os
import queue
import selectors
import socket
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures._base import PENDING
from contextlib import contextmanager, suppress
from os import listdir, read
from time import monotonic, sleep
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

from turnkeeper.actors.runtime import LoopWatch
from turnkeeper.actors.turn.work.pool import Pool

#: What may work: a thread, a job that waits for one, a process, or the connection of a descriptor.
Worker: TypeAlias = tuple[str, int]

# Where a thread is that waits to be given something to do.
_WORKER: Final[CodeType] = concurrent.futures.thread._worker.__code__
_WATCH: Final = LoopWatch.start.__code__.co_filename
_POOL: Final[CodeType] = Pool._work.__code__
_GET: Final[CodeType] = queue.Queue.get.__code__
_WAIT: Final[CodeType] = threading.Condition.wait.__code__
# How many real seconds lie between two looks at what is handed over.
_HANDOVER: Final = 0.0001
# For how many real seconds a beginning is waited for: the pool may be too small for it.
_BEGINNING: Final = 0.05
# How many real seconds a thread may take to put its work away.
_ENDING: Final = 0.005
# The state of a process that has ended, as Linux writes it.
_ENDED: Final = (b"Z", b"X")


class Outside:
    """What works outside the loop whose selector this is. What was there before is not waited for."""

    def __init__(self, selector: selectors.BaseSelector, patience: float) -> None:
        self._selector = selector
        self._patience = patience
        self._known = threads_at_work()
        self._own = frozenset(selector.get_map())
        self._waited: dict[Worker, float] = {}

    @property
    def may_work(self) -> bool:
        """Whether there is anything that could be at work; to ask costs little."""
        return (
            any(thread not in self._known for thread in threading.enumerate())
            or len(self._selector.get_map()) > len(self._own)
            or has_children()
        )

    def works(self) -> bool:
        """Whether something works that is to be waited for."""
        working = {*self._threads(), *_processes(), *self._connections()}
        self._waited = {worker: self._waited.get(worker, 0.0) for worker in working}
        return any(waited < self._patience for waited in self._waited.values())

    def has_waited(self, seconds: float) -> None:
        """So long was waited for all that works."""
        for worker in self._waited:
            self._waited[worker] += seconds

    def heard(self, descriptor: int) -> None:
        """There was a sign of life at this descriptor."""
        self._waited.pop(("connection", descriptor), None)

    def _threads(self) -> Iterator[Worker]:
        for thread in busy_threads(self._known):
            yield "thread", thread.ident or 0
        for job in jobs_to_begin():
            yield "job", id(job)

    def _connections(self) -> Iterator[Worker]:
        for key in self._selector.get_map().values():
            if key.fd not in self._own and _is_foreign(key.fd):
                yield "connection", key.fd


# -- Threads ------------------------------------------------------------------------------------------------


def threads_at_work() -> set[threading.Thread]:
    """The threads that there are now, without those that wait for something to do.

    One of a pool may just have come to the end of what it did, so it is looked for twice.
    """
    found = set(busy_threads(set()))
    if any(thread in concurrent.futures.thread._threads_queues for thread in found):
        sleep(_ENDING)
        found &= set(busy_threads(set()))
    return found


def busy_threads(known: set[threading.Thread]) -> list[threading.Thread]:
    """The threads that are not among the ``known`` ones and do not wait for something to do."""
    new = [thread for thread in threading.enumerate() if thread not in known and thread.is_alive()]
    if not new:
        return []
    frames = sys._current_frames()
    return [thread for thread in new if not _waits_for_work(frames.get(thread.ident or 0))]


def _waits_for_work(frame: FrameType | None) -> bool:
    """Whether this is a thread of a pool, of an actor or of a watch that has nothing to do."""
    if frame is None:
        return False  # it has not begun yet, or ends
    if frame.f_code is _POOL:
        pool: Pool = frame.f_locals["self"]
        return frame.f_locals["jobs"] in pool._idle
    caller = frame.f_back
    if frame.f_code is _WAIT and caller is not None and caller.f_code is _GET:
        mail: queue.Queue[Any] = caller.f_locals["self"]
        return not mail._qsize()  # without its lock
    return frame.f_code is _WORKER or frame.f_code.co_filename == _WATCH


# -- Jobs of pools ------------------------------------------------------------------------------------------

# Those that were given to pools while that is noted, and for how many that is.
_jobs: "set[Future[Any]]" = set()
_noting = 0


@contextmanager
def jobs_noted() -> Generator[None, None, None]:
    """Note what is given to pools of threads meanwhile.

    Between a job's way out of a pool's queue and its first step there is nothing else to see it by.
    """
    global _noting  # noqa: PLW0603  how deep it is nested
    pools: Any = ThreadPoolExecutor
    plain = pools.submit

    def submit(pool: Any, function: Any, /, *args: Any, **named: Any) -> Any:
        job = plain(pool, function, *args, **named)
        _jobs.add(job)
        return job

    if not _noting:
        pools.submit = submit
    _noting += 1
    try:
        yield
    finally:
        _noting -= 1
        if not _noting:
            pools.submit = plain
            _jobs.clear()


def jobs_to_begin() -> "set[Future[Any]]":
    """The jobs that were noted and that no thread has begun with."""
    _jobs.intersection_update([job for job in tuple(_jobs) if job._state == PENDING])
    return set(_jobs)


def let_begin() -> None:
    """Wait until the threads of pools have begun with what they were given, for a moment at most.

    What has not begun can be taken back, and whether it has is up to the machine.
    """
    until = monotonic() + _BEGINNING
    while jobs_to_begin() and monotonic() < until:
        sleep(_HANDOVER)


# -- Processes ----------------------------------------------------------------------------------------------


def has_children() -> bool:
    """Whether this process has any that it has started and not seen the end of, as far as can be seen."""
    if sys.platform == "win32" or not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> set[int]:
    """The processes that this one has started and that still run (Linux; elsewhere none are seen)."""
    return {pid for pid in started() if runs(pid)}


def started() -> set[int]:
    """The processes that this one has started and not seen the end of (Linux; elsewhere none are seen)."""
    found: set[int] = set()
    if not has_children():
        return found
    with suppress(OSError):
        for thread in listdir("/proc/self/task"):
            with suppress(OSError):  # that thread has just ended
                found.update(map(int, contents(f"/proc/self/task/{thread}/children").split()))
    return found


def runs(pid: int) -> bool:
    """Whether that process is there and has not ended."""
    try:
        state = contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1]
    except OSError:
        return False
    return not state or state[0] not in _ENDED


def contents(path: str) -> bytes:
    """What a file of ``/proc`` says. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        said = b""
        while part := read(descriptor, 65_536):
            said += part
        return said
    finally:
        os.close(descriptor)


def _processes() -> Iterator[Worker]:
    for pid in children():
        yield "process", pid


# -- Connections --------------------------------------------------------------------------------------------


def _is_foreign(descriptor: int) -> bool:
    """Whether it is a connection, or is about to be one, with an end that is not in this process."""
    try:
        ours = socket.socket(fileno=descriptor)
    except OSError:
        return False  # a pipe: its process is seen by itself
    try:
        if ours.family not in (socket.AF_INET, socket.AF_INET6) or _listens(ours):
            return False
        try:
            return ours.getpeername() not in _local_names(ours.family)
        except OSError:
            return ours.type == socket.SOCK_STREAM  # it is being connected
    finally:
        ours.detach()


def _listens(ours: socket.socket) -> bool:
    try:
        return bool(ours.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _local_names(family: int) -> set[Any]:
    """The names of this process's own sockets of a family (where its descriptors can be listed)."""
    names: set[Any] = set()
    with suppress(OSError):
        for descriptor in map(int, listdir("/dev/fd")):
            try:
                each = socket.socket(fileno=descriptor)
            except OSError:
                continue
            try:
                if each.family == family:
                    names.add(each.getsockname())
            except OSError:
                pass
            finally:
                each.detach()
    return names
