"""What users feel: many chats that stream their tokens, each to one reader, over real sockets.

Every token carries the moment it was emitted, by the clock that all processes of a machine share; the reader,
in a process of its own, compares it with the moment of its arrival. The server's work is counted in CPU time
of its process: the seconds that pass belong to whatever else the machine does, too.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web

from tests.benchmarks import aims
from tests.benchmarks.aims import Aim
from tests.benchmarks.figures import Failure, Figure, Row, Size, reason
from tests.benchmarks.rounds import alternately
from tests.benchmarks.server import client, said, served
from turnkeeper.actors.journal.where import AnyJournal
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import REGISTRY, create_app

SESSIONS = 300
#: Tokens a second in each session.
RATE = 30
#: For how many seconds a round streams.
SECONDS = 4
#: How busy the floor's core is when it is seen how late tokens come on a busy one.
BUSY = 0.7
PATH = "/chat/session-{n}/events"

#: What an agent, or what stands in for one, calls with each token.
Emit: TypeAlias = Callable[[Any], object]


class Load:
    """So many sessions, each of which streams so many tokens once all readers are there."""

    def __init__(self, sessions: int, tokens: int) -> None:
        self.sessions = [f"session-{n}" for n in range(sessions)]
        self.tokens = tokens
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def stream(self, session: str, emit: Emit) -> None:
        """Emit the tokens of a session, as irregularly as a model does, and stay until all have arrived."""
        chance = Random(session)
        loop = asyncio.get_running_loop()
        await self.begun.wait()
        due = loop.time()
        for _ in range(self.tokens):
            due += chance.uniform(0.0, 2.0) / RATE
            await asyncio.sleep(due - loop.time())
            emit({"text": "word", "at": time.monotonic_ns()})
        await self.over.wait()


class Way(NamedTuple):
    """An app that streams, and what starts the sessions of a load in it."""

    app: web.Application
    start: Callable[[Load], Awaitable[object]]


def ours(journal: AnyJournal | None = None) -> Way:
    """turnkeeper."""
    loads: list[Load] = []

    async def agent(turn: Turn) -> None:
        await loads[-1].stream(turn.session_id, lambda data: turn.emit("word", data))

    app = create_app(agent, pages=False, docs=False, journal=journal)

    async def start(load: Load) -> None:
        loads.append(load)
        for session in load.sessions:
            await app[REGISTRY].send(session, "hello")

    return Way(app, start)


class _Queues:
    """The usual way: a queue for each reader, from which its handler writes one event after the other."""

    def __init__(self) -> None:
        self._queues: dict[str, list[asyncio.Queue[Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.app = web.Application()
        self.app.router.add_get("/chat/{session}/events", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        queues = self._queues.setdefault(request.match_info["session"], [])
        queue: asyncio.Queue[Any] = asyncio.Queue()
        queues.append(queue)
        try:
            return await self.pass_on(request, queue)
        finally:
            queues.remove(queue)

    async def pass_on(self, request: web.Request, queue: asyncio.Queue[Any]) -> web.StreamResponse:
        """Write what comes through the queue, up to a ``None``."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        number = 0
        while (data := await queue.get()) is not None:
            text = f"id: {number}\nevent: word\ndata: {json.dumps(data)}\n\n"
            await response.write(text.encode())
            number += 1
        return response

    async def start(self, load: Load) -> None:
        """Start a task for each session."""
        self._tasks.clear()
        for session in load.sessions:
            queues = self._queues.setdefault(session, [])
            self._tasks.append(asyncio.create_task(self._run(load, session, queues)))

    async def _run(self, load: Load, session: str, queues: list[asyncio.Queue[Any]]) -> None:
        def emit(data: Any) -> None:
            for queue in queues:
                queue.put_nowait(data)

        await load.stream(session, emit)
        emit(None)


class _QueuesToSse(_Queues):
    """The same, with the response that the library `aiohttp-sse` provides.

    Raises `ImportError` if that is not installed: only the extra `bench` brings it.
    """

    def __init__(self) -> None:
        from aiohttp_sse import sse_response

        super().__init__()
        self._response = sse_response

    async def pass_on(self, request: web.Request, queue: asyncio.Queue[Any]) -> web.StreamResponse:
        """Send each by itself, which is the only way there is."""
        number = 0
        async with self._response(request) as response:
            while (data := await queue.get()) is not None:
                await response.send(json.dumps(data), id=str(number), event="word")
                number += 1
            return response


def _queueing(make: Callable[[], _Queues]) -> Way:
    queues = make()
    return Way(queues.app, queues.start)


FLOOR, OURS, LIBRARY = "a queue per reader", "turnkeeper", "aiohttp-sse"

#: All of them; the others are compared with ours.
WAYS: dict[str, Callable[[], Way]] = {
    OURS: ours,
    FLOOR: partial(_queueing, _Queues),
    LIBRARY: partial(_queueing, _QueuesToSse),
}


@dataclass(frozen=True)
class Felt:
    """What a round comes to: microseconds of CPU for each token, and from its emit to its arrival."""

    cpu: float
    p50: float
    p99: float


#: Runs a way with so many sessions.
Run: TypeAlias = Callable[[int], Awaitable[Felt]]


#: Why each way failed that did.
Failed: TypeAlias = dict[str, str]


@asynccontextmanager
async def _open(tokens: int, failed: Failed) -> AsyncIterator[dict[str, Run]]:
    """Every way that can be opened, served, to be run again and again with so many tokens a session."""
    async with AsyncExitStack() as stack:
        ways: dict[str, Run] = {}
        for name, make in WAYS.items():
            try:
                way = make()
            except ImportError as error:
                failed[name] = reason(error)
            else:
                ways[name] = run(way, await stack.enter_async_context(served(way.app)), tokens)
        yield ways


def run(way: Way, port: int, tokens: int) -> Run:
    """A way that is served on that port, with so many tokens a session."""

    async def measure(sessions: int) -> Felt:
        load = Load(sessions, tokens)
        try:
            async with client("tokens", port, sessions, tokens, PATH) as out:
                assert await said(out) == b"open\n"
                await way.start(load)
                await asyncio.sleep(0)
                began = time.process_time()
                load.begun.set()
                p50, p99 = json.loads(await said(out))
                cpu = time.process_time() - began
        finally:
            load.over.set()
        return Felt(cpu / (sessions * tokens) * 1e6, p50, p99)

    return measure


@dataclass(frozen=True)
class Found:
    """The rounds of each way, under what load, and why those failed that did."""

    load: str
    felt: dict[str, list[Felt]]
    failed: Failed

    def rows(
        self, what: str, unit: str, value: Callable[[Felt], float], aims: Mapping[str, Aim] | None = None
    ) -> list[Row]:
        """A row beside each of the others: the medians, and that of the ratios of the rounds."""
        values = {way: [value(each) for each in felt] for way, felt in self.felt.items()}
        ours = values.pop(OURS)
        aims = aims or {}
        rows: list[Row] = [
            Figure(
                f"{what}, {self.load}, beside {other}",
                unit,
                median(ours),
                median(theirs),
                median(a / b for a, b in zip(ours, theirs, strict=True)),
                aims.get(other),
            )
            for other, theirs in values.items()
        ]
        return rows + [
            Failure(f"{what}, {self.load}, beside {other}", why, aims.get(other))
            for other, why in self.failed.items()
        ]


def _cpu(felt: Felt) -> float:
    return felt.cpu


def _p50(felt: Felt) -> float:
    return felt.p50


def _p99(felt: Felt) -> float:
    return felt.p99


def _carried(felt: Felt) -> float:
    return 1e6 / RATE / felt.cpu


async def tokens(size: Size) -> list[Row]:
    """CPU for each token, the time from its emit to its arrival, and how many sessions a core carries.

    The CPU is the server's; the times are by the wall clock, as they are a wait.
    """
    failed: Failed = {}
    usual = size.of(SESSIONS)
    async with _open(size.of(RATE * SECONDS), failed) as ways:
        runs = {name: partial(run, usual) for name, run in ways.items()}
        felt = await alternately(runs, size.rounds, failed)
        if FLOOR in failed:
            raise RuntimeError(f"{FLOOR}: {failed[FLOOR]}")
        # As many as keep the floor's core busy to that part. The library's would be more than one can do.
        many = max(2, round(BUSY * median(map(_carried, felt[FLOOR]))))
        busy = await alternately({name: partial(ways[name], many) for name in (FLOOR, OURS)}, size.rounds)
    as_usual = Found(f"{usual} sessions x {RATE}/s", felt, failed)
    on_a_busy_core = Found(f"a core {BUSY:.0%} busy", busy, {})
    beside = {FLOOR: aims.TOKEN_BESIDE_QUEUE, LIBRARY: aims.TOKEN_BESIDE_LIBRARY}
    return [
        *as_usual.rows("CPU of a streamed token", "us", _cpu, beside),
        *as_usual.rows("such sessions on one core", "sessions", _carried),
        *as_usual.rows("emit -> client p50", "us", _p50),
        *as_usual.rows("emit -> client p99", "us", _p99),
        *on_a_busy_core.rows("emit -> client p50", "us", _p50),
        *on_a_busy_core.rows("emit -> client p99", "us", _p99, {FLOOR: aims.LATE}),
    ]
