"""A wire: its name, its routes, and how it says that something is refused."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import hdrs, web

from turnkeeper.actors.model.value import value
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.web.http.call import Answering, Call, add_route
from turnkeeper.web.http.mount import Mount, Refuse
from turnkeeper.web.http.problems import Code, Problem, other_method

#: How much of a path an answer repeats.
_MOST_SHOWN: Final = 200


@value
class WireRoute:
    """One route of a wire."""

    method: str
    path: str
    answering: Answering


@value
class Wire:
    """A protocol that a server can speak beside turnkeeper's own."""

    name: str
    clients: str
    """Whose clients speak it, for people."""
    base: str
    """The path that its clients are pointed at."""
    routes: tuple[WireRoute, ...]
    refuse: Refuse
    """Writes a refusal as this wire's clients read it."""
    names_models: bool = False
    """Whether its clients choose among models, which are the agents here."""
    on_start: Callable[[SessionRegistry], Awaitable[None]] | None = None
    """Awaited when the registry has started, before any request is answered. It may not fail."""


def add_wires(app: web.Application, prefix: str, mount: Mount, wires: Iterable[Wire]) -> None:
    """Add the routes of these wires under the prefix of the mount.

    Each can be asked by pages of other origins where turnkeeper's own routes can.
    """
    for wire in wires:
        for route in wire.routes:
            add_route(app, mount, route.method, prefix + route.path, route.answering, wire.refuse)


def refuse_the_rest(app: web.Application, prefix: str, mount: Mount, wires: Iterable[Wire]) -> None:
    """Answer what these wires do not serve, as their clients read it: below their bases, all that is left.

    For an app whose only routes are turnkeeper's: a host's that are added later would never be reached.
    """
    for wire in wires:
        methods: defaultdict[str, list[str]] = defaultdict(list)
        for route in wire.routes:
            methods[route.path].append(route.method)
        for path, allowed in methods.items():
            add_route(app, mount, hdrs.METH_ANY, prefix + path, _only(", ".join(allowed)), wire.refuse)
        for path in (wire.base, wire.base + "/{rest:.*}"):
            add_route(app, mount, hdrs.METH_ANY, prefix + path, _not_served, wire.refuse)


def _only(allowed: str) -> Answering:
    async def refuse(_call: Call) -> web.StreamResponse:
        raise other_method(allowed)

    return refuse


async def _not_served(call: Call) -> web.StreamResponse:
    raise Problem(Code.NOT_FOUND, f"turnkeeper does not serve {call.request.path[:_MOST_SHOWN]}")
