"""Bearer tokens: `turnkeeper serve --token`, a variable, or a file."""

import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiohttp import web

from turnkeeper.actors.model.exceptions import InvalidRequest

from .principal import ADMIN, CHAT, METRICS, Principal

#: What a token may do, by what it ends with.
ROLES: Mapping[str | None, frozenset[str]] = {
    None: frozenset({CHAT}),
    ADMIN: frozenset({CHAT, ADMIN}),
    METRICS: frozenset({METRICS}),
}


class Tokens:
    """Bearer tokens (RFC 6750) given as ``user:secret``, ``user:secret:admin`` or ``user:secret:metrics``."""

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
    scopes = ROLES.get(role if colon else None)
    if not user or not secret or scopes is None or not token.isprintable() or " " in token:
        text = "a token is user:secret, user:secret:admin or user:secret:metrics"
        raise InvalidRequest(text, field="token")
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
