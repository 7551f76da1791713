"""Tickets in a stream's URL, for an EventSource, which cannot send headers, to say who it is."""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from turnkeeper.actors.model.records import Asker
from turnkeeper.web.http.problems import Code, Problem

from .principal import CHALLENGE

#: How many tickets a user may hold at a time.
MAX_TICKETS = 1_000


@dataclass(slots=True)
class _Ticket:
    asker: Asker
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

    def issue(self, asker: Asker, sessions: frozenset[str]) -> str:
        """A new ticket for these sessions. Raises `Problem` 429."""
        self._expire()
        if self._held[asker.user] >= MAX_TICKETS:
            headers = {"Retry-After": str(int(self._ttl) or 1)}
            detail = f"a user has at most {MAX_TICKETS} tickets at a time"
            raise Problem(Code.TOO_MANY_TICKETS, detail, headers=headers)
        name = secrets.token_urlsafe(24)
        ticket = _Ticket(asker, sessions, self._clock() + self._ttl)
        self._tickets[name] = self._unused[name] = ticket
        self._held[asker.user] += 1
        return name

    @contextmanager
    def use(self, name: str, session: str) -> Generator[Asker]:
        """Who holds this ticket, while a stream of it is open. Raises `Problem` 401."""
        self._expire()
        ticket = self._tickets.get(name)
        if ticket is None or session not in ticket.sessions:
            detail = "the ticket is not valid for this session, or no longer valid"
            raise Problem(Code.UNAUTHORIZED, detail, headers=CHALLENGE)
        ticket.streams += 1
        self._unused.pop(name, None)
        try:
            yield ticket.asker
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
            self._held[ticket.asker.user] -= 1
            if not self._held[ticket.asker.user]:
                del self._held[ticket.asker.user]
