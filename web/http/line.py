"""The connection of a request that is being answered: how it is noticed that its peer has gone.

A server that keeps its connections itself says so at once. In any other one nothing does: aiohttp lets a
handler work on, and a stream would find out with its next heartbeat. So where it matters the transports are
looked at, all of them by one timer.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

from aiohttp import web

#: How often is looked whether a peer has gone, in seconds.
LOOK: Final = 0.05


class Line(Protocol):
    """The connection that a request came over, where the server keeps its connections."""

    def stream(self, on_gone: Callable[[], None], /) -> None:
        """From here on events are written; ``on_gone`` is called once the peer hangs up or half closes."""
        ...

    def end_stream(self) -> None:
        """No events are written any more."""
        ...


#: Where a request's line is found.
LINE: web.RequestKey[Line] = web.RequestKey("turnkeeper.line", Line)


class Hangups:
    """Notices within `LOOK` seconds that peers have hung up."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[asyncio.BaseTransport | None, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    @contextmanager
    def watching(self, request: web.Request, on_gone: Callable[[], None]) -> Generator[None]:
        """Call ``on_gone`` once, as soon as the peer of this request has hung up within the block."""
        line = request.get(LINE)
        if line is not None:
            line.stream(on_gone)
            try:
                yield
            finally:
                line.end_stream()
            return
        mine = object()
        self._watched[mine] = request.transport, on_gone
        self._look_soon()
        try:
            yield
        finally:
            self._watched.pop(mine, None)

    def _look_soon(self) -> None:
        if self._timer is None and self._watched:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._timer = None
        for mine, (transport, on_gone) in list(self._watched.items()):
            if transport is None or transport.is_closing():
                del self._watched[mine]
                on_gone()
        self._look_soon()

    def close(self) -> None:
        """Stop the timer."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
