"""A bare app and ours in one process, which prints their two ports and serves until SIGTERM.

The bare one has a route by which the client, who knows what it asks for, sets the marks.
"""

import asyncio
import gc
import json
import signal

from aiohttp import web

from tests.benchmarks.agents import waits
from tests.benchmarks.instructions.marks import mark
from tests.benchmarks.posts import bare
from tests.benchmarks.server import served
from turnkeeper.web import WebSettings, create_app

#: Nothing ends because a counted process is slow, and nothing that goes by the clock is counted. What the
#: recorder costs has rows of its own.
SETTINGS = WebSettings(
    cancel_grace=60.0, idle_ttl=3_600.0, shutdown_deadline=60.0, slow_loop=0.0, record=False
)


async def _mark(_request: web.Request) -> web.Response:
    mark()
    return web.Response()


async def _serve() -> None:
    gc.disable()  # a collection would fall on whatever runs when it is due
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    floor = web.Application()
    floor.router.add_post("/mark", _mark)
    floor.router.add_post("/{session}", bare)
    app = create_app(waits, settings=SETTINGS, pages=False, docs=False)
    async with served(floor) as floor_port, served(app) as port:
        print(json.dumps([floor_port, port]), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
