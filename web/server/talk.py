"""How the server talks HTTP: as aiohttp does, but with our refusals, and a log that quotes no stranger."""

import logging
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.logger import one_entry
from turnkeeper.web.http.mount import problem_response
from turnkeeper.web.http.problems import Code, Problem

#: What an answer says of the server. Which versions it runs on is of use only to those who look for a hole.
SERVER = "turnkeeper"
#: What is the peer's doing: not HTTP, not encoded as it says, or gone in the middle.
PEERS_DOING = (HttpProcessingError, web.RequestPayloadError, ClientPayloadError, ConnectionError)


class Talk(web.RequestHandler):
    """aiohttp's protocol for one connection."""

    __slots__ = ("_meter",)

    def __init__(self, manager: web.Server, meter: Meter, **keywords: Any) -> None:
        """``meter`` counts what is refused; the keywords are aiohttp's own."""
        super().__init__(manager, **keywords)
        self._meter = meter

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP; aiohttp's own for all else."""
        if status != Code.MALFORMED_REQUEST.status:
            return super().handle_error(request, status, exc, message)
        self.log_exception("not HTTP from %s", request.remote, exc_info=exc)
        problem = Problem(Code.MALFORMED_REQUEST, "the request is not HTTP")
        response = problem_response(problem, self._meter)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


async def name_server(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Say in an answer which server it is from, but no versions. For ``on_response_prepare``."""
    response.headers["Server"] = SERVER


def http_logger() -> logging.Logger:
    """Where aiohttp notes what went wrong with a connection."""
    http = logging.getLogger("turnkeeper.http")
    http.addFilter(_one_line)
    http.addFilter(one_entry)
    return http


def _one_line(record: logging.LogRecord) -> bool:
    """Note what is the peer's doing in one line: a traceback would quote it, with the token in it."""
    error: Any = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, PEERS_DOING):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        peer = record.args[0] if isinstance(record.args, tuple) and record.args else "a peer"
        record.msg, record.args = "a request from %s is not HTTP: %s", (peer, type(error).__name__)
        record.exc_info = record.exc_text = None
    return True
