"""One mount: what its handlers work with, who may reach them, and what becomes of what they raise."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, assert_never

from aiohttp import HttpVersion11, web

from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime.patience import Patience
from turnkeeper.web.openapi.operation import JSON, PROBLEM_JSON, Who

from .access.cors import Cors
from .access.loopback import LocalOnly
from .access.principal import Authenticate, identify
from .access.tickets import Tickets
from .codec import encode
from .parameters import LAST_EVENT_ID, LAST_EVENT_ID_QUERY, LOG_ID, LOG_IDS, TICKET
from .problems import Code, Problem, problem_of
from .settings import WebSettings
from .several.cursors import decode_cursors, followed
from .several.table import SeveralStreams
from .single_process import WorkerLock
from .stream import Streams
from .uploads import Uploads

#: One function per route. A route that asks for no identity gets `UNIDENTIFIED`.
Handler: TypeAlias = Callable[["Mount", web.Request, Asker], Awaitable[web.StreamResponse]]
#: A handler as aiohttp wants it.
Endpoint: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Writes a refusal as the answer that a wire protocol has for it.
Refuse: TypeAlias = Callable[[Problem], web.Response]

#: What is one user's is neither stored on the way nor taken for a page.
UNSEEN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
#: The headers of every answer of that type.
_SAID = {media: {"Content-Type": f"{media}; charset=utf-8", **UNSEEN} for media in (JSON, PROBLEM_JSON)}
#: Where a request carries what its answer says to a browser about pages of other origins.
SHARED: web.RequestKey[dict[str, str]] = web.RequestKey("turnkeeper.shared", dict)
#: Who asks where it does not matter who does.
UNIDENTIFIED = Asker("")


class Scrape(Protocol):
    """The figures of a registry and its process, as text."""

    #: The format of the text.
    content_type: ClassVar[str]

    async def text(self) -> bytes:
        """The figures as they are now. Raises `Problem` where that cannot be said."""
        ...

    def close(self) -> None:
        """They are not asked for any more."""
        ...


@dataclass(frozen=True, slots=True)
class Mount:
    """What the handlers of one mount work with."""

    registry: SessionRegistry
    settings: WebSettings
    authenticate: Authenticate
    streams: Streams
    tickets: Tickets
    uploads: Uploads
    worker: WorkerLock
    cors: Cors
    several: SeveralStreams
    patience: Patience[CancelAnswer]
    """For how long a cancel is waited for."""
    scrape: Scrape | None = None
    """What answers at ``/metrics``; ``None`` if the mount has no such path."""

    def endpoint(self, handler: Handler, who: Who, refuse: Refuse | None = None) -> Endpoint:
        """The handler for those who may reach it; what it raises becomes what ``refuse`` makes of it.

        By default that is a problem body.
        """
        match who:
            case Who.ANYONE:
                answer = self._answer_anyone
            case Who.VISITORS:
                answer = self._answer_visitor
            case Who.USERS:
                answer = self._answer_user
            case Who.TICKETS:
                answer = self._answer_ticket
            case Who.SCRAPERS:
                answer = self._answer_scraper
            case _:
                assert_never(who)

        async def handle(request: web.Request) -> web.StreamResponse:
            if self.cors:
                request[SHARED] = self.cors.headers(request)
            try:
                return await answer(handler, request)
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - the log gets whatever it is
                return problem_response(error, self.registry.meter, refuse)

        return handle

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Answer an ``Expect`` header (RFC 9110 section 10.1.1): only ``100-continue`` can be met."""
        if request.version < HttpVersion11:
            return None
        if request.headers["Expect"].lower() != "100-continue":
            problem = Problem(Code.EXPECTATION_FAILED, "Expect may only be 100-continue")
            return problem_response(problem, self.registry.meter)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own: the answer itself has not begun
        return None

    async def _answer_anyone(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        return await handler(self, request, UNIDENTIFIED)

    async def _answer_visitor(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        if isinstance(self.authenticate, LocalOnly):
            self.authenticate(request)
        return await handler(self, request, UNIDENTIFIED)

    async def _answer_user(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        return await handler(self, request, (await identify(self.authenticate, request)).asker)

    async def _answer_ticket(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        ticket = TICKET.of(request)
        if ticket is None or "Authorization" in request.headers:
            # Not by way of `_answer_user`: every open stream would keep one coroutine more.
            return await handler(self, request, (await identify(self.authenticate, request)).asker)
        with self.tickets.use(ticket, *sessions_of(request)) as asker:
            return await handler(self, request, asker)

    async def _answer_scraper(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        (await identify(self.authenticate, request)).may_scrape()
        return await handler(self, request, UNIDENTIFIED)


def cursors_of(request: web.Request) -> dict[SessionId, str]:
    """The sessions that a stream of several is to follow, and where each goes on. Raises `InvalidRequest`."""
    # A reconnecting EventSource keeps its old URL, so its header is the newer of the two.
    last = LAST_EVENT_ID.of(request) or LAST_EVENT_ID_QUERY.of(request)
    return followed(LOG_IDS.of(request), decode_cursors(last))


def sessions_of(request: web.Request) -> tuple[SessionId, ...]:
    """The sessions that a request for a stream is about. Raises `InvalidRequest`."""
    return (LOG_ID.of(request),) if LOG_ID.name in request.match_info else tuple(cursors_of(request))


async def share(request: web.Request, response: web.StreamResponse) -> None:
    """Say to the browser which pages may read this answer, if it is one of ours."""
    response.headers.extend(request.get(SHARED, {}))


async def preflight(mount: Mount, request: web.Request, _asker: Asker) -> web.StreamResponse:
    """The answer to a browser that asks on behalf of a page of another origin."""
    headers = mount.cors.preflight(request)
    if headers is None:
        raise Problem(Code.FOREIGN_ORIGIN, "OPTIONS is for the preflights of pages that allow_origin names")
    return web.Response(status=204, headers=headers)


def respond(
    answer: Any, status: int = 200, headers: Mapping[str, str] | None = None, media: str = JSON
) -> web.Response:
    """An answer of one of the types in `codec`, as JSON."""
    said = _SAID[media] if headers is None else {**_SAID[media], **headers}
    return web.Response(status=status, body=encode(answer), headers=said)


def problem_response(error: BaseException, meter: Meter, refuse: Refuse | None = None) -> web.Response:
    """The answer to a request that ended with this exception. It is counted."""
    problem = problem_of(error)
    meter.refuse(problem.code)
    response = _problem_body(problem) if refuse is None else refuse(problem)
    if problem.headers.get("Connection") == "close":
        response.force_close()  # the header alone would leave the connection open
    return response


def _problem_body(problem: Problem) -> web.Response:
    return respond(problem.body, problem.status, problem.headers, PROBLEM_JSON)


#: Where an app keeps its mounts, by their prefixes.
MOUNTS: web.AppKey[dict[str, Mount]] = web.AppKey("turnkeeper.mounts", dict)
