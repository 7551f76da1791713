"""Reading an adapter from TOML. Pure."""

import tomllib
from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest

from .adapter import Adapter, Verb

_VERB = {"method", "path", "body", "headers"}
_TABLES = {
    "send": _VERB | {"turn"},
    "stop": _VERB | {"field", "stopped"},
    "stop_turn": _VERB,
    "stream": _VERB - {"body"} | {"event", "field", "cursor", "start"},
}
#: The placeholders that each request may have.
_PLACEHOLDERS = {
    "send": {"session", "message", "turn"},
    "stop": {"session"},
    "stop_turn": {"session", "turn"},
    "stream": {"session"},
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
        send=_verb("send", send, usual.send),
        send_turn=_text(send, "turn", usual.send_turn),
        stop=_verb("stop", stop, usual.stop),
        stop_turn=_verb("stop_turn", _table(data, "stop_turn"), usual.stop) if "stop_turn" in data else None,
        stop_field=_text(stop, "field", usual.stop_field),
        stop_words=_words(stop, usual.stop_words),
        stream=_verb("stream", stream, usual.stream),
        stream_event=_text(stream, "event", usual.stream_event),
        stream_field=_text(stream, "field", usual.stream_field),
        stream_cursor=_text(stream, "cursor", usual.stream_cursor),
        stream_start=_text(stream, "start", usual.stream_start),
    )


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise InvalidRequest(f"{name} in the adapter must be a table: [{name}]", field="adapter")
    for key in table:
        if key not in _TABLES[name]:
            raise InvalidRequest(f"[{name}] in the adapter has an unknown entry {key!r}", field="adapter")
    return table


def _verb(name: str, table: Mapping[str, Any], usual: Verb) -> Verb:
    path = _text(table, "path", usual.path)
    if not path.startswith("/"):
        raise InvalidRequest(f"a path in the adapter must start with /, not {path!r}", field="adapter")
    headers = table.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidRequest("headers in the adapter must be a table of strings", field="adapter")
    method = _text(table, "method", usual.method).upper()
    verb = Verb(method, path, _text(table, "body", usual.body), headers)
    for hole in sorted(verb.placeholders - _PLACEHOLDERS[name]):
        known = ", ".join(f"{{{each}}}" for each in sorted(_PLACEHOLDERS[name]))
        text = f"[{name}] in the adapter has an unknown placeholder {{{hole}}}; it may have {known}"
        raise InvalidRequest(text, field="adapter")
    return verb


def _words(table: Mapping[str, Any], usual: tuple[str, ...]) -> tuple[str, ...]:
    words = table.get("stopped", list(usual))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest("stopped in the adapter must be a list of strings", field="adapter")
    return tuple(words)


def _text(table: Mapping[str, Any], name: str, usual: str) -> str:
    text = table.get(name, usual)
    if not isinstance(text, str):
        raise InvalidRequest(f"{name} in the adapter must be a string", field="adapter")
    return text
