"""How the audit talks to a chat server: what to send, and how to read the answers. Pure.

An `Adapter` is data. turnkeeper's own is one like any other: the audit has no other way to turnkeeper.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to the server under test."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """A request with placeholders: ``{session}``, ``{message}``, ``{turn}``."""

    method: str = "POST"
    path: str = ""
    body: str = ""
    """A text, usually JSON; values are escaped as inside a JSON string."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def fill(self, **words: str) -> Call:
        """The request with every placeholder filled in."""
        path = _fill(self.path, {name: quote(word, safe="") for name, word in words.items()})
        body = _fill(self.body, {name: json.dumps(word)[1:-1] for name, word in words.items()})
        headers = {name: _fill(value, words) for name, value in self.headers.items()}
        if not body:
            return Call(self.method, path, headers)
        return Call(self.method, path, JSON_TYPE | headers, body.encode())

    @property
    def placeholders(self) -> set[str]:
        """The names of its placeholders."""
        return {
            name for text in (self.path, self.body, *self.headers.values()) for name in _HOLE.findall(text)
        }


_HOLE = re.compile(r"\{(\w+)\}")


def _fill(text: str, words: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One kind of chat server."""

    name: str = "server"
    send: Verb = field(default_factory=lambda: Verb(path="/send", body=_MESSAGE_BODY))
    send_turn: str = ""
    """The field with the turn's id in the answer to a send; empty if there is none."""
    stop: Verb = field(default_factory=lambda: Verb(path="/stop", body=_SESSION_BODY))
    stop_turn: Verb | None = None
    """A Stop that names its turn."""
    stop_field: str = "status"
    """The field with the outcome in the answer to a Stop; empty if any 2xx says that it has stopped."""
    stop_words: tuple[str, ...] = ("stopped", "cancelled", "ok")
    """The outcomes that say that it has stopped."""
    stream: Verb = field(default_factory=lambda: Verb("GET", "/stream/{session}"))
    stream_event: str = ""
    """The name of the events that carry text; empty for any."""
    stream_field: str = "text"
    """The field with the text in their JSON data; empty if the data itself is the text."""
    stream_cursor: str = ""
    """The header with the last event's id when a reader comes back; empty if there is none."""
    stream_start: str = ""
    """That header before the reader has seen an id; empty if it is not sent then."""

    @property
    def chooses_turn(self) -> bool:
        """Whether the client gives the turn its id."""
        return "turn" in self.send.placeholders

    @property
    def can_race(self) -> bool:
        """Whether a Stop can name a turn whose send has not been answered."""
        return self.chooses_turn and self.stop_turn is not None

    def turn_of(self, answer: Any) -> str | None:
        """The turn's id in the answer to a send."""
        found = look_up(answer, self.send_turn) if self.send_turn else None
        return None if found is None else str(found)

    def says_stopped(self, status: int, answer: Any) -> bool:
        """Whether the answer to a Stop says that it has stopped."""
        if not 200 <= status < 300:
            return False
        if not self.stop_field:
            return True
        word = look_up(answer, self.stop_field)
        return (str(word).lower() if isinstance(word, bool) else word) in self.stop_words

    def read(self, session: str, cursor: str) -> Call:
        """The request for a session's stream."""
        call = self.stream.fill(session=session)
        cursor = cursor or self.stream_start
        if self.stream_cursor and cursor:
            call.headers[self.stream_cursor] = cursor
        return call

    def text_of(self, event: str, data: str) -> str:
        """The text that an event carries."""
        if self.stream_event and event != self.stream_event:
            return ""
        if not self.stream_field:
            return data
        try:
            text = look_up(json.loads(data), self.stream_field)
        except ValueError:
            return ""
        return text if isinstance(text, str) else ""


_SESSION_BODY = '{"session": "{session}"}'
_MESSAGE_BODY = '{"session": "{session}", "message": "{message}"}'

#: turnkeeper itself.
OURS = Adapter(
    name="turnkeeper",
    send=Verb(path="/chat/{session}/send", body='{"message": "{message}", "task_id": "{turn}"}'),
    send_turn="task_id",
    stop=Verb(path="/chat/{session}/cancel_send_task"),
    stop_turn=Verb(path="/chat/{session}/{turn}/cancel"),
    stop_field="verdict",
    stop_words=("cancelled", "finished_first"),
    stream=Verb("GET", "/chat/{session}/events"),
    stream_event="delta",
    stream_cursor="Last-Event-ID",
    stream_start="0",
)


def look_up(data: Any, path: str) -> Any:
    """The value at a path such as ``a.b.0`` in JSON data; ``None`` if there is none."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data
