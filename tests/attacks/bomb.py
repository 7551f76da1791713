"""A fork bomb with a bound, which an agent's tool runs: ``python bomb.py FIFO CHAINS same|own``.

Each chain is a process that starts the next one and ends at once, so that there is never one to be found
where one was read. None heeds SIGTERM. With ``own``, each has a process group of its own. Whoever reads the
FIFO gets a byte when there are as many chains as there may be, and its end when none is left. After `SECONDS`
all end.
"""

import os
import signal
import sys
import time
from contextlib import suppress

#: For how long it goes on, in seconds.
SECONDS = 5.0


def bomb(alive: str, chains: int, *, own: bool) -> None:
    """Go off."""
    told = os.open(alive, os.O_WRONLY)
    os.set_blocking(told, False)
    taken, tokens = os.pipe()
    os.write(tokens, b"." * chains)
    os.close(tokens)
    until = time.monotonic() + SECONDS
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while time.monotonic() < until:
        is_more = bool(os.read(taken, 1))
        if not is_more:
            with suppress(BlockingIOError):
                os.write(told, b"x")
        if os.fork():
            if not is_more:
                os._exit(0)
        elif own:
            os.setpgid(0, 0)
    os._exit(0)


if __name__ == "__main__":
    bomb(sys.argv[1], int(sys.argv[2]), own=sys.argv[3] == "own")
