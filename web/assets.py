"""The chat page and its files."""

from collections.abc import Awaitable, Callable
from importlib import resources

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


def add_pages(app: web.Application, prefix: str) -> None:
    """Serve the page at the prefix, and its files beside it. They are read once, here."""
    folder = resources.files("turnkeeper.web") / "pages"
    for file in folder.iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in CONTENT_TYPES:
            path = f"{prefix}/" if file.name == "index.html" else f"{prefix}/{file.name}"
            app.router.add_get(path, _serve(file.read_bytes(), CONTENT_TYPES[suffix]))
    if prefix:
        app.router.add_get(prefix, _add_slash)


async def _add_slash(request: web.Request) -> web.Response:
    # Relative, as everything on the page, so that it holds behind a proxy that maps the path.
    raise web.HTTPFound(request.path.rsplit("/", 1)[-1] + "/")


def _serve(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=SECURITY)

    return handle
