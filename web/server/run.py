"""The server that `turnkeeper serve` runs: it listens, says where, and is gone when it should be."""

import asyncio
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType

from aiohttp import web

from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.logger import logger
from turnkeeper.web.app import REGISTRY
from turnkeeper.web.http.settings import WebSettings, addresses

from .access_log import AccessLog, access_logger
from .connections import Bounds, Connections
from .descriptors import complain_rarely, raise_limit
from .event_loop import run_to_its_end
from .garbage import Garbage, calm_the_collector
from .talk import Talk, http_logger, name_server

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: What is kept of the shutdown deadline for closing connections and the loop, in seconds: at most this,
#: and at most a quarter of the deadline.
MARGIN = 1.0
#: How long a peer whose request was refused may go on sending it before it is hung up on, in seconds. Hung up
#: on at once, it would not read the answer.
LINGER = 1.0
#: The exit status when something had to be abandoned.
FORCED = 70


def run(app: web.Application, settings: WebSettings, announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT, then shut down; a second signal ends it at once.

    ``announce`` gets the address once connections are taken. Returns 0, or ends the process itself with
    status 70 if something that cannot be stopped (a thread, a turn that ignores being cancelled) would
    keep it beyond ``shutdown_deadline`` seconds. Raises `OSError` if the address cannot be had. Belongs in
    the main thread, which is where signals arrive.
    """
    margin = min(MARGIN, settings.shutdown_deadline / 4)
    calm_the_collector()
    loop = asyncio.new_event_loop()
    # One of our own, because asyncio's waits without a limit for its threads, idle or not.
    executor = ThreadPoolExecutor(thread_name_prefix="turnkeeper")
    loop.set_default_executor(executor)
    stop = asyncio.Event()
    stopper = _Stopper(loop, stop, settings.shutdown_deadline)
    before = {number: signal.signal(number, stopper) for number in SIGNALS}
    try:
        run_to_its_end(loop, _serve(app, settings, announce, stop, margin))
        left = _cancel_all(loop, margin / 4)
        run_to_its_end(loop, loop.shutdown_asyncgens())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        if not asyncio.all_tasks(loop):
            loop.close()
        if not stop.is_set():
            for number, handler in before.items():
                signal.signal(number, handler)
    threads = _join_all(margin)
    if left or threads:
        logger.error("%d tasks and %d threads did not stop: ending the process", left, threads)
        _exit(FORCED)
    return 0


def why_not(error: OSError | UnicodeError) -> str:
    """Why an address cannot be had, in the same words on every Python."""
    reason = (getattr(error, "strerror", None) or str(error)).rsplit(": ", 1)[-1]
    return re.sub(r"^\[errno \d+\] ", "", reason, flags=re.IGNORECASE)  # as Python 3.13 says it


async def _serve(
    app: web.Application,
    settings: WebSettings,
    announce: Callable[[str], None],
    stop: asyncio.Event,
    margin: float,
) -> None:
    loop = asyncio.get_running_loop()
    complain_rarely(loop)
    room, backlog = raise_limit()
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=margin / 2)
    bounds = Bounds(
        in_all=room if settings.max_connections is None else min(room, settings.max_connections),
        per_peer=settings.connections_per_peer,
        header_timeout=settings.header_timeout,
        trusted=addresses(settings.trusted_proxies, "trusted_proxies"),
    )
    meter = app[REGISTRY].meter
    connections = Connections(loop, lambda: _talk(runner, settings, meter), bounds, meter)
    app.middlewares.append(connections.middleware)
    app.on_response_prepare.append(name_server)
    await runner.setup()
    directory = app[REGISTRY].directory
    garbage = Garbage(loop, lambda: not directory.active)
    garbage.start()
    try:
        site = _Site(runner, connections, settings, backlog)
        await site.start()
        announce(_address(runner))
        await stop.wait()
        await site.stop()
        await app[REGISTRY].drain(settings.shutdown_deadline - 2 * margin)
    finally:
        garbage.stop()
        await runner.cleanup()


def _talk(runner: web.AppRunner, settings: WebSettings, meter: Meter) -> Talk:
    assert runner.server is not None
    return Talk(
        runner.server,
        meter,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=settings.keep_alive,
        lingering_time=LINGER,
        access_log_class=AccessLog,
        access_log=access_logger() if settings.access_log else None,
        logger=http_logger(),
    )


class _Site(web.BaseSite):
    """Where the server listens: as aiohttp's own site, but with our connections in front of its protocol."""

    def __init__(
        self, runner: web.AppRunner, connections: Connections, settings: WebSettings, backlog: int
    ) -> None:
        super().__init__(runner, backlog=backlog)
        self._connections = connections
        self._settings = settings

    @property
    def name(self) -> str:
        """The address as it was asked for."""
        return f"http://{self._settings.host}:{self._settings.port}"

    async def start(self) -> None:
        """Listen. Raises `OSError` if the address cannot be had."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._connections, self._settings.host, self._settings.port, backlog=self._backlog
        )


class _Stopper:
    """Handles both signals, however often they come.

    Not asyncio's own way: its handlers run on the loop, which an agent may be blocking. This one runs in
    the main thread between two instructions of whatever holds it up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, deadline: float) -> None:
        self._loop = loop
        self._stop = stop
        self._deadline = deadline
        self._asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            _exit(FORCED)
        self._asked = True
        watchdog = threading.Timer(self._deadline, _exit, [FORCED])
        watchdog.daemon = True
        watchdog.start()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)


def _cancel_all(loop: asyncio.AbstractEventLoop, patience: float) -> int:
    """Cancel what still runs, once, and say how many did not stop. `asyncio.run` would wait for ever."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        run_to_its_end(loop, asyncio.wait(tasks, timeout=patience))
    return sum(not task.done() for task in tasks)


def _join_all(patience: float) -> int:
    """Let the threads wind up that would keep the process, and say how many did not."""
    until = time.monotonic() + patience
    threads = [
        each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon
    ]
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return sum(thread.is_alive() for thread in threads)


def _address(runner: web.AppRunner) -> str:
    host, port, *_ = runner.addresses[0]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _exit(status: int) -> None:
    try:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a pipe without a reader must not keep the process
                stream.flush()
    finally:
        os._exit(status)
