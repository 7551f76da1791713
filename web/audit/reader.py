"""A user's reader: it opens the stream, drops it, comes back, and finds the tokens in it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from turnkeeper.web.client.sse_parser import SseParser

from .target import Target
from .tokens import TokenFinder

#: Seconds until a reader whose stream has ended comes back, and until one that was refused does.
COME_BACK, TRY_AGAIN = 0.02, 0.1
#: How many bytes a slow reader takes at a time.
SIP = 64


class Reader:
    """The tokens that one user has received so far, over all connections."""

    def __init__(self, target: Target, session: str) -> None:
        self._target = target
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._cursor = ""
        self._found = TokenFinder()
        self.tokens: list[tuple[str, int]] = []
        self.connected = False
        #: Seconds between two sips; 0 reads as fast as it can.
        self.sipping = 0.0

    def come(self) -> None:
        """Open the stream, or come back to it with the last cursor."""
        if self._task is None:
            self._task = asyncio.create_task(self._read_on())

    async def leave(self) -> None:
        """Drop the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.connected = False

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds, at most so many seconds; whether it does. Cancelling it is safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    async def _read_on(self) -> None:
        while True:
            answered = False
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                answered = await self._read_once()
            self.connected = False
            self._changed.set()
            await asyncio.sleep(COME_BACK if answered else TRY_AGAIN)

    async def _read_once(self) -> bool:
        """Read one connection to its end; whether the server answered with a stream."""
        target, parser = self._target, SseParser()
        call = target.adapter.read(self._session, self._cursor)
        async with target.client.request(
            call.method,
            target.url + call.path,
            headers=call.headers,
            timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                return False
            self.connected = True
            self._changed.set()
            while data := await (response.content.read(SIP) if self.sipping else response.content.readany()):
                for event in parser.feed(data):
                    self.tokens += self._found.feed(target.adapter.text_of(event.name, event.text))
                self._cursor = parser.last_id or self._cursor
                self._changed.set()
                if self.sipping:
                    await asyncio.sleep(self.sipping)
        return True
