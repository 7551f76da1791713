"""File descriptors: each connection takes one, and a process that has none left is deaf."""

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Any

logger = logging.getLogger("turnkeeper.http")

#: How many are kept for all that is no connection of ours: files, pipes, connections to models.
SPARE = 64
#: How many connections may wait to be accepted, at most. The loop accepts them all before it looks at the
#: first, so there must be descriptors for them, too.
BACKLOG = 128
#: At most so often is it logged that connections could not be accepted, in seconds.
COMPLAIN_EVERY = 60.0


def raise_limit() -> tuple[int, int]:
    """Have as many as this process may: for how many connections that is enough, and for how many in wait."""
    limit = _raised()
    backlog = max(1, min(BACKLOG, limit // 8))
    return max(1, limit - max(SPARE, limit // 8) - backlog), backlog


def _raised() -> int:
    try:
        import resource
    except ImportError:  # not on Windows, where there is no such limit
        return sys.maxsize
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS names a hard limit that it does not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def complain_rarely(loop: asyncio.AbstractEventLoop) -> None:
    """Log once a minute, in one line, that connections cannot be accepted; asyncio would log each of them."""
    since = [-COMPLAIN_EVERY, 0.0]

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not str(context.get("message", "")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
            return
        since[1] += 1
        if loop.time() >= since[0] + COMPLAIN_EVERY:
            logger.error(
                "could not accept connections, %d times: %s", since[1], type(context["exception"]).__name__
            )
            since[:] = [loop.time(), 0]

    loop.set_exception_handler(handle)
