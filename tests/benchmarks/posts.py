"""Send and cancel over HTTP, beside a bare aiohttp handler that reads JSON and answers JSON."""

import time

from aiohttp import web

from tests.benchmarks.agents import waits
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import Round, compare
from tests.benchmarks.server import client, said, served
from turnkeeper.web import create_app

CONNECTIONS = 16


async def bare(request: web.Request) -> web.Response:
    """Read JSON, answer JSON."""
    body = await request.json()
    return web.json_response({"status": "ok", "message": body["message"]})


def _posting(port: int, requests: int, *paths: str) -> Round:
    async def measure() -> float:
        began = time.process_time()
        async with client("post", port, CONNECTIONS, requests, *paths) as out:
            assert await said(out) == b"done\n"
            return CONNECTIONS * requests / (time.process_time() - began)

    return measure


async def posts(size: Size) -> list[Figure]:
    """Requests in a second of the server's CPU: a send and its turn's cancel, on keep-alive connections."""
    requests = 2 * size.of(400)
    floor = web.Application()
    floor.router.add_post("/{session}", bare)
    async with served(floor) as floor_port, served(create_app(waits, pages=False, docs=False)) as port:
        found = await compare(
            _posting(floor_port, requests, "/session-{n}"),
            _posting(port, requests, "/chat/session-{n}/send", "/chat/session-{n}/cancel_send_task"),
            size.rounds,
        )
    return [
        Figure(
            f"HTTP send, then cancel ({CONNECTIONS} connections)",
            "requests/s",
            found.measured,
            found.floor,
            found.ratio,
        )
    ]
