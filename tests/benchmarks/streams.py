"""Events to many readers at once: ours, and one ``write`` per event and stream."""

import asyncio
import time

from aiohttp import web

from tests.benchmarks import aims
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import Round, compare
from tests.benchmarks.server import client, said, served
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import REGISTRY, create_app

WORD = {"text": "word"}
WIRE = b'event: word\ndata: {"text":"word"}\n\n'


class Bare:
    """Open streams, to each of which every event is written by itself."""

    def __init__(self) -> None:
        self._responses: list[web.StreamResponse] = []
        self._over = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_get("/events", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._responses.append(response)
        await self._over.wait()
        return response

    async def publish(self, bursts: int, burst: int) -> None:
        """Write the events, and give the loop a chance between bursts."""
        for _ in range(bursts):
            for _ in range(burst):
                for response in self._responses:
                    await response.write(WIRE)
            await asyncio.sleep(0)

    def close(self) -> None:
        """End the streams."""
        self._over.set()
        self._over = asyncio.Event()
        self._responses.clear()


def _on_the_floor(port: int, bare: Bare, count: int, bursts: int, burst: int) -> Round:
    async def measure() -> float:
        async with client("read", port, count, bursts * burst, "/events") as out:
            assert await said(out) == b"open\n"
            began = time.process_time()
            await bare.publish(bursts, burst)
            assert await said(out) == b"done\n"
            took = time.process_time() - began
            bare.close()
        return bursts * burst / took

    return measure


def _measured(port: int, app: web.Application, count: int, bursts: int, burst: int) -> Round:
    async def measure() -> float:
        async with client("read", port, count, bursts * burst, "/chat/session/events") as out:
            assert await said(out) == b"open\n"
            began = time.process_time()
            receipt = await app[REGISTRY].send("session", f"{bursts} {burst}")
            assert await said(out) == b"done\n"
            took = time.process_time() - began
            await receipt.ended()
        return bursts * burst / took

    return measure


async def _words(turn: Turn) -> None:
    bursts, burst = map(int, turn.text.split())
    for _ in range(bursts):
        for _ in range(burst):
            turn.emit("word", WORD)
        await asyncio.sleep(0)


async def streams(size: Size) -> list[Figure]:
    """Events that reach every one of the streams of a session, in a second of the server's CPU."""
    figures: list[Figure] = []
    count = size.of(200)
    bare, app = Bare(), create_app(_words, pages=False, docs=False)
    async with served(bare.app) as floor_port, served(app) as port:
        for burst, full, aim in ((1, 600, None), (16, 100, aims.BURSTS)):
            bursts = size.of(full)
            found = await compare(
                _on_the_floor(floor_port, bare, count, bursts, burst),
                _measured(port, app, count, bursts, burst),
                size.rounds,
            )
            what = f"events to each of {count} streams, {burst} at a time"
            figures.append(Figure(what, "events/s", found.measured, found.floor, found.ratio, aim))
    return figures
