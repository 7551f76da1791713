"""The connections of a server: how many there may be, and how long one may take to say what it wants.

aiohttp's protocol does the talking. A `Connection` stands between it and the socket and keeps the books:

* while the head of a request is awaited, a deadline runs (a peer that sends none, or sends it byte by byte,
  would keep a descriptor for ever);
* between two requests the connection is idle: it is the first to go when room is needed;
* a peer that has shut down its sending side still gets its answer, but for a stream that is the end: nothing
  else would show that its reader has gone.

Beyond the bounds a peer gets 503 (the server is full) or 429 (that peer has too many); then it is hung up on,
before anything is read.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Any, assert_never

import msgspec
from aiohttp import web

from turnkeeper.actors.metrics.meter import (
    CONNECTIONS_CLOSED_IDLE,
    CONNECTIONS_REFUSED,
    CONNECTIONS_TIMED_OUT,
    PEER_CONNECTIONS_REFUSED,
    Meter,
)
from turnkeeper.web.http.access.loopback import is_loopback
from turnkeeper.web.http.line import LINE
from turnkeeper.web.http.problems import RETRY_AFTER, Code, Problem
from turnkeeper.web.openapi.operation import PROBLEM_JSON

#: How long a connection must have been idle before it may be closed for another one, in seconds: its last
#: answer is still on the way when its handler is done.
SETTLED_AFTER = 1.0
#: How many connections may time out in one pass of the loop; the others do so in the next passes.
LOOK_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many connections there may be, from one peer and in all, and how long a head may take, in seconds.

    Peers on this machine and ``trusted`` ones (proxies) have no bound of their own.
    """

    in_all: int
    per_peer: int
    header_timeout: float
    trusted: frozenset[str] = frozenset()


class Phase(Enum):
    """What a connection is doing."""

    NEW = auto()
    """It is not admitted yet."""
    READING = auto()
    """The head of a request is awaited, and its deadline runs."""
    BUSY = auto()
    """A handler has the request."""
    STREAMING = auto()
    """A handler writes events, until either side goes away."""
    IDLE = auto()
    """Nothing has come since the last answer."""
    GONE = auto()
    """It is lost or hung up on. Nothing follows."""


class Connection(asyncio.Protocol):
    """One connection. Bytes pass through to aiohttp's protocol; what it is doing is noted."""

    __slots__ = (
        "_half_closed",
        "_inner",
        "_on_gone",
        "_transport",
        "connections",
        "peer",
        "phase",
        "since",
        "spoken",
    )

    def __init__(self, connections: "Connections") -> None:
        self.connections = connections
        self.phase = Phase.NEW
        #: When the phase began, on the loop's clock.
        self.since = 0.0
        #: The peer's address; ``None`` for a Unix socket.
        self.peer: str | None = None
        #: Whether anything of the request that is awaited has come.
        self.spoken = False
        self._half_closed = False
        self._inner: Any = None
        self._transport: asyncio.Transport | None = None
        self._on_gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected: admit it, or say why not and hang up."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else None
        refusal = self.connections.admit(self)
        if refusal is not None:
            transport.write(refusal)
            transport.close()
            return
        self._inner = self.connections.talk(self)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what has come; a first byte after an answer begins a new request."""
        if self._inner is None:
            return
        if self.phase is Phase.IDLE:
            self.connections.enter(self, Phase.READING)
        self.spoken = True
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The peer sends nothing more: whether the connection stays open for an answer."""
        if self._inner is None:
            return None
        self._inner.eof_received()
        match self.phase:
            case Phase.BUSY:
                self._half_closed = True
                self._inner.close()  # once the answer is written
                return True
            case Phase.READING if self.spoken:
                # The request may be whole, with its handler about to start; else the deadline sees to it.
                self._half_closed = True
                return True
            case Phase.READING | Phase.STREAMING | Phase.IDLE | Phase.NEW | Phase.GONE:
                return None
            case _:
                assert_never(self.phase)

    def busy(self) -> None:
        """A handler has the request now."""
        self.connections.enter(self, Phase.BUSY)
        if self._half_closed:
            self._inner.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed: tell all who have to do with it."""
        self.connections.enter(self, Phase.GONE)
        if self._inner is not None:
            self.connections.forget(self._inner)
            self._inner.connection_lost(exc)
        if self._on_gone is not None:
            self._on_gone()

    def pause_writing(self) -> None:
        """The peer reads slower than it is written to."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self._inner is not None:
            self._inner.resume_writing()

    def stream(self, on_gone: Callable[[], None]) -> None:
        """From here on events are written; ``on_gone`` is called once the peer hangs up or half closes.

        If it has done so before, it is called now.
        """
        self.connections.enter(self, Phase.STREAMING)
        if self._half_closed or self.phase is Phase.GONE:
            on_gone()
        else:
            self._on_gone = on_gone

    def end_stream(self) -> None:
        """No events are written any more."""
        self._on_gone = None

    def time_out(self) -> None:
        """The head of a request has not come in time."""
        if self._transport is not None:
            if self.spoken:
                problem = Problem(Code.HEADER_TIMEOUT, "the head of the request took too long")
                self._transport.write(self.connections.refusal(problem))
            self.hang_up()

    @property
    def settled(self) -> bool:
        """Whether all that was written has left this process."""
        return self._transport is None or not self._transport.get_write_buffer_size()

    def hang_up(self) -> None:
        """Close the connection when what was written has left; its place is free at once."""
        self.connections.enter(self, Phase.GONE)
        if self._transport is not None:
            self._transport.close()


class Connections:
    """All connections of one server, and the protocol factory that makes them.

    ``meter`` counts what happens at the bounds: refused, closed while idle to make room, timed out.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], asyncio.Protocol],
        bounds: Bounds,
        meter: Meter,
    ) -> None:
        self._loop = loop
        self._make = make
        self._bounds = bounds
        self._by_protocol: dict[Any, Connection] = {}
        self._per_peer: Counter[str] = Counter()
        #: Each in order of time, so that who is due stands at the front.
        self._reading: OrderedDict[Connection, None] = OrderedDict()
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._open = 0
        self._timer: asyncio.TimerHandle | None = None
        self._meter = meter
        meter.connections = 0

    def __call__(self) -> Connection:
        """A new connection, as `loop.create_server` wants it."""
        return Connection(self)

    def __len__(self) -> int:
        return self._open

    def admit(self, connection: Connection) -> bytes | None:
        """Take a connection in; where there is no room, what it is answered."""
        peer = connection.peer
        bounded = peer is not None and peer not in self._bounds.trusted and not is_loopback(peer)
        if bounded and peer is not None and self._per_peer[peer] >= self._bounds.per_peer:
            self._meter.count(PEER_CONNECTIONS_REFUSED)
            detail = f"at most {self._bounds.per_peer} connections from one address"
            return self.refusal(Problem(Code.TOO_MANY_CONNECTIONS, detail, headers=RETRY_AFTER))
        if self._open >= self._bounds.in_all and not self._make_room():
            self._meter.count(CONNECTIONS_REFUSED)
            detail = f"at most {self._bounds.in_all} connections in all"
            return self.refusal(Problem(Code.SERVER_FULL, detail, headers=RETRY_AFTER))
        self.enter(connection, Phase.READING)
        return None

    def refusal(self, problem: Problem) -> bytes:
        """A whole HTTP answer, for a peer that is hung up on before aiohttp has anything to do with it."""
        self._meter.refuse(problem.code)
        return _answer(problem)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; whether there was one."""
        latest = self._loop.time() - SETTLED_AFTER
        for connection in self._idle:
            if connection.since > latest:
                break
            if connection.settled:
                self._meter.count(CONNECTIONS_CLOSED_IDLE)
                connection.hang_up()
                return True
        return False

    def talk(self, connection: Connection) -> asyncio.Protocol:
        """The protocol that talks over this connection."""
        protocol = self._make()
        self._by_protocol[protocol] = connection
        return protocol

    def forget(self, protocol: asyncio.Protocol) -> None:
        """Its connection is lost."""
        self._by_protocol.pop(protocol, None)

    def enter(self, connection: Connection, phase: Phase) -> None:
        """Note that a connection is in this phase now; one that is gone stays so."""
        before = connection.phase
        if before is phase or before is Phase.GONE:
            return
        connection.phase, connection.since = phase, self._loop.time()
        self._reading.pop(connection, None)
        self._idle.pop(connection, None)
        if phase is Phase.READING:
            connection.spoken = False
            self._reading[connection] = None
            self._watch()
        elif phase is Phase.IDLE:
            self._idle[connection] = None
        if before is Phase.NEW and phase is not Phase.GONE:
            self._count(connection, 1)
        elif before is not Phase.NEW and phase is Phase.GONE:
            self._count(connection, -1)

    def _count(self, connection: Connection, by: int) -> None:
        self._open += by
        self._meter.connections = self._open
        if connection.peer is not None:
            self._per_peer[connection.peer] += by
            if not self._per_peer[connection.peer]:
                del self._per_peer[connection.peer]

    def _watch(self) -> None:
        """Set the timer for the first deadline."""
        if self._timer is None and self._reading:
            due = next(iter(self._reading)).since + self._bounds.header_timeout
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        latest = self._loop.time() - self._bounds.header_timeout
        for connection in list(islice(self._reading, LOOK_BATCH)):
            if connection.since > latest:
                break
            self._meter.count(CONNECTIONS_TIMED_OUT)
            connection.time_out()
        self._watch()  # at once, if more are due

    @property
    def middleware(self) -> Any:
        """Notes when a handler gets a request and when it is done with it; for an app of your own."""

        @web.middleware
        async def note(request: web.Request, handler: Any) -> web.StreamResponse:
            connection = self._by_protocol.get(request.protocol)
            if connection is None:
                answer: web.StreamResponse = await handler(request)
                return answer
            request[LINE] = connection
            connection.busy()
            try:
                answer = await handler(request)
            finally:
                self.enter(connection, Phase.IDLE)
            return answer

        return note


def _answer(problem: Problem) -> bytes:
    body = msgspec.json.encode(problem.body) + b"\n"
    headers = {
        "Content-Type": PROBLEM_JSON,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **problem.headers,
    }
    lines = [
        f"HTTP/1.1 {problem.status} {problem.code.status_text}",
        *map(": ".join, headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
