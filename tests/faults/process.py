"""One server in a process of its own: started, killed by its pid, started again on the same port and file."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path

from tests.attacks.rig import HERE, ROOT
from tests.attacks.server import COMMAND

#: Seconds after which a server that was started must serve.
STARTING = 60.0
AGENTS = "tests.faults.agents:AGENTS"


class DidNotServe(Exception):
    """The server ended by itself, or did not come to serve in time. The text is what it has logged."""


class ServerProcess:
    """``turnkeeper serve`` on one port, with the arguments and settings given. One process at a time.

    All processes write their log to the file ``log``, one behind the other.
    """

    def __init__(self, log: Path, *arguments: str, **settings: object) -> None:
        self.port = _free_port()
        self.log = log
        self._words = [*COMMAND, "serve", "--port", str(self.port), "--agent", AGENTS, *arguments]
        clean = {name: text for name, text in os.environ.items() if not name.startswith("TURNKEEPER_")}
        named = {f"TURNKEEPER_{name.upper()}": str(setting) for name, setting in settings.items()}
        self._environ = {**clean, **named, "PYTHONPATH": str(ROOT)}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{HERE}:{self.port}"

    async def spawn(self) -> None:
        """Start a process; it does not serve yet."""
        assert self._process is None, "one at a time"
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                cwd=ROOT,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        finally:
            os.close(log)

    async def serving(self) -> None:
        """Wait until it serves. Raises `DidNotServe`."""
        assert self._process is not None, "spawn it first"
        assert self._process.stdout is not None
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTING):
                while self.url.encode() not in line and (line := await self._process.stdout.readline()):
                    pass
        if self.url.encode() not in line:
            logged = await asyncio.to_thread(self.log.read_text, errors="replace")
            raise DidNotServe(logged[-2_000:])

    async def terminate(self, seconds: float) -> None:
        """Ask it to end, as a deploy does, and give it so many seconds for that."""
        assert self._process is not None, "spawn it first"
        with suppress(ProcessLookupError, TimeoutError):
            self._process.terminate()
            async with asyncio.timeout(seconds):
                await self._process.wait()

    async def kill(self) -> None:
        """End it as ``kill -9`` does, wherever it is, and wait until it is gone. Nothing if none runs."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        # What it announced is read to its end, or the pipe stays open.
        await self._process.communicate()
        self._process = None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HERE, 0))
        port: int = found.getsockname()[1]
        return port
