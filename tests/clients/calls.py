"""One call of an official client, as a test follows it, whatever it is written in."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

#: Seconds after which what a test waits for does not come.
PATIENCE = 60.0


class ClientError(Exception):
    """What a client has raised: the name of its class, and what it says of itself."""

    def __init__(self, kind: str, message: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code


class Call:
    """One call of a client: its events come one by one (`async for`, `until`), and `result` is its end.

    ``go_on`` lets it read on where it is held, ``abort`` has the client abort it.
    """

    def __init__(self, go_on: Callable[[], object], abort: Callable[[], object]) -> None:
        self.go_on = go_on
        self.abort = abort
        self.events: list[Any] = []
        self._read = 0
        self._end: Callable[[], Any] | None = None
        self._changed = asyncio.Condition()

    async def came(self, event: Any) -> None:
        """Keep an event."""
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    async def returned(self, result: Any) -> None:
        """Keep what the client has returned."""
        await self._ended(lambda: result)

    async def raised(self, error: Exception) -> None:
        """Keep what the client has raised."""

        def again() -> NoReturn:
            raise error

        await self._ended(again)

    async def _ended(self, end: Callable[[], Any]) -> None:
        async with self._changed:
            self._end = self._end or end
            self._changed.notify_all()

    def __aiter__(self) -> "Call":
        return self

    async def __anext__(self) -> Any:
        await self._until(lambda: self._read < len(self.events) or self._end is not None)
        if self._read == len(self.events):
            raise StopAsyncIteration
        self._read += 1
        return self.events[self._read - 1]

    def forget(self) -> None:
        """Take all that has come as read."""
        self._read = len(self.events)

    async def until(self, comes: Callable[[Any], bool]) -> Any:
        """The next event of which that is true."""
        async for event in self:
            if comes(event):
                return event
        raise AssertionError(f"has not come: {self.events}, and at the end: {await self.result()}")

    async def result(self) -> Any:
        """What the client has returned; raises `ClientError`."""
        await self._until(lambda: self._end is not None)
        assert self._end is not None
        return self._end()

    async def _until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(true)
