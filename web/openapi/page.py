"""The page that shows the OpenAPI document: Swagger UI, as it was published, and two small files of ours."""

from collections.abc import Iterator
from importlib import resources

#: Those of the page's files that are served, each with its type. The rest is there to be read.
SERVED = {
    "index.html": "text/html",
    "start.js": "text/javascript",
    "swagger-ui/swagger-ui.css": "text/css",
    "swagger-ui/swagger-ui-bundle.js": "text/javascript",
    "swagger-ui/favicon-32x32.png": "image/png",
}
#: As the chat page's, but for the pictures that stand in the style sheet itself.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def files() -> Iterator[tuple[str, str, bytes]]:
    """The page's files: the path of each below the page, its type, and what is in it."""
    folder = resources.files("turnkeeper.web.openapi")
    for name, content_type in SERVED.items():
        yield name, content_type, folder.joinpath(name).read_bytes()
