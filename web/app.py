"""setup(app, agents) and create_app(agents): routes, keys, and the registry's life in the app's."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar

from aiohttp import web

from turnkeeper.actors.journal.where import AnyJournal
from turnkeeper.actors.model.exceptions import AlreadyStarted, InvalidRequest
from turnkeeper.actors.model.functions import check_function
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.policy.said import PolicyFields
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime.patience import Patience
from turnkeeper.actors.session.settings import check_settings
from turnkeeper.actors.turn.agent import AnyAgent, LoadContext, OwnerOf, SaveContext
from turnkeeper.actors.turn.winding.hooks import OnInterrupt, OnRollback, OnTurnEnd
from turnkeeper.web.openapi.operation import TEXT, Who
from turnkeeper.web.pages.assets import add_pages

from .http import handlers
from .http.access.cors import Cors
from .http.access.loopback import LocalOnly
from .http.access.principal import Authenticate
from .http.access.tickets import Tickets
from .http.docs import add_docs
from .http.mount import MOUNTS, Handler, Mount, Scrape, preflight, share
from .http.problems import Code, Problem
from .http.routes import allowed_methods, routes
from .http.settings import ANY_ORIGIN, WebSettings, origins
from .http.several.table import SeveralStreams
from .http.single_process import WorkerLock
from .http.stream import Streams
from .http.uploads import Uploads
from .wires.speaking import WIRES, wires_named
from .wires.wire import add_wires, refuse_the_rest

#: Where an app keeps its registry: ``request.app[REGISTRY]``. With several mounts, the first one's.
REGISTRY: web.AppKey[SessionRegistry] = web.AppKey("turnkeeper.registry", SessionRegistry)


def setup(
    app: web.Application,
    agents: "AnyAgent | Mapping[str, AnyAgent]",
    *,
    prefix: str = "",
    authenticate: Authenticate | None = None,
    settings: WebSettings | None = None,
    pages: bool = False,
    docs: bool = False,
    metrics: bool = False,
    load_context: LoadContext | None = None,
    save_context: SaveContext | None = None,
    owner_of: OwnerOf | None = None,
    journal: AnyJournal | None = None,
    users: Mapping[str, PolicyFields] | None = None,
    on_interrupt: OnInterrupt | None = None,
    on_rollback: OnRollback | None = None,
    on_turn_end: OnTurnEnd | None = None,
    speaks: Sequence[str] = (),
) -> SessionRegistry:
    """Mount turnkeeper in an aiohttp app, under ``prefix``; the registry lives as long as the app.

    Without ``authenticate`` everyone is `local`, and only this machine may ask. ``pages=True`` adds the
    chat page at the prefix, ``docs=True`` the OpenAPI document and a page that shows it, at ``/openapi.json``
    and ``/docs``, ``metrics=True`` the figures for Prometheus, at ``/metrics``. Beside these only
    ``/chat...``, ``/healthz`` and ``/readyz`` are ours: nothing else of the host's is touched, no path, no
    middleware, no body limit.

    ``speaks`` are the other protocols that are spoken here, under the prefix: ``openai`` at ``/v1``, and
    ``ai-sdk``, of which `useChat` is a client, at ``/api/chat``.

    ``owner_of(log_id)`` says which user may open a session of that id, or ``None`` if any user may. It may be
    a coroutine function. The sends of all others are refused: 409 ``SESSION_ID_TAKEN``.

    ``journal`` is the path of a file in which sessions outlive the process. It is opened when the app starts,
    which raises `JournalNotOpened` where that cannot be done.

    ``users`` says how the turns of some users are run, by their names: each as an `Agent` says it of its own.

    ``on_interrupt(turn)`` is called with each turn that was stopped (an `InterruptedTurn`),
    ``on_rollback(turn)`` with each turn that is undone (an `UndoneTurn`), ``on_turn_end(record)`` with the
    record of each turn that was started, whatever its end. They may be coroutine functions; see
    `SessionRegistry`.

    Raises `AlreadyStarted` for a second mount under the same prefix, and `InvalidRequest` for a prefix
    that is not ``""`` or ``/like/this``, and for agents, functions and settings that could not work.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise InvalidRequest('prefix must be "" or like "/ai"', field="prefix")
    mounts = app.setdefault(MOUNTS, {})
    if prefix in mounts:
        raise AlreadyStarted(f"turnkeeper is mounted under {prefix or '/'!r} already")
    wires = wires_named(speaks)
    check_settings(settings, WebSettings)
    if authenticate is not None:
        check_function(authenticate, "authenticate", "a request")
    chosen = settings if settings is not None else WebSettings()
    if authenticate is None and ANY_ORIGIN in origins(chosen.allow_origin, "allow_origin"):
        text = "without users, allow_origin must name the origins: * would let every page do everything here"
        raise InvalidRequest(text, field="allow_origin")
    registry = SessionRegistry(
        agents,
        settings=chosen,
        load_context=load_context,
        save_context=save_context,
        owner_of=owner_of,
        journal=journal,
        users=users,
        on_interrupt=on_interrupt,
        on_rollback=on_rollback,
        on_turn_end=on_turn_end,
    )
    streams = Streams(chosen, registry.meter)
    tickets = Tickets(chosen.ticket_ttl, time.monotonic)
    uploads = Uploads(chosen, registry.meter)
    worker = WorkerLock(prefix, wanted=chosen.single_process)
    scrape = _scrape(registry, streams) if metrics else None
    cors = Cors(origins(chosen.allow_origin, "allow_origin"), credentials=chosen.allow_credentials)
    who = authenticate or LocalOnly(cors)
    layers, margin = registry.layers, handlers.CANCEL_MARGIN
    patience = Patience(lambda: layers.longest_grace + margin, CancelAnswer(Verdict.REQUESTED))
    mount = Mount(
        registry,
        chosen,
        who,
        streams,
        tickets,
        uploads,
        worker,
        cors,
        SeveralStreams(),
        patience,
        scrape,
    )
    if not mounts:
        app.on_shutdown.append(_drain)
    if cors and share not in app.on_response_prepare:
        app.on_response_prepare.append(share)
    mounts[prefix] = mount
    app.setdefault(REGISTRY, registry)
    _add_routes(app, prefix, mount)
    add_wires(app, prefix, mount, wires)
    if docs:
        add_docs(app, prefix, mount, tuple(f"{wire.clients} at `{prefix}{wire.base}`" for wire in wires))
    if pages:
        add_pages(app, prefix)

    async def live(_app: web.Application) -> AsyncIterator[None]:
        await worker.take()
        try:
            await registry.start()
            for wire in wires:
                if wire.on_start is not None:
                    await wire.on_start(registry)
            yield
            await registry.stop()
        finally:
            worker.give_back()
            if scrape is not None:
                scrape.close()
        streams.close()

    app.cleanup_ctx.append(live)
    return registry


class _NotInstalled:
    """Answers a scrape without the extra ``[metrics]``."""

    content_type: ClassVar = TEXT

    async def text(self) -> bytes:
        raise Problem(Code.METRICS_NOT_INSTALLED, "install turnkeeper[metrics] on the server")

    def close(self) -> None:
        pass


def _scrape(registry: SessionRegistry, streams: Streams) -> Scrape:
    try:
        from turnkeeper.web.metrics import collector, scrape
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        return _NotInstalled()
    codes = [code.value for code in Code]
    figures = collector.MetricsCollector(registry, handlers.VERSION, streams=streams.__len__, codes=codes)
    return scrape.Scrape(figures)


def _add_routes(app: web.Application, prefix: str, mount: Mount) -> None:
    """The routes, and behind them what refuses everything else on our paths."""

    def add(method: str, path: str, handler: Handler, who: Who = Who.USERS) -> None:
        endpoint = mount.endpoint(handler, who)
        app.router.add_route(method, prefix + path, endpoint, expect_handler=mount.expect)

    served = routes(metrics=mount.scrape is not None)
    for route in served:
        for method in route.methods:
            add(method, route.path, route.handler, route.who)
    if mount.cors:
        for path in dict.fromkeys(route.path for route in served):
            add("OPTIONS", path, preflight, Who.VISITORS)
    for path, allowed in allowed_methods(served).items():
        add("*", path, handlers.method_not_allowed(allowed))
    for path in ("/chat", "/chat/{rest:.*}"):
        add("*", path, handlers.not_found)


async def _drain(app: web.Application) -> None:
    """End all streams, before the cleanup, which waits for open connections.

    All mounts at once: none waits for the stubborn turns of another. A worker that replaces us may begin.
    """
    for mount in app[MOUNTS].values():
        mount.worker.give_back()
    await asyncio.gather(*(mount.registry.drain() for mount in app[MOUNTS].values()))
    for mount in app[MOUNTS].values():
        mount.several.end()


def create_app(
    agents: "AnyAgent | Mapping[str, AnyAgent]",
    *,
    authenticate: Authenticate | None = None,
    settings: WebSettings | None = None,
    pages: bool = True,
    docs: bool = True,
    metrics: bool = True,
    journal: AnyJournal | None = None,
    users: Mapping[str, PolicyFields] | None = None,
    speaks: Sequence[str] = tuple(WIRES),
) -> web.Application:
    """An app of its own: the chat page at ``/``, the API's documentation at ``/docs``, and ``/metrics``.

    It speaks all protocols that there are. What it does not serve below their paths is refused as their
    clients read it, so that routes which are added there later are never reached.
    """
    app = web.Application()
    setup(
        app,
        agents,
        authenticate=authenticate,
        settings=settings,
        pages=pages,
        docs=docs,
        metrics=metrics,
        journal=journal,
        users=users,
        speaks=speaks,
    )
    refuse_the_rest(app, "", app[MOUNTS][""], wires_named(speaks))
    return app
