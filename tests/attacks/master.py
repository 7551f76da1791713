"""A master with two workers, each with the whole app in it, as gunicorn ``-w 2`` has them; run as a program.

It prints the port, then for each worker that has ended its number and exit code. SIGTERM ends the workers.
"""

import os
import signal
import socket
import sys

from aiohttp import web

from tests.attacks.agents import puppet
from turnkeeper.web import WebSettings, setup

WORKERS = 2


def app() -> web.Application:
    """What each worker serves; gunicorn calls it too."""
    made = web.Application()
    setup(made, puppet, settings=WebSettings.from_environment(os.environ))
    return made


def work(port: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    web.run_app(app(), host="127.0.0.1", port=port, reuse_port=True, print=None, access_log=None)


def main() -> None:
    # Bound and not listening: it takes the port, and no connection.
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    workers: dict[int, int] = {}
    for number in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            try:
                work(port)
            except BaseException as error:  # noqa: BLE001 - a worker says why it ends
                print(f"worker {number}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(3)
            os._exit(0)
        workers[pid] = number

    def end(*_: object) -> None:
        for pid in workers:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    print(port, *workers, flush=True)
    while workers:
        pid, status = os.wait()
        print(f"worker {workers.pop(pid)} ended with {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
