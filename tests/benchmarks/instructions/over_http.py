"""Sends and cancels over HTTP, asked of a process that is counted by one that is not."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.client import answered, request
from tests.benchmarks.instructions.count import Phase

#: How many sessions are asked for when it is counted; the larger one is how many there are.
FEW, MANY = 20, 80
#: How many seconds pass between two looks at whether the server is at rest.
LOOK = 0.001


class Server:
    """The process that is asked, one request at a time."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")

    async def at_rest(self) -> None:
        """Wait until the process sleeps.

        What it still does after an answer would otherwise share passes of its loop with the next request, or
        not, as the machine has it.
        """
        while await asyncio.to_thread(self._busy):
            await asyncio.sleep(LOOK)

    def _busy(self) -> bool:
        try:
            stat = self._stat.read_text()
        except OSError:
            return False  # it has ended; or this machine has no /proc, and so no callgrind either
        # The state is the first word behind the name, which stands in parentheses and may have some itself.
        return stat.rpartition(")")[2].split()[0] in {"R", "D"}


class Connection:
    """One connection, on which each request is made when the one before has been done with."""

    def __init__(
        self, server: Server, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._port = port
        self._reader = reader
        self._writer = writer

    async def post(self, paths: Iterable[str]) -> None:
        """Post to each path. Raises `RuntimeError` if one is refused."""
        for path in paths:
            await self._server.at_rest()
            self._writer.write(request(self._port, path))
            await answered(self._reader)

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()


async def _connect(server: Server, port: int) -> Connection:
    return Connection(server, port, *await asyncio.open_connection("127.0.0.1", port))


def _paths(form: str, count: int) -> list[str]:
    return [form.format(n=n) for n in range(count)]


async def ask(pid: int, ports: str | bytes) -> list[Phase]:
    """Ask the server with this process id and these ports for everything, and say in which phases."""
    server = Server(pid)
    floor, ours = [await _connect(server, port) for port in json.loads(ports)]
    steps = (
        ("bare POST", floor, "/session-{n}"),
        ("http_send", ours, "/chat/session-{n}/send"),
        ("http_cancel", ours, "/chat/session-{n}/cancel_send_task"),
    )
    phases: list[Phase] = []
    for _ in range(2):  # beforehand: every session is made, and Python fits its code to what it sees
        for _name, connection, form in steps:
            await connection.post(_paths(form, MANY))
    for count in (FEW, MANY):
        for name, connection, form in steps:
            phases.append(Phase(name, count))
            await floor.post(["/mark"])
            await connection.post(_paths(form, count))
            await floor.post(["/mark"])
    await floor.close()
    await ours.close()
    return phases
