"""A model's API on 127.0.0.1 that answers every request at once with the same few words."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from tests.attacks.rig import HERE


def _chunk(**more: Any) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, **more}).encode() + b"\n\n"


SAYS = (
    _chunk(choices=[{"index": 0, "delta": {"content": "yes"}, "finish_reason": None}])
    + _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + b"data: [DONE]\n\n"
)


class Upstream(NamedTuple):
    """The server. ``asked`` are the sizes of the requests it has had, in bytes."""

    base_url: str
    asked: list[int]


@contextmanager
def upstream(status: int = 200) -> Generator[Upstream, None, None]:
    """A server on a free port that answers ``SAYS``, or an error with this status."""
    asked: list[int] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            body = SAYS if status == 200 else b'{"error": {"message": "no"}}'
            self.send_response(status)
            kind = "text/event-stream" if status == 200 else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((HERE, 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Upstream(f"http://{HERE}:{server.server_port}/v1", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
