"""Who asks: a user with the scopes they have."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from turnkeeper.actors.model.records import Asker
from turnkeeper.web.http.problems import Code, Problem

CHAT, ADMIN, METRICS = "chat", "admin", "metrics"
#: Of these scopes, users need one, and what scrapes the figures.
_OF_USERS, _OF_SCRAPERS = frozenset({CHAT, ADMIN}), frozenset({METRICS, ADMIN})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="turnkeeper"'}


@dataclass(frozen=True, slots=True)
class Principal:
    """A user and their scopes: ``chat`` is for their own sessions, ``admin`` for everyone's.

    ``metrics`` is for ``/metrics`` and nothing else, for what scrapes it.

    With ``bounded=False`` only the totals of the settings hold for this user: for a service that speaks for
    many people.
    """

    user: str
    scopes: frozenset[str] = frozenset({CHAT})
    bounded: bool = True

    def __post_init__(self) -> None:
        """Refuse a name that JSON cannot carry. Raises `TypeError` and `ValueError`."""
        user: Any = self.user  # hosts hand in anything
        if not isinstance(user, str):
            raise TypeError(f"a principal's user must be a string, not {type(user).__name__}")
        if not user.encode():  # it refuses lone surrogates
            raise ValueError("a principal's user must not be empty")

    @property
    def asker(self) -> Asker:
        """The same for the actors. Raises `Problem` 403 without a scope that counts here."""
        if _OF_USERS.isdisjoint(self.scopes):
            raise Problem(Code.SCOPE_MISSING, "this needs the scope chat or admin")
        return Asker(self.user, ADMIN in self.scopes, self.bounded)

    def may_scrape(self) -> None:
        """Raise `Problem` 403 without a scope that shows the figures of the server."""
        if _OF_SCRAPERS.isdisjoint(self.scopes):
            raise Problem(Code.SCOPE_MISSING, "this needs the scope metrics or admin")


#: What a host plugs in: who sent this request, or ``None``. It may be a coroutine function.
Authenticate: TypeAlias = Callable[[web.Request], Principal | Awaitable[Principal | None] | None]


async def identify(authenticate: Authenticate, request: web.Request) -> Principal:
    """Who sent this request. Raises `Problem` 401."""
    found = authenticate(request)
    if found is not None and not isinstance(found, Principal):
        found = await found
    if found is None:
        raise Problem(Code.UNAUTHORIZED, "a valid token is needed", headers=CHALLENGE)
    return found
