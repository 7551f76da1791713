"""A chat app of your own that talks to a model: start it with OPENAI_API_KEY, or OPENAI_BASE_URL, set."""

import os

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import OpenAIAgent, setup


def make_app() -> web.Application:
    model = OpenAIAgent(os.environ.get("MODEL", "gpt-4o-mini"), system="Answer in one sentence.")

    async def noted(turn: Turn) -> str:
        """An agent of your own around it: clients get its events in order with those of the model."""
        turn.emit("status", {"text": "thinking"})
        reply = await model(turn)
        turn.context.data["replies"] = turn.context.data.get("replies", 0) + 1
        return reply

    async def close(_app: web.Application) -> None:
        await model.aclose()  # its connections, when every turn has ended

    app = web.Application()
    setup(app, {"default": model, "noted": noted})
    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)
