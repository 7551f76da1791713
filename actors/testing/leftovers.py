"""What there is besides a turn, and what of it is new: threads, processes, sockets and files."""

# Some by their own names: a test rig that finds blocking calls wraps those of the modules.
import asyncio
import gc
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import listdir, readlink
from time import monotonic, sleep
from typing import Final

from .clock import settle
from .fault import Fault, FaultCode
from .outside import busy_threads, children, contents, runs, threads_at_work

#: The variable by which the processes are found that a run has started, and those that these have started.
MARK: Final = "TURNKEEPER_TESTED_RUN"
#: For how many real seconds a thread or process that ends is given time to be gone.
WINDING: Final = 0.2
#: How often what winds up is looked for in that time.
_LOOKS: Final = 20
# What may be open only because the garbage was not collected yet.
_COLLECTED: Final = (FaultCode.LEFT_SOCKET, FaultCode.LEFT_FILE)
_WAITS_FOR_PROCESS: Final = "asyncio-waitpid-"
_marks = itertools.count()


class Surroundings:
    """What there was when a run began."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._threads = threads_at_work()
        self._pids = set(_pids())
        self._descriptors = descriptors()
        self._files = set(listdir(tempfile.gettempdir()))

    def threads(self) -> list[threading.Thread]:
        """The threads that are new and work; not those in which asyncio waits for a process."""
        new = busy_threads(self._threads)
        return [thread for thread in new if not thread.name.startswith(_WAITS_FOR_PROCESS)]

    def processes(self) -> set[int]:
        """The processes that are new and run: children, and what was started by them (Linux)."""
        new = {pid for pid in _pids() if pid not in self._pids}
        return {pid for pid in new if pid in children() or _is_marked(pid, self._mark)}

    def opened(self) -> list[str]:
        """What the descriptors that are new lead to (where that can be read)."""
        return list((descriptors() - self._descriptors).elements())

    def faults(self) -> list[Fault]:
        """What is new, each kind under its code."""
        found = [Fault(FaultCode.LEFT_THREAD, _title(each)) for each in self.threads()]
        found += [Fault(FaultCode.LEFT_PROCESS, _name(pid)) for pid in self.processes()]
        found += [_descriptor_fault(target) for target in self.opened()]
        lying = set(listdir(tempfile.gettempdir())) - self._files
        found += [Fault(FaultCode.LEFT_FILE, "in the temporary directory") for _ in lying]
        return sorted(found, key=str)

    async def settled_faults(self) -> list[Fault]:
        """The same, once what was about to go is gone. Cancelling it changes nothing."""
        until, looks = monotonic() + WINDING, 0
        await settle()
        while (found := self.faults()) and (monotonic() < until or looks < _LOOKS):
            if not looks and any(fault.code in _COLLECTED for fault in found):
                gc.collect()
            looks += 1
            sleep(0.01)  # noqa: ASYNC251  real time, for what is outside
            await settle()
        return found

    def clear(self) -> None:
        """End the processes that are new, so that the next run finds none of them."""
        for pid in self.processes():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until = monotonic() + 1
        while any(runs(pid) for pid in self.processes()) and monotonic() < until:
            sleep(0.002)


@contextmanager
def marked() -> Generator[str, None, None]:
    """Mark the processes that are started meanwhile, also by others of them."""
    before = os.environ.get(MARK)
    os.environ[MARK] = mark = f"{os.getpid()}-{next(_marks)}"
    try:
        yield mark
    finally:
        if before is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = before


@asynccontextmanager
async def own_temporary_directory() -> AsyncGenerator[None, None]:
    """Have temporary files made in a directory of our own, in which nothing else writes."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    directory = await asyncio.to_thread(tempfile.mkdtemp, prefix="turnkeeper-")
    tempfile.tempdir = os.environ["TMPDIR"] = directory
    try:
        yield
    finally:
        tempfile.tempdir = before
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _pids() -> list[int]:
    """The processes there are (Linux; elsewhere none are seen)."""
    if not sys.platform.startswith("linux"):
        return []
    return [int(name) for name in listdir("/proc") if name.isdecimal()]


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in contents(f"/proc/{pid}/environ").split(b"\0") and runs(pid)
    except OSError:
        return False


def descriptors() -> Counter[str]:
    """What this process's descriptors lead to, and how many to each (Linux; elsewhere none are seen)."""
    found: Counter[str] = Counter()
    if sys.platform.startswith("linux"):
        for name in listdir("/proc/self/fd"):
            with suppress(OSError):  # the one of this very listing
                found[readlink(f"/proc/self/fd/{name}")] += 1
    return found


def _descriptor_fault(target: str) -> Fault:
    if target.startswith("socket:"):
        return Fault(FaultCode.LEFT_SOCKET, "open")
    if not target.startswith("/"):
        return Fault(FaultCode.LEFT_FILE, f"open: {target.partition(':')[0]}")
    temporary = target.startswith(tempfile.gettempdir())
    return Fault(FaultCode.LEFT_FILE, "open: a temporary file" if temporary else f"open: {target}")


def _title(thread: threading.Thread) -> str:
    return re.sub(r"\d+", "N", thread.name)


def _name(pid: int) -> str:
    try:
        return contents(f"/proc/{pid}/comm").decode(errors="replace").strip()
    except OSError:
        return "a process"
