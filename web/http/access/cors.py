"""Pages of other origins: which ones a browser lets read our answers (Fetch standard, section 3.2, CORS)."""

from collections.abc import Iterator

from aiohttp import web

from turnkeeper.web.http.settings import ANY_ORIGIN, HEADER_NAME

#: What a page may ask with: our methods, and the headers that our routes read. What else a browser asks about
#: is allowed as well: it does no harm, and may be a client's own, or what the host's `authenticate` reads.
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
HEADERS = ("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID")
#: What a page may read of an answer, beside its body: also what the clients of wires look for.
EXPOSED = "Allow, Location, Retry-After, Turnkeeper-Code, WWW-Authenticate, X-Should-Retry"
#: For how many seconds a browser may keep the answer to a preflight.
MAX_AGE = 600


class Cors:
    """The origins whose pages may use the API, and whether their requests may carry cookies.

    Nothing is refused here: it is the browser that keeps an answer from a page of another origin.
    """

    def __init__(self, origins: frozenset[str] = frozenset(), *, credentials: bool = False) -> None:
        self._origins = origins
        self._credentials = credentials

    def __bool__(self) -> bool:
        return bool(self._origins)

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this origin may."""
        return origin is not None and (ANY_ORIGIN in self._origins or origin.lower() in self._origins)

    def headers(self, request: web.Request) -> dict[str, str]:
        """What the answer to this request says to the browser."""
        if ANY_ORIGIN in self._origins:
            return {"Access-Control-Allow-Origin": ANY_ORIGIN, "Access-Control-Expose-Headers": EXPOSED}
        origin = request.headers.get("Origin")
        if origin is None or not self.allows(origin):
            return {"Vary": "Origin"}
        found = {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED,
        }
        return {**found, "Access-Control-Allow-Credentials": "true"} if self._credentials else found

    def preflight(self, request: web.Request) -> dict[str, str] | None:
        """What the answer to a preflight adds to that; ``None`` if it is none, or of another origin."""
        asks = "Access-Control-Request-Method" in request.headers
        if not asks or not self.allows(request.headers.get("Origin")):
            return None
        return {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ", ".join(dict.fromkeys([*HEADERS, *_asked_about(request)])),
            "Access-Control-Max-Age": str(MAX_AGE),
        }


def _asked_about(request: web.Request) -> Iterator[str]:
    """The headers that a preflight asks about, beside those that are allowed anyway."""
    usual = {name.lower() for name in HEADERS}
    for each in request.headers.get("Access-Control-Request-Headers", "").split(","):
        name = each.strip()
        if HEADER_NAME.fullmatch(name) and name.lower() not in usual:
            yield name
