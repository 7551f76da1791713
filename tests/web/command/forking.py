"""Commands that begin at once: each is forked from a process that has imported `turnkeeper` already.

To start Python and to import is nine tenths of what a command does, and the tests run hundreds. What was
forked is a process of its own all the same, with its pipes or terminal, its environment and its exit code.
That the command begins by itself, too, is seen in ``test_cli.py`` and wherever a server is started.
"""

import asyncio
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import random
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
#: Where the tests run.
FOLDER = os.getcwd()
#: The bytes of a request, at the most: most of them are the environment.
MOST = 1 << 17


class Forked:
    """A command that was forked: as much of `asyncio.subprocess.Process` as the tests need."""

    def __init__(self, pid: int, report: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.output: asyncio.ReadTransport | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._report = report

    async def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        if self.returncode is None:
            self.returncode = int(await self._report.read())
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """The rest of what it says, once it has ended."""
        assert self.stdout is not None
        assert self.stderr is not None
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, err

    def leave(self) -> None:
        """Close its output."""
        assert self.output is not None
        self.output.close()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process from which commands are forked. It ends with this one.

    It is no child of this one: a virtual clock stands still for those.
    """

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with its:
            subprocess.run(
                [sys.executable, "-m", "tests.web.command.forking", str(its.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                check=True,
            )

    def close(self) -> None:
        """End it."""
        self._control.close()

    async def fork(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        folder: Any = None,
        terminal: int | None = None,
    ) -> Forked:
        """``turnkeeper`` with these arguments: with pipes, or at this terminal."""
        request = {
            "arguments": list(arguments),
            "environ": dict(environ),
            "folder": str(folder or FOLDER),
            "terminal": terminal is not None,
        }
        with contextlib.ExitStack() as stack:

            def handed(descriptor: int) -> int:
                stack.callback(os.close, descriptor)
                return descriptor

            report, its_report = os.pipe()
            readers = [report]
            if terminal is None:
                (out, its_out), (err, its_err) = os.pipe(), os.pipe()
                ends = [handed(os.open(os.devnull, os.O_RDONLY)), handed(its_out), handed(its_err)]
                readers += [out, err]
            else:
                ends = [terminal] * 3
            socket.send_fds(self._control, [json.dumps(request).encode()], [*ends, handed(its_report)])
        reports, *streams = [await _reader(each) for each in readers]
        forked = Forked(int(await reports[0].readline()), reports[0])
        if streams:
            (forked.stdout, forked.output), (forked.stderr, _) = streams
        return forked


# The one of the tests' session.
_forks: list[Forks] = []


def forks() -> Forks:
    """The process from which commands are forked: tests that run any use the fixture ``forks``."""
    (found,) = _forks
    return found


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Have commands forked meanwhile."""
    _forks.append(Forks())
    try:
        yield
    finally:
        _forks.pop().close()


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """What comes out of this pipe, which is closed at its end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader, transport


# -- The process that forks -------------------------------------------------------------------------


def main(control: socket.socket) -> None:
    """Fork what is asked for, and report of each its id, and its exit code when it has ended."""
    from turnkeeper.web import command
    from turnkeeper.web.command import cli

    for module in pkgutil.walk_packages(command.__path__, f"{command.__name__}."):
        importlib.import_module(module.name)
    gc.freeze()
    reports: dict[int, int] = {}

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                report = reports.pop(ended[0])
                with contextlib.suppress(OSError):  # its test has not waited for it
                    os.write(report, b"%d" % os.waitstatus_to_exitcode(ended[1]))
                os.close(report)

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed where the tests run, it is for these
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, MOST, 4)
        if not said:
            return
        *ends, report = descriptors
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            request = json.loads(said)
            become(ends, request["environ"], request["folder"], at_terminal=request["terminal"])
            sys.exit(cli.main(request["arguments"]))
        reports[pid] = report
        os.write(report, b"%d\n" % pid)
        for each in ends:
            os.close(each)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def become(ends: Sequence[int], environ: Mapping[str, str], folder: str, *, at_terminal: bool) -> None:
    """Be a process as if it had just been started with these ends, this environment and in this folder."""
    if at_terminal:
        os.setsid()
        # So that a key pressed there becomes a signal to this process.
        fcntl.ioctl(ends[0], termios.TIOCSCTTY, 0)
    for number, each in enumerate(ends):
        os.dup2(each, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    random.seed()
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        was: Any = getattr(sys, name)
        now = open(number, "w", encoding=was.encoding, errors=was.errors, closefd=False)  # noqa: SIM115
        unbuffered = bool(environ.get("PYTHONUNBUFFERED"))
        now.reconfigure(line_buffering=now.isatty() or number == 2, write_through=unbuffered)
        setattr(sys, name, now)
        setattr(sys, f"__{name}__", now)


if __name__ == "__main__" and not os.fork():
    main(socket.socket(fileno=int(sys.argv[1])))
