"""How an EventSource, which cannot send headers, says who it is: a ticket in the stream's URL."""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from .access import CHALLENGE, Principal
from .problems import Problem

#: How many tickets a user may have out, and how many sessions each may name.
MAX_TICKETS = 1_000
MAX_SESSIONS = 100


@dataclass(slots=True)
class _Ticket:
    principal: Principal
    sessions: frozenset[str]
    expires_at: float
    streams: int = 0


class Tickets:
    """The tickets of one server. A ticket lives while a stream of it is open, and ``ttl`` seconds after."""

    def __init__(self, ttl: float, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}
        #: Those without a stream. All live equally long, so the first to expire is the first of them.
        self._unused: OrderedDict[str, _Ticket] = OrderedDict()
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(self, principal: Principal, sessions: frozenset[str]) -> str:
        """A new ticket for these sessions. Raises `Problem` 422 and 429."""
        if len(sessions) > MAX_SESSIONS:
            detail = f"a ticket names at most {MAX_SESSIONS} sessions"
            raise Problem(422, "INVALID_REQUEST", detail, field="log_ids")
        self._expire()
        if self._held[principal.user] >= MAX_TICKETS:
            headers = {"Retry-After": str(int(self._ttl) or 1)}
            raise Problem(429, "TOO_MANY_TICKETS", "too many of your tickets are out", headers=headers)
        name = secrets.token_urlsafe(24)
        ticket = _Ticket(principal, sessions, self._clock() + self._ttl)
        self._tickets[name] = self._unused[name] = ticket
        self._held[principal.user] += 1
        return name

    @contextmanager
    def use(self, name: str, session: str) -> Generator[Principal]:
        """Who holds this ticket, while a stream of it is open. Raises `Problem` 401."""
        self._expire()
        ticket = self._tickets.get(name)
        if ticket is None or session not in ticket.sessions:
            detail = "this ticket is not valid for this session, or no longer"
            raise Problem(401, "UNAUTHORIZED", detail, headers=CHALLENGE)
        ticket.streams += 1
        self._unused.pop(name, None)
        try:
            yield ticket.principal
        finally:
            ticket.streams -= 1
            if not ticket.streams:
                ticket.expires_at = self._clock() + self._ttl
                self._unused[name] = ticket

    def _expire(self) -> None:
        now = self._clock()
        while self._unused:
            name, ticket = next(iter(self._unused.items()))
            if ticket.expires_at > now:
                return
            del self._unused[name], self._tickets[name]
            self._held[ticket.principal.user] -= 1
            if not self._held[ticket.principal.user]:
                del self._held[ticket.principal.user]
