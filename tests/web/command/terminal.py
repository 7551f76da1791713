"""The real command in a process of its own: with pipes, at a terminal, and over a connection that can be cut.

* `command` runs ``turnkeeper`` with pipes, `at_terminal` with a pseudo-terminal where keys can be pressed.
* `Relay` stands between a client and a server, and cuts every connection on demand.
* `answering` is a server that says the same bytes to everyone: something that is not turnkeeper.
"""

import asyncio
import os
import pty
import signal
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.web.command.forking import Forked, forks

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0
CTRL_C = b"\x03"


def environment(url: str, token: str, more: dict[str, str]) -> dict[str, str]:
    """The environment of a command: this one's, without what would change what it shows."""
    changing = ("TURNKEEPER_", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(changing)}
    ours = {
        "TURNKEEPER_DATA": ":memory:",
        "TURNKEEPER_URL": url,
        "TURNKEEPER_TOKEN": token,
        "TERM": "xterm-256color",
        "TZ": "UTC",
    }
    return {**clean, **{name: text for name, text in ours.items() if text}, **more}


@dataclass
class Said:
    """What a command that has ended said, and its exit code."""

    code: int
    out: str
    err: str


class Piped:
    """A running command with pipes."""

    def __init__(self, process: Forked) -> None:
        self.process = process
        self.seen = ""

    async def until(self, text: str) -> str:
        """Read its output until this is in it; all so far."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while text not in self.seen:
                chunk = await self.process.stdout.read(4096)
                assert chunk, f"it has ended after {self.seen!r}"
                self.seen += chunk.decode()
        return self.seen

    async def reported(self, text: str) -> None:
        """Read its second output until a line has this in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while text not in (line := (await self.process.stderr.readline()).decode()):
                assert line, "it has ended"

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    async def ended(self) -> Said:
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Said(self.process.returncode, self.seen + out.decode(), err.decode())


@asynccontextmanager
async def command(
    *arguments: str, url: str = "", token: str = "", cwd: Any = None, **environ: str
) -> AsyncGenerator[Piped]:
    """``turnkeeper`` with these arguments, with pipes."""
    process = await forks().fork(arguments, environment(url, token, environ), cwd)
    try:
        yield Piped(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(*arguments: str, **how: Any) -> Said:
    """What ``turnkeeper`` says with these arguments."""
    async with command(*arguments, **how) as running:
        return await running.ended()


class Terminal:
    """A command at a terminal, as a person uses it."""

    def __init__(self, process: Forked, screen: int) -> None:
        self._process = process
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._gone = False
        self.seen = ""
        os.set_blocking(screen, False)
        self._loop.add_reader(screen, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._screen, 65_536)
        except OSError:  # the other end of a pseudo-terminal has closed
            chunk = b""
        if not chunk:
            self.close()
        self.seen += chunk.decode(errors="replace")
        self._more.set()

    def close(self) -> None:
        if not self._gone:
            self._gone = True
            self._loop.remove_reader(self._screen)

    async def until(self, text: str) -> str:
        """Look at the screen until this appears; all that has appeared."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.seen:
                assert not self._gone, f"it has ended after {self.seen!r}"
                self._more.clear()
                await self._more.wait()
        return self.seen

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            while not self._gone:
                self._more.clear()
                await self._more.wait()
        return code


@asynccontextmanager
async def at_terminal(
    *arguments: str, url: str, token: str = "", columns: int = 100, **environ: str
) -> AsyncGenerator[Terminal]:
    """``turnkeeper`` at a terminal of that width."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    process = await forks().fork(arguments, environment(url, token, environ), terminal=its)
    os.close(its)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        terminal.close()
        os.close(ours)


# -- Connections ------------------------------------------------------------------------------------


@dataclass
class Relay:
    """A port that leads to another one, until it is cut."""

    port: int
    target: int
    writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])
    passed: asyncio.Condition = field(default_factory=asyncio.Condition)
    seen: bytes = b""
    open: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut every connection."""
        for writer in self.writers:
            writer.transport.abort()

    async def until(self, text: bytes) -> None:
        """Wait until this has passed from the server to the client."""
        async with asyncio.timeout(PATIENCE), self.passed:
            await self.passed.wait_for(lambda: text in self.seen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer, count=True))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool = False
    ) -> None:
        try:
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                if count:
                    async with self.passed:
                        self.seen += chunk
                        self.passed.notify_all()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncGenerator[Relay]:
    """A relay to a port of this machine."""
    between = Relay(0, target)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(between.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        between.cut()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that says these bytes to everyone; its address, and what it was asked."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.read(65_536))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def http(body: str, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n{more}\r\n"
    return (head + body).encode()
