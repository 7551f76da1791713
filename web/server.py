"""The server that `turnkeeper serve` runs: it listens, says where, and is gone when it should be."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from aiohttp import web

from .app import REGISTRY
from .settings import WebSettings

logger = logging.getLogger("turnkeeper")

#: What is kept of the shutdown deadline for closing connections and the loop.
MARGIN = 1.0
FORCED = 70


def run(app: web.Application, settings: WebSettings, announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT, then shut down; a second signal ends it at once.

    ``announce`` gets the address once connections are taken. Returns 0, or ends the process itself with
    status 70 if something that cannot be stopped (a thread, a turn that ignores being cancelled) would
    keep it beyond ``shutdown_deadline`` seconds. Raises `OSError` if the address cannot be had.
    """
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_serve(app, settings, announce))
        left = _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        if not asyncio.all_tasks(loop):
            loop.close()
    threads = [
        each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon
    ]
    if left or threads:
        logger.error("%d tasks and %d threads did not stop: ending the process", left, len(threads))
        _exit(FORCED)
    return 0


async def _serve(app: web.Application, settings: WebSettings, announce: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=MARGIN / 2, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, stop, settings.shutdown_deadline)
        announce(_address(runner))
        await stop.wait()
        await site.stop()
        await app[REGISTRY].drain(max(0.0, settings.shutdown_deadline - 2 * MARGIN))
    finally:
        await runner.cleanup()


def _on_signal(stop: asyncio.Event, deadline: float) -> None:
    if stop.is_set():
        _exit(FORCED)
    stop.set()
    # A thread, because an agent may be blocking the loop.
    watchdog = threading.Timer(deadline, _exit, [FORCED])
    watchdog.daemon = True
    watchdog.start()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> int:
    """Cancel what still runs, once, and say how many did not stop. `asyncio.run` would wait for ever."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=MARGIN / 4))
    return sum(not task.done() for task in tasks)


def _address(runner: web.AppRunner) -> str:
    host, port, *_ = runner.addresses[0]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
