"""Those who ask a server: politely, as a reader of a stream, with bytes of any kind, or as a bystander."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from typing import Any, NamedTuple, Self

from tests.attacks.rig import HERE, PATIENCE
from tests.attacks.server import Server


class Answer(NamedTuple):
    """What a request was answered; status 0 where the connection broke or nothing came."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem body."""
        with suppress(ValueError):
            data = self.json
            if isinstance(data, dict):
                return data.get("code")
        return None


class Client:
    """A client with one kept connection. What breaks is an answer with status 0."""

    def __init__(self, port: "int | Server", token: str | None = None, patience: float = PATIENCE) -> None:
        self.port = port.port if isinstance(port, Server) else port
        self.token = token
        self._connection = http.client.HTTPConnection(HERE, self.port, timeout=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request. ``body`` is bytes, or what becomes JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        access = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        try:
            self._connection.request(method, path, sent, {**access, **(headers or {})})
            response = self._connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(0, Message(), b"")

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})

    def send(self, session: str, message: Any, *, query: str = "", **fields: Any) -> Answer:
        return self.ask("POST", f"/chat/{session}/send{query}", {"message": message, **fields})

    def stop(self, session: str, task: str) -> Answer:
        return self.ask("POST", f"/chat/{session}/{task}/cancel")

    def run(self, session: str, message: Any, **fields: Any) -> Answer:
        """Send, and wait for the end of the turn: the turn."""
        answer = self.send(session, message, **fields)
        if answer.status != 202:
            return answer
        turn = f"/chat/{session}/turns/{answer.json['task_id']}"
        until = time.monotonic() + PATIENCE
        while True:
            seen = self.get(turn)
            if seen.status != 200 or seen.json["ended_at"] is not None or time.monotonic() > until:
                return seen


class Event(NamedTuple):
    """An event of a stream."""

    name: str
    data: str
    id: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Ended(Exception):
    """The stream has ended, or nothing came for too long, before what was waited for."""


class Stream:
    """A stream of a session's events, read from a raw socket when it is asked to, and not before.

    ``buffer`` is how many bytes the kernel takes for a reader that does not read.
    """

    def __init__(
        self,
        port: "int | Server",
        session: str,
        *,
        query: str = "",
        cursor: str | None = None,
        token: str | None = None,
        buffer: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._socket = socket.socket()
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect((HERE, port.port if isinstance(port, Server) else port))
        lines = [f"GET /chat/{session}/events{query} HTTP/1.1", f"Host: {HERE}"]
        lines += [f"Last-Event-ID: {cursor}"] if cursor is not None else []
        lines += [f"Authorization: Bearer {token}"] if token is not None else []
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._patience = patience
        self._until: float | None = None
        self._raw = b""
        self._text = b""
        #: Whether the response is at its end, and whether the connection was closed before that.
        self.ended = self.closed = False
        #: Milliseconds after which an EventSource would connect again.
        self.retry: int | None = None
        #: The last id that was seen.
        self.cursor: str | None = cursor
        #: What was read, and how many comments beside it.
        self.seen: list[Event] = []
        self.beats = 0
        head = self._head()
        self.status = int(head.split(b" ", 2)[1]) if head else 0
        self._chunked = b"transfer-encoding: chunked" in head.lower()
        if self.status != 200:
            self.ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def address(self) -> tuple[str, int]:
        name: tuple[str, int] = self._socket.getsockname()
        return name

    def finish_sending(self) -> None:
        """Send a FIN: nothing more is asked, and the answer is still read."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bool:
        # That it is silent can be said once it has begun to speak.
        patience = self._patience if self._text or self.seen or self.beats else PATIENCE
        left = patience if self._until is None else self._until - time.monotonic()
        if left <= 0:
            return False
        self._socket.settimeout(left)
        try:
            piece = self._socket.recv(262_144)
        except TimeoutError:
            return False
        except OSError:
            piece = b""
        self.closed = not piece
        self._raw += piece
        return bool(piece)

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._raw:
            if not self._receive():
                return b""
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        return head

    def _more(self) -> bool:
        """Read some more of the body; whether there was any."""
        while not self.ended:
            size, newline, rest = self._raw.partition(b"\r\n")
            if newline and len(rest) >= (length := int(size, 16)) + 2:
                self._text += rest[:length]
                self._raw = rest[length + 2 :]
                if length == 0:
                    self.ended = True
                return length > 0
            if not self._receive():
                return False
        return False

    def events(self) -> Iterator[Event]:
        """Each event as it comes; ends with the stream, or when nothing has come for too long."""
        while True:
            while b"\n\n" not in self._text:
                if not self._more():
                    return
            block, _, self._text = self._text.partition(b"\n\n")
            event = self._event(block.decode())
            if event is not None:
                self.seen.append(event)
                yield event

    def _event(self, block: str) -> Event | None:
        name, data, given = "message", list[str](), None
        for line in block.split("\n"):
            field, _, text = line.partition(":")
            text = text.removeprefix(" ")
            match field:
                case "":
                    self.beats += 1
                case "event":
                    name = text
                case "data":
                    data.append(text)
                case "id":
                    given = self.cursor = text
                case "retry":
                    self.retry = int(text)
                case _:
                    pass  # as an EventSource does with fields it does not know
        return Event(name, "\n".join(data), given) if data else None

    def until(self, *names: str) -> Event:
        """The next event of one of these names. Raises `Ended`."""
        for event in self.events():
            if event.name in names:
                return event
        raise Ended(f"{' or '.join(names)} did not come; seen: {[event.name for event in self.seen]}")

    def rest(self, within: float | None = None) -> list[Event]:
        """What comes until the stream ends, nothing has come for too long, or so many seconds are over."""
        self._until = None if within is None else time.monotonic() + within
        try:
            return list(self.events())
        finally:
            self._until = None


def raw(port: "int | Server", data: bytes, *, patience: float = PATIENCE, fin: bool = False) -> bytes:
    """Send these bytes; all that is answered until the other end closes or is silent for too long."""
    with socket.create_connection((HERE, port.port if isinstance(port, Server) else port), PATIENCE) as peer:
        peer.settimeout(patience)
        answer = b""
        with suppress(OSError):
            peer.sendall(data)
            if fin:
                peer.shutdown(socket.SHUT_WR)
            while piece := peer.recv(65_536):
                answer += piece
        return answer


def send_and_leave(port: "int | Server", data: bytes, *, after: int = 0) -> None:
    """Send these bytes and hang up with a reset, once ``after`` bytes of an answer have come."""
    with socket.create_connection((HERE, port.port if isinstance(port, Server) else port), PATIENCE) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(data)
        while after > 0 and (piece := peer.recv(65_536)):
            after -= len(piece)


class Bystander:
    """Asks for one small thing again and again, on a connection of its own, while something else happens."""

    PAUSE = 0.02

    def __init__(self, server: "int | Server", *, patience: float = PATIENCE) -> None:
        self._client = Client(server, patience=patience)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="bystander")
        #: How many seconds each answer took.
        self.waits: list[float] = []

    def _ask(self) -> None:
        with self._client as client:
            while not self._over.is_set():
                began = time.perf_counter()
                client.get("/healthz")
                self.waits.append(time.perf_counter() - began)
                self._over.wait(self.PAUSE)

    @property
    def worst(self) -> float:
        """The longest wait, in milliseconds."""
        return round(max(self.waits, default=0.0) * 1000, 1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
