"""A server in a process of its own, and what its log amounts to.

Nothing here imports a file of turnkeeper's: the server is started by the name of its command.
"""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from tests.attacks.rig import PATIENCE, ROOT

#: The command by its entry point, whatever file that is in.
COMMAND = (
    sys.executable,
    "-c",
    """\
import sys
from importlib.metadata import entry_points
[*found] = entry_points(group="console_scripts", name="turnkeeper")
sys.exit(found[0].load()())
""",
)
PUPPET = "tests.attacks.agents:puppet"
#: How the first line of a log record begins, with `serve`'s format.
RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) ", re.MULTILINE)
TRACEBACK = "Traceback (most recent call last)"


class Server:
    """``turnkeeper serve`` on a free port, until the block ends.

    ``settings`` are given as ``TURNKEEPER_<NAME>``: one that the code does not know yet is passed over.
    ``nofile`` is the soft limit of the process's descriptors, ``hard_nofile`` the hard one (the same).
    """

    def __init__(
        self,
        *arguments: str,
        agent: str = PUPPET,
        tokens: Sequence[str] = (),
        nofile: int | None = None,
        hard_nofile: int | None = None,
        environ: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        words = [*COMMAND, "serve", "--port", "0", "--agent", agent, *arguments]
        for token in tokens:
            words += ["--token", token]
        # Its log is then what an attack makes it complain of.
        settings = {"log_level": "warning", **settings}
        given = {"data": ":memory:", **settings}
        named = {f"TURNKEEPER_{name.upper()}": str(setting) for name, setting in given.items()}
        self._start(words, {**named, **(environ or {})}, nofile, hard_nofile or nofile)
        line = self._output.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        if found is None:
            self.kill()
            raise AssertionError(f"the server did not start: {line!r} {self.log()}")
        self.port = int(found[1])

    def _start(self, words: list[str], environ: dict[str, str], soft: int | None, hard: int | None) -> None:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("TURNKEEPER_")}
        clean["PYTHONPATH"] = str(ROOT)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server

        if soft is not None:
            limit = f'ulimit -S -n {soft} && ulimit -H -n {hard} && exec "$@"'
            words = ["sh", "-c", limit, "sh", *words]
        self._process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**clean, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(patience)

    def lives_on(self, seconds: float) -> bool:
        """Whether it has not ended within this time."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(seconds)
        return self.alive

    def stop(self, number: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Ask it to end; its exit code."""
        self.send_signal(number)
        return self.wait(patience)

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        self._output.close()
        if not self._log.closed:
            self._last_log = self._read_log()
            self._log.close()

    def log(self) -> str:
        """All that it has logged, without the lines about settings that it does not know."""
        text = self._last_log if self._log.closed else self._read_log()
        return "".join(
            line for line in text.splitlines(keepends=True) if "there is no such setting" not in line
        )

    def _read_log(self) -> str:
        file = self._log.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def cpu(self) -> float:
        """The seconds that the process has computed: in itself and in the kernel, all threads."""
        # Another process's clock, as clock_getcpuclockid(3) makes it; /proc/<pid>/stat has ticks of 10 ms.
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory(self) -> int:
        """The bytes of memory that the process has now."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Logged(NamedTuple):
    """What a log amounts to."""

    lines: int
    records: int
    tracebacks: int
    errors: int


def records(text: str) -> list[str]:
    """Each record of a log, with the lines of it that follow the first."""
    starts = [found.start() for found in RECORD.finditer(text)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=False)]


def logged(text: str) -> Logged:
    levels = RECORD.findall(text)
    errors = sum(level in ("ERROR", "CRITICAL") for level in levels)
    return Logged(len(text.splitlines()), len(levels), text.count(TRACEBACK), errors)
