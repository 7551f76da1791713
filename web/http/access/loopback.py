"""The rule of a server without tokens: only this machine may ask, and only by pages of this server."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from turnkeeper.web.http.problems import Code, Problem

from .cors import Cors
from .principal import ADMIN, CHAT, Principal

#: The user of every request to a server without tokens.
LOCAL_USER = "local"
#: All people on this machine are this one user.
EVERYONE = Principal(LOCAL_USER, frozenset({CHAT, ADMIN}), bounded=False)
ONLY_HERE = "without tokens, only this machine is served: pass authenticate= or start with --token"
ONLY_OURS = "without tokens, only this server's own pages may send requests, and those of allow_origin"
NOT_FORWARDED = "without tokens, requests through a proxy are refused: start with --token"
#: What proxies add to a request, beside ``X-Forwarded-`` and more.
_PROXY_HEADERS = frozenset({"forwarded", "via", "x-real-ip"})


class LocalOnly:
    """Everyone is `local` and may do everything, as long as both ends are on this machine.

    A page of another site in this machine's browser is refused: its ``Origin`` is foreign, or, after
    DNS rebinding, its ``Host`` is. Another machine is refused whatever it says, and so is a proxy on this
    machine, behind which anyone may be. ``cors`` names the pages of other origins that are not refused.
    """

    def __init__(self, cors: Cors) -> None:
        self._cors = cors

    def __call__(self, request: web.Request) -> Principal:
        """Who asks. Raises `Problem` 403."""
        if request.remote and not is_loopback(request.remote):  # it is empty for a Unix socket
            raise Problem(Code.FOREIGN_PEER, ONLY_HERE)
        host = request.headers.get("Host", "")
        if not _names_loopback(host):
            raise Problem(Code.FOREIGN_HOST, ONLY_HERE)
        if any(map(_of_a_proxy, request.headers)):
            raise Problem(Code.FORWARDED, NOT_FORWARDED)
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if not self._cors.allows(origin):
            if origin is not None and _netloc(origin) != host.lower():
                raise Problem(Code.FOREIGN_ORIGIN, ONLY_OURS)
            # A page on another port of this machine is of the same site, and a GET of its carries no Origin.
            if site == "cross-site" or (site == "same-site" and origin is None):
                raise Problem(Code.FOREIGN_ORIGIN, ONLY_OURS)
        return EVERYONE


# They are asked of the same few names with every request, and an address is dear to parse.


@lru_cache(maxsize=256)
def _of_a_proxy(header: str) -> bool:
    """Whether proxies add a header of this name."""
    name = header.lower()
    return name in _PROXY_HEADERS or name.startswith("x-forwarded-")


@lru_cache(maxsize=64)
def _names_loopback(host: str) -> bool:
    """Whether the host of a ``Host`` header, with or without a port, is this machine."""
    try:
        return "@" not in host and is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine and no other."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families shows an IPv4 peer as ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
