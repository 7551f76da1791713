"""What a user reads, whatever the streams are: the tokens in it, and a way to wait for more."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from turnkeeper.web.client.sse_parser import SseParser, StreamEvent

from .adapters.verb import Call
from .log import ReadEntry, Reply
from .target import Target

#: Seconds until a reader whose stream has ended comes back, and until one that was refused does.
COME_BACK, TRY_AGAIN = 0.02, 0.1
#: How many bytes a slow reader takes at a time.
SIP = 64


@dataclass(slots=True)
class Sent:
    """A send, and the status of its answer: 0 if there was none, ``None`` if it was not waited for."""

    asked: float
    answered: float
    status: int | None = None


class Reader(ABC):
    """What one user has received so far, over all connections."""

    def __init__(self, target: Target, session: str) -> None:
        """``session`` is the id by which the server knows it."""
        self._target = target
        self._session = session
        self._changed = asyncio.Event()
        self._first: dict[str, float] = {}
        self._sipped: set[str] = set()
        self.sent: dict[int, Sent] = {}
        self.turns: dict[int, str] = {}
        """The ids of the turns, as far as they are known."""
        self.sipping = 0.0
        """Seconds between two sips; 0 reads as fast as it can."""

    # -- what a user does ---------------------------------------------------------------------------

    @abstractmethod
    async def send(self, n: int, call: Call) -> None:
        """Send message ``n``, and wait for the answer; if that is a stream, for its beginning."""

    @abstractmethod
    async def come(self) -> None:
        """Read the stream, or come back to it with the last cursor, and wait for the connection."""

    @abstractmethod
    async def leave(self) -> None:
        """Drop all connections."""

    @abstractmethod
    async def finish(self) -> None:
        """Give streams that have to end with their turns the time to do so."""

    @abstractmethod
    async def hang_up(self, n: int) -> None:
        """Drop the stream of that reply for good. Only where the answer to a send is the stream."""

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds, at most so many seconds; whether it does. Cancelling it is safe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    # -- what a user has seen -----------------------------------------------------------------------

    @property
    @abstractmethod
    def tokens(self) -> list[tuple[str, int]]:
        """The tokens, in order."""

    @abstractmethod
    def is_over(self, n: int) -> bool:
        """Whether the end of that reply has come, where a stream can say so; else it is taken for it."""

    @abstractmethod
    def replies(self) -> Iterable[Reply]:
        """The streams of replies, where each reply has one."""

    @property
    @abstractmethod
    def forgotten(self) -> list[tuple[str, int]]:
        """The tokens of which the server said that they come again."""

    def entry(self, session: str) -> ReadEntry:
        """All of it, under the name that the audit has for the session."""
        return ReadEntry(
            session,
            tuple(self.tokens),
            tuple(self.forgotten),
            self._first,
            tuple(self.replies()),
            time.monotonic(),
        )

    # -- reading ------------------------------------------------------------------------------------

    async def _events(
        self, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[tuple[list[StreamEvent], str]]:
        """The events of a connection as they come, each time with the latest id."""
        parser = SseParser()
        while data := await (response.content.read(SIP) if self.sipping else response.content.readany()):
            yield parser.feed(data), parser.last_id
            self._changed.set()
            if self.sipping:
                await asyncio.sleep(self.sipping)

    def _note(self, tokens: Iterable[tuple[str, int]]) -> None:
        """Note when the first token of a request came; a slow reader does not know."""
        for name, _ in tokens:
            if self.sipping:
                self._sipped.add(name)
            elif name not in self._sipped:
                self._first.setdefault(name, time.monotonic())
