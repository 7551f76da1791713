"""An app on a free port, and the client in its own process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

CLIENT = str(Path(__file__).with_name("client.py"))


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """Serve an app on this machine; gives the port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client(*arguments: object) -> AsyncIterator[asyncio.StreamReader]:
    """Run the client; gives what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, CLIENT, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    finally:
        await process.wait()


async def said(out: asyncio.StreamReader) -> bytes:
    """The next line. Raises `RuntimeError` if the client has ended instead; it says why on stderr."""
    line = await out.readline()
    if not line:
        raise RuntimeError("the client ended before its time")
    return line
