"""A server of a host's own, run as a process: turnkeeper under ``/ai``, with agents that misbehave."""

import asyncio
import sys

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import WebSettings, setup
from turnkeeper.web.agents import echo
from turnkeeper.web.server import run

PREFIX = "/ai"
KEPT_EVENTS = 3_000
HOSTILE = (
    "<img src=x onerror=\"document.title='pwned'\">"
    "<script>document.title='pwned'</script><style>body{display:none}</style>"
    '<iframe srcdoc="<script>parent.document.title=1</script>"></iframe>&lt;b&gt;</p>'
)


async def hostile(turn: Turn) -> None:
    for start in range(0, len(HOSTILE), 7):
        turn.emit("delta", {"text": HOSTILE[start : start + 7]})
    turn.emit("delta", "not an object")


async def failing(_turn: Turn) -> None:
    raise ValueError("nobody's business")


async def late(turn: Turn) -> str:
    """Return, although it is cancelled."""
    turn.emit("delta", {"text": "working "})
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        turn.emit("delta", {"text": "and done"})
    return "done"


async def flood(turn: Turn) -> None:
    """Say more in one go than a reader's buffer holds: its stream ends in the middle of the turn."""
    for number in range(int(turn.text)):
        turn.emit("delta", {"text": f"{number} "})


def main() -> int:
    app = web.Application()
    agents = {"default": echo, "hostile": hostile, "failing": failing, "late": late, "flood": flood}
    settings = WebSettings(port=0, log_events=KEPT_EVENTS)
    setup(app, agents, prefix=PREFIX, pages=True, settings=settings)
    return run(app, settings, lambda address: print(address, flush=True))


if __name__ == "__main__":
    sys.exit(main())
