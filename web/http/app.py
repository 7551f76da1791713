"""setup(app, agents) and create_app(agents): routes, keys, and the registry's life in the app's."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from turnkeeper.actors.model.exceptions import AlreadyStarted, InvalidRequest
from turnkeeper.actors.model.ids import RESERVED_IDS
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import AgentFunction, LoadContext, SaveContext
from turnkeeper.web.pages.assets import add_pages

from . import handlers
from .access import Authenticate, local_only
from .handlers import Desk, Handler
from .settings import WebSettings
from .stream import Streams
from .tickets import Tickets

#: Where an app keeps its registry: ``request.app[REGISTRY]``. With several mounts, the first one's.
REGISTRY: web.AppKey[SessionRegistry] = web.AppKey("turnkeeper.registry", SessionRegistry)
_MOUNTS: web.AppKey[dict[str, Desk]] = web.AppKey("turnkeeper.mounts", dict)

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/chat/active_send_tasks", handlers.all_active),
    ("POST", "/chat/cleanup_completed_tasks", handlers.cleanup),
    ("POST", "/chat/ticket", handlers.ticket),
    ("POST", "/chat/{log_id}/send", handlers.send),
    ("POST", "/chat/{log_id}/cancel_send_task", handlers.cancel_session),
    ("POST", "/chat/{log_id}/{task_id}/cancel", handlers.cancel),
    ("GET", "/chat/{log_id}/active_tasks", handlers.active),
    ("GET", "/chat/{log_id}/events", handlers.events),
    ("GET", "/chat/{log_id}/messages", handlers.messages),
    ("GET", "/chat/{log_id}/turns/{task_id}", handlers.turn),
    ("GET", "/chat/{log_id}", handlers.session),
    ("DELETE", "/chat/{log_id}", handlers.close),
    ("GET", "/healthz", handlers.health),
    ("GET", "/readyz", handlers.ready),
)


def setup(
    app: web.Application,
    agents: "AgentFunction | Mapping[str, AgentFunction]",
    *,
    prefix: str = "",
    authenticate: Authenticate | None = None,
    settings: WebSettings | None = None,
    pages: bool = False,
    load_context: LoadContext | None = None,
    save_context: SaveContext | None = None,
) -> SessionRegistry:
    """Mount turnkeeper in an aiohttp app, under ``prefix``; the registry lives as long as the app.

    Without ``authenticate`` everyone is `local`, and only this machine may ask. ``pages=True`` adds the
    chat page at the prefix. Nothing of the host's is touched: no middleware, no body limit.

    Raises `AlreadyStarted` for a second mount under the same prefix, and `InvalidRequest` for a prefix
    that is not ``""`` or ``/like/this``.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise InvalidRequest('prefix must be "" or like "/ai"', field="prefix")
    mounts = app.setdefault(_MOUNTS, {})
    if prefix in mounts:
        raise AlreadyStarted(f"turnkeeper is mounted under {prefix or '/'!r} already")
    chosen = settings if settings is not None else WebSettings()
    registry = SessionRegistry(agents, settings=chosen, load_context=load_context, save_context=save_context)
    streams = Streams(chosen)
    tickets = Tickets(chosen.ticket_ttl, time.monotonic)
    desk = Desk(registry, chosen, authenticate or local_only, streams, tickets)
    if not mounts:
        app.on_shutdown.append(_drain)
    mounts[prefix] = desk
    app.setdefault(REGISTRY, registry)
    for method, path, handler in ROUTES:
        if method == "GET":
            app.router.add_get(prefix + path, desk.route(handler), allow_head=handler is not handlers.events)
        else:
            app.router.add_route(method, prefix + path, desk.route(handler))
    for path, allowed in _methods().items():
        app.router.add_route("*", prefix + path, desk.route(handlers.method_not_allowed(allowed)))
    if pages:
        add_pages(app, prefix)

    async def live(_app: web.Application) -> AsyncIterator[None]:
        await registry.start()
        yield
        await registry.stop()
        streams.close()

    app.cleanup_ctx.append(live)
    return registry


async def _drain(app: web.Application) -> None:
    """Tell all streams, before cleanup, which waits for open connections.

    All mounts at once: none has to wait for another one's stubborn turns.
    """
    await asyncio.gather(*(desk.registry.drain() for desk in app[_MOUNTS].values()))


def _methods() -> dict[str, str]:
    """What may be asked of each path, for the others to be refused.

    A path whose last word is reserved has no entry: it is that word as an id that is refused.
    """
    methods: dict[str, list[str]] = {}
    for method, path, handler in ROUTES:
        if path.rsplit("/", 1)[-1] not in RESERVED_IDS or "{" in path:
            also = ["HEAD"] if method == "GET" and handler is not handlers.events else []
            methods.setdefault(path, []).extend([method, *also])
    return {path: ", ".join(names) for path, names in methods.items()}


def create_app(
    agents: "AgentFunction | Mapping[str, AgentFunction]",
    *,
    authenticate: Authenticate | None = None,
    settings: WebSettings | None = None,
    pages: bool = True,
) -> web.Application:
    """An app of its own, with the chat page at ``/``."""
    app = web.Application()
    setup(app, agents, authenticate=authenticate, settings=settings, pages=pages)
    return app
