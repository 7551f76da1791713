from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import setup


async def agent(turn: Turn):
    for word in turn.text.split():  # whatever the host does: call a model, run tools
        turn.emit("delta", {"text": word + " "})  # synchronous; never waits for readers
        await turn.checkpoint()
    return "done"


app = web.Application()
setup(app, agent)  # or setup(app, {"default": agent, "coder": coder}, prefix="/ai", authenticate=who)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8000)
