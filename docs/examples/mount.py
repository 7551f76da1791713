"""A chat server of one's own that mounts turnkeeper under /ai, with its own users and two agents."""

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import REGISTRY, Principal, WebSettings, setup

KEYS = {"key-of-ada": "ada", "key-of-bob": "bob"}


async def talk(turn: Turn) -> str:
    """Answer, and remember the conversation."""
    turn.context.messages.append({"role": "user", "content": turn.text})
    answer = f"That was message {len(turn.context.messages)} of {turn.user}."
    turn.emit("delta", {"text": answer})
    return answer


async def shout(turn: Turn) -> str:
    """Another agent, for sends that name it."""
    turn.emit("delta", {"text": turn.text.upper()})
    return turn.text.upper()


def who(request: web.Request) -> Principal | None:
    """Say who sent the request: whatever the host has, a session cookie or a header."""
    user = KEYS.get(request.headers.get("X-Api-Key", ""))
    return Principal(user) if user else None


async def busy(request: web.Request) -> web.Response:
    """A route of the host's own that asks the registry."""
    active = await request.app[REGISTRY].active()
    return web.json_response({"busy_sessions": len(active)})


def make_app() -> web.Application:
    """The host's app."""
    app = web.Application()
    app.router.add_get("/busy", busy)
    setup(
        app,
        {"default": talk, "shout": shout},
        prefix="/ai",
        authenticate=who,
        settings=WebSettings(cancel_grace=3.0, turn_timeout=600.0),
    )
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)
