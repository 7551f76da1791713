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
BEARER = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token, as `turnkeeper serve --token user:secret` takes it: `user:secret`.",
    }
}


@cache
def describe(*, tokens: bool, metrics: bool) -> dict[str, Any]:
    """The document: with ``tokens`` of a server that takes them, with ``metrics`` of one that shows them."""
    return document(
        routes(metrics=metrics),
        info={"title": "turnkeeper", "version": VERSION, "description": ABOUT.strip()},
        tags=TAGS,
        problem=ProblemBody,
        words={Code.__name__: Code, **{kind.__name__: kind for kind in Word.__subclasses__()}},
        security=BEARER if tokens else {},
    )


async def _openapi(mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
    # A host's own way of knowing its users is not ours to describe.
    return respond(describe(tokens=isinstance(mount.authenticate, Tokens), metrics=mount.scrape is not None))


def _file(body: bytes, content_type: str) -> Handler:
    charset = "utf-8" if content_type.startswith("text/") else None

    async def answer(_mount: Mount, _request: web.Request, _asker: Asker) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset=charset, headers=page.SECURITY)

    return answer


def add_docs(app: web.Application, prefix: str, mount: Mount) -> None:
    """Serve both under the prefix. No identity is needed, but the loopback rule holds."""
    handlers: dict[str, Handler] = {"/openapi.json": _openapi}
    for name, content_type, body in page.files():
        handlers["/docs" if name == "index.html" else f"/docs/{name}"] = _file(body, content_type)
    for path, handler in handlers.items():
        app.router.add_get(prefix + path, mount.endpoint(handler, Who.VISITORS))
        refuse = mount.endpoint(method_not_allowed("GET, HEAD"), Who.VISITORS)
        app.router.add_route("*", prefix + path, refuse)
