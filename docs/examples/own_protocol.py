"""A protocol of a host's own: `POST /say` answers with the words of one turn, one JSON text an event."""

from collections.abc import Iterator
from typing import Any, TypedDict

from aiohttp import web

from turnkeeper.actors import Turn
from turnkeeper.web import Call, Problem, route, setup
from turnkeeper.web.wires import Ended, JsonEvents, Said, StreamClosed, Text, said


class Order(TypedDict):
    """The body of a request."""

    chat: str
    text: str


def words(said: Said | StreamClosed) -> Iterator[Any]:
    """What the client of this protocol is to know of a turn."""
    match said:
        case Text(text=text):
            yield text
        case Ended(code=code):
            yield {"end": code}
        case StreamClosed(why=why):
            yield {"end": why}
        case _:
            pass  # tools and the like are nothing to these clients


async def say(call: Call) -> web.StreamResponse:
    """Send a message, and stream its turn; where the client hangs up, the turn is stopped."""
    order = await call.json(Order)
    reader = await call.run(order["chat"], order["text"])
    return await call.stream(reader, JsonEvents(words))


async def ask(call: Call) -> web.StreamResponse:
    """The same for a client that wants the whole answer at the end."""
    order = await call.json(Order)
    reader = await call.run(order["chat"], order["text"])
    texts: list[str] = []
    async for batch in call.events(reader):
        texts += [each.text for each in map(said, batch) if isinstance(each, Text)]
    return web.json_response({"text": "".join(texts)})


async def stop(call: Call) -> web.StreamResponse:
    """Stop whatever the chat does, and say what came of it."""
    answer = await call.cancel(call.request.match_info["chat"])
    return web.json_response({"stopped": answer.verdict})


def refuse(problem: Problem) -> web.Response:
    """A refusal, as the clients of this protocol know it."""
    return web.json_response({"oops": problem.code, "why": problem.detail}, status=problem.status)


async def echo(turn: Turn) -> None:
    """Say the words of the message one by one."""
    for word in turn.text.split():
        turn.emit("delta", {"text": f"{word} "})
        await turn.checkpoint()


def make_app() -> web.Application:
    """An app that speaks this protocol beside turnkeeper's own."""
    app = web.Application()
    setup(app, echo)
    route(app, "POST", "/say", say, refuse=refuse)
    route(app, "POST", "/ask", ask, refuse=refuse)
    route(app, "POST", "/stop/{chat}", stop, refuse=refuse)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)
