"""The OpenAPI document of the routes at ``/openapi.json``, and the page that shows it at ``/docs``."""

from functools import cache
from typing import Any

from aiohttp import web

from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.model.word import Word
from turnkeeper.web.openapi import page
from turnkeeper.web.openapi.document import document
from turnkeeper.web.openapi.operation import Who

from .access.tokens import Tokens
from .handlers import VERSION, method_not_allowed
from .mount import Handler, Mount, respond
from .problems import Code, ProblemBody
from .routes import TAGS, routes

ABOUT = """
Keeps the turns of chat sessions: at most one in flight, the truth for everyone who asks, and a stop that
stops.

A stream of events has no end, so this page cannot show one: `curl -N .../chat/s1/events` does.
"""
BESIDE = """
This server also speaks the protocols of clients that people have already. They are not described here: their
makers do that, and turnkeeper's guides say what of them is served.
"""
BEARER = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token, as `turnkeeper serve --token user:secret` takes it: `user:secret`.",
    }
}


@cache
def describe(*, tokens: bool, metrics: bool, spoken: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document: with ``tokens`` of a server that takes them, with ``metrics`` of one that shows them.

    ``spoken`` are the protocols that it speaks beside its own, and where. Their makers describe them: the
    document only names them.
    """
    about = ABOUT.strip()
    if spoken:
        about += f"\n\n{BESIDE.strip()}\n\n" + "\n".join(f"* {each}" for each in spoken)
    return document(
        routes(metrics=metrics),
        info={"title": "turnkeeper", "version": VERSION, "description": about},
        tags=TAGS,
        problem=ProblemBody,
        words={Code.__name__: Code, **{kind.__name__: kind for kind in Word.__subclasses__()}},
        security=BEARER if tokens else {},
    )


def _document(spoken: tuple[str, ...]) -> Handler:
    async def answer(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
        # A host's own way of knowing its users is not ours to describe.
        tokens = isinstance(mount.authenticate, Tokens)
        return respond(describe(tokens=tokens, metrics=mount.scrape is not None, spoken=spoken))

    return answer


def _file(body: bytes, content_type: str) -> Handler:
    charset = "utf-8" if content_type.startswith("text/") else None

    async def answer(_mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset=charset, headers=page.SECURITY)

    return answer


def add_docs(app: web.Application, prefix: str, mount: Mount, spoken: tuple[str, ...]) -> None:
    """Serve both under the prefix. No identity is needed, but the loopback rule holds."""
    handlers: dict[str, Handler] = {"/openapi.json": _document(spoken)}
    for name, content_type, body in page.files():
        handlers["/docs" if name == "index.html" else f"/docs/{name}"] = _file(body, content_type)
    for path, handler in handlers.items():
        app.router.add_get(prefix + path, mount.endpoint(handler, Who.VISITORS))
        refuse = mount.endpoint(method_not_allowed("GET, HEAD"), Who.VISITORS)
        app.router.add_route("*", prefix + path, refuse)
