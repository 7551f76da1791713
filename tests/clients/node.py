"""The official clients for Node, each in a process that does what the test says: a driver of this folder.

* `driving` starts a driver. What it makes (`Driver.make`: a client, chat or agent) is called by `Made.call`.
* ``cut`` has a call read no more after so many events; ``hold`` has it read no further until `Call.go_on`.
"""

import asyncio
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.calls import PATIENCE, Call, ClientError

HERE = Path(__file__).parent
NODE = shutil.which("node")
#: npm writes it when all that the lock file names is there.
INSTALLED = HERE / "node_modules" / ".package-lock.json"
MISSING = "no Node with its clients: apt-get install nodejs npm, then npm ci --prefix tests/clients"
#: The mark of tests that drive them.
IN_NODE = pytest.mark.skipif(not (NODE and INSTALLED.exists()), reason=MISSING)
#: The bytes of the longest line that a driver may write: the state of a chat is one.
LONGEST = 1 << 26


@dataclass(frozen=True)
class Made:
    """What a driver has made; ``by`` is the call that has made it, has its events, and goes on."""

    driver: "Driver"
    by: Call
    number: int

    def call(self, name: str, *args: Any, **ways: Any) -> Call:
        """Call a method of it."""
        return self.driver.call(name, *args, on=self.number, **ways)

    async def ask(self, name: str, *args: Any) -> Any:
        """What a method of it returns; raises `ClientError`."""
        return await self.call(name, *args).result()


class Driver:
    """A process with a client in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}

    def _write(self, **line: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    def call(self, name: str, *args: Any, **ways: Any) -> Call:
        """Begin a call; ``ways`` are ``on``, ``cut`` and ``hold``."""
        return self._begin(next(self._numbers), name, *args, **ways)

    def _begin(self, number: int, name: str, *args: Any, **ways: Any) -> Call:
        def tell(**what: bool) -> Callable[[], None]:
            return lambda: self._write(id=number, **what)

        call = self._calls[number] = Call(tell(go_on=True), tell(abort=True))
        self._write(id=number, call=name, args=args, **ways)
        return call

    async def make(self, name: str, *args: Any, **ways: Any) -> Made:
        """Have it make a client, a chat or an agent."""
        number = next(self._numbers)
        by = self._begin(number, name, *args, **ways)
        assert await by.until(bool) == {"made": True}
        return Made(self, by, number)

    async def read(self) -> None:
        """Hand out what it writes, until it has ended; what waits then is answered with that."""
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            line = json.loads(text)
            call = self._calls[line["id"]]
            if "event" in line:
                await call.came(line["event"])
            elif "error" in line:
                said = line["error"]
                error = ClientError(said["class"], said["message"], said.get("status"), said.get("code"))
                await call.raised(error)
            else:
                await call.returned(line["result"])
        for call in self._calls.values():
            await call.raised(ClientError("ProcessEnded", "the driver has ended"))


@contextlib.asynccontextmanager
async def driving(script: str) -> AsyncIterator[Driver]:
    """Start a driver, and end it: a script that has broken off fails the test with what it said."""
    assert NODE is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, HERE / script, stdin=pipe, stdout=pipe, stderr=pipe, limit=LONGEST
    )
    assert process.stdin is not None
    assert process.stderr is not None
    driver = Driver(process)
    said = asyncio.create_task(process.stderr.read())
    reading = asyncio.create_task(driver.read())
    try:
        yield driver
    finally:
        process.stdin.close()  # ends it
        try:
            async with asyncio.timeout(PATIENCE):
                await reading
                code = await process.wait()
                with contextlib.suppress(ConnectionError):
                    await process.stdin.wait_closed()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        finally:
            complaint = (await said).decode()
    assert code == 0, complaint
