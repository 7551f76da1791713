"""One mount: what its handlers work with, who may reach them, and what becomes of what they raise."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, assert_never

from aiohttp import web

from turnkeeper.actors.model.ids import session_id
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.registry.front import SessionRegistry

from .access.principal import Authenticate, identify
from .access.tickets import Tickets
from .parameters import TICKET
from .problems import problem_response
from .settings import WebSettings
from .stream import Streams

#: One function per route. A route that asks nobody who they are gets `NOBODY`.
Handler: TypeAlias = Callable[["Mount", web.Request, Asker], Awaitable[web.StreamResponse]]
#: A handler as aiohttp wants it.
Endpoint: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Who asks where it does not matter.
NOBODY = Asker("")


class Who(Enum):
    """Who may reach a route."""

    ANYONE = auto()
    """No identity is asked for."""
    USERS = auto()
    """Users with the scope `chat`, for their own sessions, or `admin`, for everyone's."""
    TICKETS = auto()
    """The same, or the holder of a ticket for the session."""


@dataclass(frozen=True, slots=True)
class Mount:
    """What the handlers of one mount work with."""

    registry: SessionRegistry
    settings: WebSettings
    authenticate: Authenticate
    streams: Streams
    tickets: Tickets

    def endpoint(self, handler: Handler, who: Who) -> Endpoint:
        """The handler for those who may reach it; what it raises becomes a problem body."""
        match who:
            case Who.ANYONE:
                answer = self._answer_anyone
            case Who.USERS:
                answer = self._answer_user
            case Who.TICKETS:
                answer = self._answer_ticket
            case _:
                assert_never(who)

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await answer(handler, request)
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001 - the log gets whatever it is
                return problem_response(error)

        return handle

    async def _answer_anyone(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        return await handler(self, request, NOBODY)

    async def _answer_user(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        return await handler(self, request, (await identify(self.authenticate, request)).asker)

    async def _answer_ticket(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        ticket = TICKET.of(request)
        if ticket is None or "Authorization" in request.headers:
            return await self._answer_user(handler, request)
        with self.tickets.use(ticket, session_id(request.match_info["log_id"])) as asker:
            return await handler(self, request, asker)
