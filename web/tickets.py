"""How an EventSource, which cannot send headers, says who it is: a ticket in the stream's URL."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from .access import CHALLENGE, Principal
from .problems import Problem

MAX_TICKETS = 10_000
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
        self._tickets: OrderedDict[str, _Ticket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tickets)

    def issue(self, principal: Principal, sessions: frozenset[str]) -> str:
        """A new ticket for these sessions. Raises `Problem` 422 and 429."""
        if len(sessions) > MAX_SESSIONS:
            detail = f"a ticket names at most {MAX_SESSIONS} sessions"
            raise Problem(422, "INVALID_REQUEST", detail, field="log_ids")
        self._expire()
        if len(self._tickets) >= MAX_TICKETS:
            headers = {"Retry-After": str(int(self._ttl) or 1)}
            raise Problem(429, "TOO_MANY_TICKETS", "too many tickets are out", headers=headers)
        name = secrets.token_urlsafe(24)
        self._tickets[name] = _Ticket(principal, sessions, self._clock() + self._ttl)
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
        try:
            yield ticket.principal
        finally:
            ticket.streams -= 1
            ticket.expires_at = self._clock() + self._ttl

    def _expire(self) -> None:
        now = self._clock()
        dead = [name for name, each in self._tickets.items() if not each.streams and each.expires_at <= now]
        for name in dead:
            del self._tickets[name]
