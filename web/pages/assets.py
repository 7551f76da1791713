"""The chat page and its files."""

from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def files() -> Iterator[tuple[str, bytes]]:
    """The page's files: the path of each below the page, and its content."""
    yield from _below(resources.files("turnkeeper.web.pages"), "")


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each, f"{path}{each.name}/")
        elif _suffix(each.name) in CONTENT_TYPES:
            yield f"{path}{each.name}", each.read_bytes()


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def add_pages(app: web.Application, prefix: str) -> None:
    """Serve the page at the prefix, and its files beside it. They are read once, here."""
    for path, body in files():
        where = "" if path == "index.html" else path
        app.router.add_get(f"{prefix}/{where}", _serve(body, CONTENT_TYPES[_suffix(path)]))
    if prefix:
        app.router.add_get(prefix, _add_slash)


async def _add_slash(request: web.Request) -> web.Response:
    # Relative, like everything on the page, so that it works behind a proxy that maps the path.
    raise web.HTTPFound(request.path.rsplit("/", 1)[-1] + "/")


def _serve(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=SECURITY)

    return handle
