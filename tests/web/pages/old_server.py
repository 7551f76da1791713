"""A host whose users have an old chat page: the page, and an agent that emits what it listens for.

The only argument is the `close_on` of its mount. By itself an EventSource comes back after an hour: what it
gets after a Stop in a test, it gets because it was asked to come back at once.
"""

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import WebSettings, setup
from turnkeeper.web.server.run import run

HOUR = 3600.0
#: Where the agent waits until a message to `go_on` lets it go on.
HALT = "HALT"
PAGE = Path(__file__).with_name("old_client.html")

may_go_on: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def talk(turn: Turn) -> None:
    """Do what the message says, word by word, and say at the end that it was all."""
    for word in turn.text.split():
        match word:
            case "run":
                turn.emit("running_command", {"command": "ls"})
                turn.emit("command_result", {"command": "ls", "result": "a b"})
            case "draw":
                turn.emit("image", {"url": "a.png"})
            case "confide":
                turn.emit("backend_user_message", {"content": "between us"})
            case "fail":
                turn.emit("system_error", {"error": "no such tool"})
                raise LookupError("no such tool")
            case "HALT":
                may_go_on[turn.session_id].clear()
                await may_go_on[turn.session_id].wait()
            case _:
                turn.emit("partial_command", {"command": "say", "params": {"text": word}})
    turn.emit("finished_chat", {})


async def go_on(turn: Turn) -> None:
    """Let the turn of the session with this name go on."""
    may_go_on[turn.text].set()


async def page(_request: web.Request) -> web.Response:
    return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")


def main() -> int:
    app = web.Application()
    app.router.add_get("/old", page)
    settings = WebSettings(port=0, retry=HOUR, close_on=sys.argv[1])
    setup(app, {"default": talk, "go_on": go_on}, settings=settings)
    return run(app, settings, lambda address: print(address, flush=True))


if __name__ == "__main__":
    sys.exit(main())
