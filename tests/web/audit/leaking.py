"""An agent whose turns leave things running: the audit has to see them in the server's process."""

import asyncio
import threading
import time

from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.audit.agent import model as well_behaved

_started = threading.Event()


def work() -> None:
    """Go on for ever, on and off, so that others on the machine get on."""
    while True:
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        time.sleep(0.01)


async def model(turn: Turn) -> None:
    """Answer as the audit's own agent does; the first turn also leaves a process and a thread."""
    if not _started.is_set():
        _started.set()
        await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)  # until the server ends
        threading.Thread(target=work, daemon=True).start()
    async for text in well_behaved(turn):
        turn.emit("delta", {"text": text})
