"""Tickets in a stream's URL, for an EventSource, which cannot send headers, to say who it is."""

import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager

from turnkeeper.actors.admission.expiring import ExpiringTable
from turnkeeper.actors.model.records import Asker
from turnkeeper.web.http.problems import Code, Problem

from .principal import CHALLENGE

#: How many tickets a user may hold at a time.
MAX_TICKETS = 1_000


class Tickets:
    """The tickets of one server. A ticket lives while a stream of it is open, and ``ttl`` seconds after."""

    def __init__(self, ttl: float, clock: Callable[[], float], per_user: int = MAX_TICKETS) -> None:
        self._ttl = ttl
        self._clock = clock
        self._per_user = per_user
        self._table: ExpiringTable[str, tuple[Asker, frozenset[str]]] = ExpiringTable(ttl, per_user)

    def __len__(self) -> int:
        return len(self._table)

    def issue(self, asker: Asker, sessions: frozenset[str]) -> str:
        """A new ticket for these sessions. Raises `Problem` 429."""
        name = secrets.token_urlsafe(24)
        if not self._table.put(asker.user, name, (asker, sessions), self._clock()):
            headers = {"Retry-After": str(int(self._ttl) or 1)}
            detail = f"a user has at most {self._per_user} tickets at a time"
            raise Problem(Code.TOO_MANY_TICKETS, detail, headers=headers)
        return name

    @contextmanager
    def use(self, name: str, *sessions: str) -> Generator[Asker]:
        """Who holds this ticket, while a stream of it is open. Raises `Problem` 401."""
        asker, named = self._table.get(name, self._clock()) or (None, frozenset())
        if asker is None or not named.issuperset(sessions):
            detail = "the ticket is not valid for this session, or no longer valid"
            raise Problem(Code.UNAUTHORIZED, detail, headers=CHALLENGE)
        self._table.hold(name)
        try:
            yield asker
        finally:
            self._table.release(name, self._clock())
