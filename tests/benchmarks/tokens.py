"""What users feel: many chats that stream their tokens, each to one reader, over real sockets.

Every token carries the moment it was emitted, by the clock that all processes of a machine share; the reader,
in a process of its own, compares it with the moment of its arrival. The server's work is counted in CPU time
of its process: the seconds that pass belong to whatever else the machine does, too.
"""

import asyncio
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web

from tests.benchmarks.figures import Aim, Figure, Size, ratio_at_most
from tests.benchmarks.rounds import alternately
from tests.benchmarks.server import client, served
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import REGISTRY, create_app

SESSIONS = 300
#: Tokens a second in each session.
RATE = 30
#: For how many seconds a round streams.
SECONDS = 5
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


def _ours() -> Way:
    loads: list[Load] = []

    async def agent(turn: Turn) -> None:
        await loads[-1].stream(turn.session_id, lambda data: turn.emit("word", data))

    app = create_app(agent, pages=False, docs=False)

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
    """The same, with the response that the library `aiohttp-sse` provides."""

    async def pass_on(self, request: web.Request, queue: asyncio.Queue[Any]) -> web.StreamResponse:
        from aiohttp_sse import sse_response  # only the extra `bench` brings it

        number = 0
        async with sse_response(request) as response:
            while (data := await queue.get()) is not None:
                await response.send(json.dumps(data), id=str(number), event="word")
                number += 1
            return response


def _a_queue() -> Way:
    queues = _Queues()
    return Way(queues.app, queues.start)


def _aiohttp_sse() -> Way:
    queues = _QueuesToSse()
    return Way(queues.app, queues.start)


FLOOR, OURS, LIBRARY = "a queue per reader", "turnkeeper", "aiohttp-sse"


def _ways() -> dict[str, Callable[[], Way]]:
    """All that are installed; the floor is the first."""
    ways: dict[str, Callable[[], Way]] = {FLOOR: _a_queue, OURS: _ours}
    if importlib.util.find_spec("aiohttp_sse"):
        ways[LIBRARY] = _aiohttp_sse
    return ways


@dataclass(frozen=True)
class Felt:
    """What a round comes to: microseconds of CPU for each token, and from its emit to its arrival."""

    cpu: float
    p50: float
    p99: float


#: Runs a way with so many sessions.
Run: TypeAlias = Callable[[int], Awaitable[Felt]]


@asynccontextmanager
async def _open(tokens: int) -> AsyncIterator[dict[str, Run]]:
    """Every way, served, to be run again and again with so many tokens a session."""
    async with AsyncExitStack() as stack:
        ways: dict[str, Run] = {}
        for name, make in _ways().items():
            way = make()
            ways[name] = _run(way, await stack.enter_async_context(served(way.app)), tokens)
        yield ways


def _run(way: Way, port: int, tokens: int) -> Run:
    async def run(sessions: int) -> Felt:
        load = Load(sessions, tokens)
        async with client("tokens", port, sessions, tokens, PATH) as out:
            assert await out.readline() == b"open\n"
            await way.start(load)
            await asyncio.sleep(0)
            began = time.process_time()
            load.begun.set()
            p50, p99 = json.loads(await out.readline())
            cpu = time.process_time() - began
            load.over.set()
        return Felt(cpu / (sessions * tokens) * 1e6, p50, p99)

    return run


def _figures(what: str, unit: str, found: dict[str, list[float]], aims: dict[str, Aim]) -> list[Figure]:
    """A row beside each of the others: the medians, and that of the ratios of the rounds."""
    return [
        Figure(
            f"{what}, beside {other}",
            unit,
            median(found[OURS]),
            median(values),
            median(ours / theirs for ours, theirs in zip(found[OURS], values, strict=True)),
            aims.get(other),
        )
        for other, values in found.items()
        if other != OURS
    ]


async def _compared(ways: dict[str, Run], sessions: int, rounds: int) -> dict[str, list[Felt]]:
    return await alternately({name: partial(run, sessions) for name, run in ways.items()}, rounds)


def _of(felt: dict[str, list[Felt]], value: Callable[[Felt], float]) -> dict[str, list[float]]:
    return {name: [value(each) for each in values] for name, values in felt.items()}


async def tokens(size: Size) -> list[Figure]:
    """CPU for each token, the time from its emit to its arrival, and how many sessions a core carries."""
    async with _open(size.of(RATE * SECONDS)) as ways:
        usual = size.of(SESSIONS)
        felt = await _compared(ways, usual, size.rounds)
        # As many as keep the floor's core busy to that part. The library's would be more than one can do.
        many = max(2, round(BUSY * 1e6 / RATE / median(_of(felt, lambda each: each.cpu)[FLOOR])))
        busy = await _compared({name: ways[name] for name in (FLOOR, OURS)}, many, size.rounds)
    load = f"{usual} sessions x {RATE}/s"
    cpu = {FLOOR: ratio_at_most(0.9), LIBRARY: ratio_at_most(0.75)}
    late = {FLOOR: ratio_at_most(0.6)}
    return [
        *_figures(f"CPU of a streamed token, {load}", "us", _of(felt, lambda each: each.cpu), cpu),
        *_figures(f"emit -> client p50, {load}", "us", _of(felt, lambda each: each.p50), {}),
        *_figures(f"emit -> client p99, {load}", "us", _of(felt, lambda each: each.p99), {}),
        *_figures(f"emit -> client p50, a core {BUSY:.0%} busy", "us", _of(busy, lambda each: each.p50), {}),
        *_figures(
            f"emit -> client p99, a core {BUSY:.0%} busy", "us", _of(busy, lambda each: each.p99), late
        ),
        *_figures("such sessions on one core", "sessions", _of(felt, lambda each: 1e6 / RATE / each.cpu), {}),
    ]
