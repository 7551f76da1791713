"""A reader of a server where each session has one stream, and a send an answer of its own."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

import aiohttp

from .adapters.verb import Call
from .log import Reply
from .reader import COME_BACK, TRY_AGAIN, Reader, Sent
from .target import Target
from .tokens import TokenFinder


class SessionReader(Reader):
    """Opens the session's stream, drops it, and comes back."""

    def __init__(self, target: Target, session: str) -> None:
        super().__init__(target, session)
        self._task: asyncio.Task[None] | None = None
        self._cursor = ""
        self._found = TokenFinder()
        self._tokens: list[tuple[str, int]] = []
        self._connected = False

    async def send(self, n: int, call: Call) -> None:
        """Send message ``n``, and wait for the answer."""
        asked = time.monotonic()
        status, answer = await self._target.ask(call)
        self.sent[n] = Sent(asked, time.monotonic(), status)
        if turn := self._target.adapter.turn_of(answer):
            self.turns[n] = turn

    async def come(self) -> None:
        """Read the session's stream, or come back to it with the last cursor."""
        if self._task is None:
            self._task = asyncio.create_task(self._read_on())
        await self.until(lambda: self._connected, self._target.pace.patience / 3)

    async def leave(self) -> None:
        """Drop the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._connected = False

    async def finish(self) -> None:
        """The session's stream goes on."""

    async def hang_up(self, n: int) -> None:
        """There is no stream of one reply."""
        raise NotImplementedError

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """The tokens, in order."""
        return self._tokens

    def is_over(self, n: int) -> bool:
        """The session's stream goes on after a reply."""
        return True

    def replies(self) -> Iterable[Reply]:
        """There are none: the stream is the session's."""
        return ()

    @property
    def forgotten(self) -> list[tuple[str, int]]:
        """Nothing: a cursor says what has been read."""
        return []

    async def _read_on(self) -> None:
        while True:
            answered = False
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                answered = await self._read_once()
            self._connected = False
            self._changed.set()
            await asyncio.sleep(COME_BACK if answered else TRY_AGAIN)

    async def _read_once(self) -> bool:
        """Read one connection to its end; whether the server answered with a stream."""
        adapter = self._target.adapter
        async with self._target.request(adapter.read(self._session, self._cursor)) as response:
            if response.status != 200:
                return False
            self._connected = True
            self._changed.set()
            async for events, last_id in self._events(response):
                for event in events:
                    found = self._found.feed(adapter.events.read(event.name, event.text).text)
                    self._note(found)
                    self._tokens += found
                self._cursor = last_id or self._cursor
        return True
