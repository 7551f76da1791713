"""Reading an adapter from TOML. Pure."""

import tomllib
from collections.abc import Mapping
from typing import Any

from turnkeeper.actors.model.exceptions import InvalidRequest

from .adapter import PLAIN_EVENTS, PLAIN_SEND, PLAIN_STOP, PLAIN_STREAM, Adapter, HangUp, Opening, Stop
from .events import Events
from .verb import Verb

_VERB = {"method", "path", "body", "headers"}
_ANSWER = {"field", "stopped"}
_TABLES = {
    "open": _VERB | {"session"},
    "send": _VERB | {"stream", "turn"},
    "stop": _VERB | _ANSWER | {"hang_up"},
    "stop_turn": _VERB | _ANSWER,
    "stream": {"method", "path", "headers", "kind", "event", "field", "end"}
    | {"cursor", "cursor_field", "start", "again"},
}
#: The entries of [stream] that only say how a reader comes back.
_COMING_BACK = ("method", "headers", "cursor", "cursor_field", "start", "again")
#: Those that only say something where the answer to a send is the stream.
_OF_ONE_REPLY = ("end", "cursor_field", "again")
#: The placeholders that each request may have.
_PLACEHOLDERS = {
    "open": {"session", "model"},
    "send": {"session", "message", "turn", "model"},
    "stop": {"session"},
    "stop_turn": {"session", "turn"},
    "stream": {"session"},
    "stream of one reply": {"session", "turn", "cursor"},
}
#: What an adapter names only where it differs.
_PLAIN = Adapter()


def read_adapter(text: str, model: str = "") -> Adapter:
    """The adapter that a TOML text describes; ``model`` is what ``{model}`` stands for.

    Raises `InvalidRequest`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"the adapter is not TOML: {error}", field="adapter") from None
    for name in data:
        if name not in {"name", *_TABLES}:
            raise _wrong(f"the adapter has an unknown entry {name!r}")
    opening, send, stop, stop_turn, stream = (_table(data, name) for name in _TABLES)
    streams = _flag(send, "stream")
    reads_reply = "stream of one reply" if streams else "stream"
    asked = _verb("send", send, PLAIN_SEND, model=model)
    adapter = Adapter(
        name=_text(data, "name", _PLAIN.name),
        opening=_opening(opening, model) if "open" in data else None,
        send=asked,
        send_turn=_text(send, "turn", _PLAIN.send_turn),
        answers_with_stream=streams,
        stop=_stop(stop, streams=streams, said="stop" in data),
        stop_turn=_stop_turn(stop_turn, stop) if "stop_turn" in data else None,
        stream=None if streams and "path" not in stream else _verb(reads_reply, stream, PLAIN_STREAM),
        events=Events(
            kind=_text(stream, "kind", PLAIN_EVENTS.kind),
            event=_text(stream, "event", PLAIN_EVENTS.event),
            field=_text(stream, "field", PLAIN_EVENTS.field),
            cursor=_text(stream, "cursor_field", PLAIN_EVENTS.cursor),
            end=_words(stream, "end", PLAIN_EVENTS.end),
            again=_text(stream, "again", PLAIN_EVENTS.again),
        ),
        cursor_header=_text(stream, "cursor", _PLAIN.cursor_header),
        cursor_start=_text(stream, "start", _PLAIN.cursor_start),
    )
    _check(adapter, stream)
    return adapter


def _check(adapter: Adapter, stream: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` if what the tables say does not go together."""
    named = adapter.stop_turn.request.placeholders if adapter.stop_turn is not None else set[str]()
    wanted = named | (adapter.stream.placeholders if adapter.stream is not None else set[str]())
    if adapter.stop_turn is not None and "turn" not in named:
        raise _wrong("[stop_turn] in the adapter needs a {turn}: it is a Stop that names its turn")
    if "turn" in wanted and not adapter.chooses_turn and not adapter.send_turn:
        raise _wrong("a {turn} in the adapter is never known: [send] needs turn, or a {turn} in its body")
    if not adapter.answers_with_stream:
        for name in _OF_ONE_REPLY:
            if name in stream:
                raise _wrong(f"{name} in [stream] of the adapter needs stream = true in [send]")
        return
    if adapter.stop is None and adapter.stop_turn is None:
        raise _wrong("an adapter with stream = true in [send] needs a [stop]: hang_up = true, or a path")
    if adapter.stream is None:
        for name in _COMING_BACK:
            if name in stream:
                raise _wrong(f"{name} in [stream] of the adapter needs a path: where a reader comes back")
        return
    if isinstance(adapter.stop, HangUp):
        raise _wrong("[stop] in the adapter says hang_up, so nothing is left to come back to: [stream] path")
    if not adapter.events.end:
        raise _wrong("[stream] in the adapter needs end: a reader has to know when not to come back")
    moves = bool(adapter.cursor_header) or "cursor" in adapter.stream.placeholders
    if not moves and (adapter.events.cursor or adapter.cursor_start):
        raise _wrong("[stream] in the adapter has a cursor and no place for it: cursor, or {cursor} in path")


def _wrong(text: str) -> InvalidRequest:
    return InvalidRequest(text, field="adapter")


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise _wrong(f"{name} in the adapter must be a table: [{name}]")
    for key in table:
        if key not in _TABLES[name]:
            raise _wrong(f"[{name}] in the adapter has an unknown entry {key!r}")
    return table


def _opening(table: Mapping[str, Any], model: str) -> Opening:
    verb, session = _verb("open", table, Verb(), model=model), _text(table, "session", "")
    if not session:
        raise _wrong("[open] in the adapter needs session: the field of the answer that has the session's id")
    return Opening(verb, session)


def _stop(table: Mapping[str, Any], *, streams: bool, said: bool) -> Stop | HangUp | None:
    if _flag(table, "hang_up"):
        if len(table) > 1:
            raise _wrong("[stop] in the adapter says hang_up = true: there is no request, and no answer")
        if not streams:
            raise _wrong("hang_up in [stop] of the adapter needs stream = true in [send]")
        return HangUp()
    if streams and not said:
        return None
    return _request_to_stop("stop", table, PLAIN_STOP)


def _stop_turn(table: Mapping[str, Any], stop: Mapping[str, Any]) -> Stop:
    """The answers to both Stops are alike, if nothing else is said."""
    alike = {name: stop[name] for name in _ANSWER & set(stop)}
    return _request_to_stop("stop_turn", alike | dict(table), PLAIN_STOP)


def _request_to_stop(name: str, table: Mapping[str, Any], usual: Stop) -> Stop:
    return Stop(
        request=_verb(name, table, usual.request),
        field=_text(table, "field", usual.field),
        words=_words(table, "stopped", usual.words),
    )


def _verb(name: str, table: Mapping[str, Any], usual: Verb, *, model: str = "") -> Verb:
    path = _text(table, "path", usual.path)
    if not path.startswith("/"):
        raise _wrong(f"a path in the adapter must start with /, not {path!r}")
    headers = table.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise _wrong("headers in the adapter must be a table of strings")
    method = _text(table, "method", usual.method).upper()
    verb = Verb(method, path, _text(table, "body", usual.body), headers)
    for hole in sorted(verb.placeholders - _PLACEHOLDERS[name]):
        known = ", ".join(f"{{{each}}}" for each in sorted(_PLACEHOLDERS[name]))
        raise _wrong(f"[{name}] in the adapter has an unknown placeholder {{{hole}}}; it may have {known}")
    return verb.given(model=model)


def _words(table: Mapping[str, Any], name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    words = table.get(name, list(usual))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _wrong(f"{name} in the adapter must be a list of strings")
    return tuple(words)


def _text(table: Mapping[str, Any], name: str, usual: str) -> str:
    text = table.get(name, usual)
    if not isinstance(text, str):
        raise _wrong(f"{name} in the adapter must be a string")
    return text


def _flag(table: Mapping[str, Any], name: str) -> bool:
    flag = table.get(name, False)
    if not isinstance(flag, bool):
        raise _wrong(f"{name} in the adapter must be true or false")
    return flag
