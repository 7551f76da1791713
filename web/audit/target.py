"""The server under test: one that runs already, or a turnkeeper that is started for the audit."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from turnkeeper.actors.journal.where import IN_MEMORY
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.access.loopback import is_loopback
from turnkeeper.web.http.settings import LogLevel

from .adapters.adapter import Adapter
from .adapters.verb import Call
from .agent import UPSTREAM_VARIABLE
from .plan import Pace

#: Seconds until the turnkeeper that was started must have printed its address, and until it must have ended.
START_UP, SHUT_DOWN = 20.0, 15.0
#: The most bytes of an answer that are read.
MOST_ANSWER = 2**20


class CannotAudit(Exception):
    """The server under test does not answer, or a port of this machine is taken."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test."""

    client: aiohttp.ClientSession
    url: str
    adapter: Adapter
    pace: Pace

    async def ask(self, call: Call) -> tuple[int, Any]:
        """Make a request; the status and the JSON of its answer, or status 0 if there is none."""
        try:
            async with self.request(call, self.pace.patience) as response:
                body = await response.content.read(MOST_ANSWER)
                with suppress(ValueError):
                    return response.status, json.loads(body)
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None

    def request(
        self, call: Call, seconds: float | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Make a request, which may take so many seconds with all of its answer; ``None`` is no limit."""
        return self.client.request(
            call.method,
            self.url + call.path,
            headers=call.headers,
            data=call.body,
            timeout=aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,  # which might lead off this machine
        )


def check_url(url: str) -> str:
    """The base URL of a server on this machine, without its final slash. Raises `InvalidRequest`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InvalidRequest(f"{url!r} is no address like http://127.0.0.1:9000", field="url")
    if not is_loopback(host):
        raise InvalidRequest(f"only servers on this machine are audited, not {host}", field="url")
    return url.rstrip("/")


@asynccontextmanager
async def reached(url: str | None, agent: str, upstream: str) -> AsyncGenerator[tuple[str, int | None]]:
    """The address of the server under test, which takes connections there, and its process if that is known.

    Raises `CannotAudit`.
    """
    if url is None:
        async with _started(agent, upstream) as started:
            yield started
        return
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            )
    except (OSError, TimeoutError) as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error) or "no answer"
        raise CannotAudit(f"no server answers at {url}: {why}") from None
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    yield url, None


@asynccontextmanager
async def _started(agent: str, upstream: str) -> AsyncGenerator[tuple[str, int]]:
    """Start a turnkeeper in a process of its own, whose agent asks the upstream; its address and its id."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TURNKEEPER_")}
    # The last two are where clients of OpenAI's API look.
    environ |= {UPSTREAM_VARIABLE: upstream, "OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "audit"}
    level = os.environ.get("TURNKEEPER_LOG_LEVEL", LogLevel.WARNING)
    serve = ("serve", "--port", "0", "--agent", agent, "--data", IN_MEMORY, "--log-level", level)
    command = (sys.executable, "-m", "turnkeeper.web.command.cli", *serve)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL, env=environ
    )
    try:
        assert process.stdout is not None
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_UP):
                line = await process.stdout.readline()
        found = re.search(r"http://[^\s/]+", line.decode(errors="replace"))
        if found is None:
            raise CannotAudit("turnkeeper did not start")
        yield found[0], process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(SHUT_DOWN):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()
