"""How the audit speaks to a chat server: what to send, and how to read what comes back. Pure.

An `Adapter` is data, our own as well as one read from TOML: the audit knows no other way to us.
"""

import codecs
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.http.access.loopback import is_loopback

TOKEN = re.compile(r"\[([0-9a-f]{8})-(\d{1,6})\]")
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
    """A request with holes: ``{session}``, ``{message}``, ``{turn}``."""

    method: str = "POST"
    path: str = ""
    body: str = ""
    """Text, usually JSON; what is filled in is escaped as inside a JSON string."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def fill(self, **words: str) -> Call:
        """The request with every hole filled."""
        path = _fill(self.path, {name: quote(word, safe="") for name, word in words.items()})
        body = _fill(self.body, {name: json.dumps(word)[1:-1] for name, word in words.items()})
        headers = {name: _fill(value, words) for name, value in self.headers.items()}
        if not body:
            return Call(self.method, path, headers)
        return Call(self.method, path, JSON_TYPE | headers, body.encode())

    def needs(self, word: str) -> bool:
        """Whether it has such a hole."""
        return any("{" + word + "}" in text for text in (self.path, self.body, *self.headers.values()))


def _fill(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda hole: words.get(hole[1], hole[0]), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One kind of chat server."""

    name: str = "server"
    send: Verb = field(default_factory=lambda: Verb(path="/send", body=_MESSAGE_BODY))
    send_turn: str = ""
    """Where in the answer to a send the turn's id stands; empty if it does not."""
    stop: Verb = field(default_factory=lambda: Verb(path="/stop", body=_SESSION_BODY))
    stop_turn: Verb | None = None
    """A Stop that names its turn."""
    stop_field: str = "status"
    """Where in the answer to a Stop the word stands; empty: any 2xx says stopped."""
    stop_words: tuple[str, ...] = ("stopped", "cancelled", "ok")
    """The words that say it has stopped."""
    stream: Verb = field(default_factory=lambda: Verb("GET", "/stream/{session}"))
    stream_event: str = ""
    """The name of the events that carry text; empty: any."""
    stream_field: str = "text"
    """Where in their JSON data the text stands; empty: the data is the text."""
    stream_cursor: str = ""
    """The header that takes the last event's id when a reader comes back; empty: none."""
    stream_start: str = ""
    """What that header says before the reader has seen an id; empty: it is not sent."""

    @property
    def chooses_turn(self) -> bool:
        """Whether the client gives the turn its id."""
        return self.send.needs("turn")

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
        """The text that an event brings."""
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
    """What stands at ``a.b.0`` in JSON data; ``None`` if nothing does."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


# -- From TOML --------------------------------------------------------------------------------------

_VERB = {"method", "path", "body", "headers"}
_TABLES = {
    "send": _VERB | {"turn"},
    "stop": _VERB | {"field", "stopped"},
    "stop_turn": _VERB,
    "stream": _VERB - {"body"} | {"event", "field", "cursor", "start"},
}


def read_adapter(text: str) -> Adapter:
    """The adapter that a TOML text describes. Raises `InvalidRequest`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"the adapter is not TOML: {error}", field="adapter") from None
    for name in data:
        if name not in {"name", *_TABLES}:
            raise InvalidRequest(f"the adapter has an unknown entry {name!r}", field="adapter")
    usual = Adapter()
    send, stop, stream = (_table(data, name) for name in ("send", "stop", "stream"))
    return Adapter(
        name=_text(data, "name", usual.name),
        send=_verb(send, usual.send),
        send_turn=_text(send, "turn", usual.send_turn),
        stop=_verb(stop, usual.stop),
        stop_turn=_verb(_table(data, "stop_turn"), usual.stop) if "stop_turn" in data else None,
        stop_field=_text(stop, "field", usual.stop_field),
        stop_words=_words(stop, usual.stop_words),
        stream=_verb(stream, usual.stream),
        stream_event=_text(stream, "event", usual.stream_event),
        stream_field=_text(stream, "field", usual.stream_field),
        stream_cursor=_text(stream, "cursor", usual.stream_cursor),
        stream_start=_text(stream, "start", usual.stream_start),
    )


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise InvalidRequest(f"{name} in the adapter is a table: [{name}]", field="adapter")
    for key in table:
        if key not in _TABLES[name]:
            raise InvalidRequest(f"[{name}] in the adapter has an unknown entry {key!r}", field="adapter")
    return table


def _verb(table: Mapping[str, Any], usual: Verb) -> Verb:
    path = _text(table, "path", usual.path)
    if not path.startswith("/"):
        raise InvalidRequest(f"a path in the adapter starts with /, not {path!r}", field="adapter")
    headers = table.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidRequest("headers in the adapter are a table of texts", field="adapter")
    method = _text(table, "method", usual.method).upper()
    return Verb(method, path, _text(table, "body", usual.body), headers)


def _words(table: Mapping[str, Any], usual: tuple[str, ...]) -> tuple[str, ...]:
    words = table.get("stopped", list(usual))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest("stopped in the adapter is a list of texts", field="adapter")
    return tuple(words)


def _text(table: Mapping[str, Any], name: str, usual: str) -> str:
    text = table.get(name, usual)
    if not isinstance(text, str):
        raise InvalidRequest(f"{name} in the adapter is a text", field="adapter")
    return text


def check_url(url: str) -> str:
    """The base URL of a server on this machine, without a slash at its end. Raises `InvalidRequest`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InvalidRequest(f"{url!r} is not the address of a server: http://127.0.0.1:9000", field="url")
    if not is_loopback(host):
        raise InvalidRequest(f"only servers on this machine are audited, not {host}", field="url")
    return url.rstrip("/")


# -- Server-Sent Events, as a reader takes them (WHATWG HTML, section 9.2) -----------------------------


class Frames:
    """Bytes of a stream -> events, however the bytes are cut."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._line = ""
        self._event, self._data = "", list[str]()
        self._after_cr = False
        #: The id of the last event that was complete.
        self.last_id = ""
        self._id = ""

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """The events, as (name, data), that these bytes complete."""
        text = self._decode(data)
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
        if text:
            self._after_cr = text.endswith("\r")
        *lines, self._line = re.split(r"\r\n|\n|\r", self._line + text)
        events: list[tuple[str, str]] = []
        for line in lines:
            if line:
                self._take(line)
                continue
            self.last_id = self._id
            if self._data:
                events.append((self._event or "message", "\n".join(self._data)))
            self._event, self._data = "", []
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value


class Tokens:
    """Texts -> the numbered tokens in them, however the texts are cut."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[tuple[str, int]]:
        """The tokens, as (request, number), that this text completes."""
        self._rest += text
        found, end = list[tuple[str, int]](), 0
        for match in TOKEN.finditer(self._rest):
            found.append((match[1], int(match[2])))
            end = match.end()
        self._rest = self._rest[end:][-32:]
        return found


def token(request: str, k: int) -> str:
    """The text of token number ``k``: nobody who did not get it from the upstream can know it."""
    return f"[{request}-{k}] "
