"""A chat server of one's own whose chats outlive it, with bounds of its own on how much is kept."""

from pathlib import Path

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import WebSettings, setup

DAY = 24 * 3600


async def count(turn: Turn) -> None:
    """Say how many messages there were before this one, also before a restart."""
    turn.emit("delta", {"text": f"You have said {len(turn.context.messages) // 2} things before."})


def make_app(path: Path) -> web.Application:
    """The host's app. Chats are in that file, which is made if there is none."""
    app = web.Application()
    settings = WebSettings(
        history_age=90 * DAY,  # a chat that has not been used for that long is forgotten
        history_sessions=1_000,  # of one user
        history_bytes=100_000_000,  # of one user
        history_bytes_in_all=10_000_000_000,
    )
    setup(app, count, journal=path, settings=settings)
    return app


if __name__ == "__main__":
    web.run_app(make_app(Path("turnkeeper.db")), host="127.0.0.1", port=8000)
