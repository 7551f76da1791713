"""Send and cancel over HTTP, against a bare aiohttp handler that reads JSON and answers JSON."""

from aiohttp import web

from tests.benchmarks.agents import waits
from tests.benchmarks.figures import Figure, Size
from tests.benchmarks.rounds import Round, compare
from tests.benchmarks.server import client, served
from turnkeeper.web import create_app

CONNECTIONS = 16


async def bare(request: web.Request) -> web.Response:
    """Read JSON, answer JSON."""
    body = await request.json()
    return web.json_response({"status": "ok", "message": body["message"]})


def _posting(port: int, requests: int, *paths: str) -> Round:
    async def measure() -> float:
        async with client("post", port, CONNECTIONS, requests, *paths) as out:
            return float(await out.readline())

    return measure


async def posts(size: Size) -> list[Figure]:
    """Requests per second: a send and the cancel of its turn, by turns, on keep-alive connections."""
    requests = 2 * size.of(200)
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
