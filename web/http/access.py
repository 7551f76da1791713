"""Who is asking, and what may they: principals, bearer tokens, and the loopback rule."""

import hmac
import inspect
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import Asker

from .problems import Problem

CHAT, ADMIN = "chat", "admin"
#: Who everyone is where nobody has to say who they are.
LOCAL_USER = "local"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="turnkeeper"'}
ONLY_HERE = "without tokens only this machine may ask: pass authenticate= or start with --token"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody, and what they may: ``chat`` is their own sessions, ``admin`` is everyone's."""

    user: str
    scopes: frozenset[str] = frozenset({CHAT})

    def __post_init__(self) -> None:
        """Refuse a name that no event could tell. Raises `TypeError` and `ValueError`."""
        user: Any = self.user  # hosts hand in anything
        if not isinstance(user, str):
            raise TypeError(f"a principal's user must be a text, not {type(user).__name__}")
        if not user.encode():  # it refuses lone surrogates
            raise ValueError("a principal's user must not be empty")

    @property
    def asker(self) -> Asker:
        """The same to the actors. Raises `Problem` 403 without a scope that counts here."""
        if not self.scopes & {CHAT, ADMIN}:
            raise Problem(403, "SCOPE_MISSING", "this needs the scope chat or admin")
        return Asker(self.user, ADMIN in self.scopes)


#: What a host plugs in: who sent this request, or ``None``. It may be a coroutine function.
Authenticate: TypeAlias = Callable[[web.Request], Principal | Awaitable[Principal | None] | None]


async def identify(authenticate: Authenticate, request: web.Request) -> Principal:
    """Who sent this request. Raises `Problem` 401."""
    answer = authenticate(request)
    principal = await answer if inspect.isawaitable(answer) else answer
    if principal is None:
        raise Problem(401, "UNAUTHORIZED", "a valid token is needed", headers=CHALLENGE)
    return principal


class Tokens:
    """Bearer tokens (RFC 6750) given as ``user:secret`` or ``user:secret:admin``."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [_parse_token(token) for token in tokens]
        if len({secrets[0] for secrets, _ in self._tokens}) < len(self._tokens):
            raise InvalidRequest("each token needs a secret of its own", field="token")

    def __len__(self) -> int:
        return len(self._tokens)

    def __call__(self, request: web.Request) -> Principal | None:
        """Who the request's token belongs to. Every token is compared, each in constant time."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        presented = given.strip().encode("utf-8", "surrogateescape")
        found: Principal | None = None
        for secrets, principal in self._tokens:
            for secret in secrets:
                if hmac.compare_digest(secret, presented):
                    found = principal
        return found


def _parse_token(token: str) -> tuple[tuple[bytes, ...], Principal]:
    user, _, rest = token.partition(":")
    secret, colon, role = rest.partition(":")
    if not user or not secret or (colon and role != ADMIN) or not token.isprintable() or " " in token:
        raise InvalidRequest("a token is user:secret or user:secret:admin", field="token")
    scopes = frozenset({CHAT, ADMIN}) if role == ADMIN else frozenset({CHAT})
    # A client may present the secret alone, or user:secret as it was given.
    return (secret.encode(), f"{user}:{secret}".encode(), token.encode()), Principal(user, scopes)


def read_tokens(path: str) -> list[str]:
    """The tokens in a file: one a line, blank lines and ``#`` comments aside. Raises `InvalidRequest`."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidRequest(f"cannot read the token file {path}: {why}", field="token_file") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def local_only(request: web.Request) -> Principal:
    """Everyone is `local` and may do everything, as long as both ends are this machine's.

    A page of somebody else's in this machine's browser is refused: its ``Origin`` is foreign, or, after
    DNS rebinding, its ``Host`` is. Another machine is refused whatever it says. Raises `Problem` 403.
    """
    if request.remote and not is_loopback(request.remote):  # it is empty for a Unix socket
        raise Problem(403, "FOREIGN_PEER", ONLY_HERE)
    host = request.headers.get("Host", "")
    if not is_loopback(_hostname(host)):
        raise Problem(403, "FOREIGN_HOST", ONLY_HERE)
    origin = request.headers.get("Origin")
    if origin is not None and _netloc(origin) != host.lower():
        raise Problem(403, "FOREIGN_ORIGIN", "without tokens only this server's own pages may ask")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Problem(403, "FOREIGN_ORIGIN", "without tokens only this server's own pages may ask")
    return Principal(LOCAL_USER, frozenset({CHAT, ADMIN}))


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine and no other."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families tells an IPv4 peer as ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
