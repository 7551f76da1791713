"""One thing a session published."""

import json
from typing import Any, TypeAlias

from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import SessionView, TurnEnd
from turnkeeper.actors.model.records import Epoch, Returned, TurnError, TurnRecord, TurnSpec

#: About the stream itself, or about a turn: an agent cannot emit these names.
SNAPSHOT, GAP, CLOSE = "snapshot", "gap", "close"
RESERVED_NAMES = frozenset({SNAPSHOT, GAP, CLOSE})
RESERVED_PREFIX = "turn."

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(data: Any) -> str:
    """Write ``data`` as JSON on one line; raise `EventNotJson` for what JSON (RFC 8259) cannot say."""
    try:
        text = _encode(data)
        if not text.isascii():
            text.encode()  # a lone surrogate cannot be sent
    except Exception as error:  # the host's own kind of dict or number may raise anything
        raise EventNotJson(f"JSON cannot say this event's data: {type(error).__name__}") from error
    return text


def turn_data(record: TurnRecord) -> dict[str, Any]:
    """What ``turn.*`` events tell of a turn."""
    reason, late = record.reason, record.ended_late
    return {
        "task_id": record.turn_id,
        "status": record.status.value,
        "agent": record.agent,
        "user": record.user,
        "submitted_at": record.submitted_at,
        "started_at": record.started_at,
        "cancel_requested_at": record.cancel_requested_at,
        "ended_at": record.ended_at,
        "reason": reason and {"code": reason.code.value, "by": reason.by, "text": reason.text},
        "by": reason and reason.by,
        "superseded_by": record.superseded_by,
        "error": record.error and _error_data(record.error),
        "ended_late": late and {"outcome": late.outcome.value, "at": late.at},
        "usage": None,
    }


def _error_data(error: TurnError) -> dict[str, Any]:
    told = {"code": error.code, "type": error.type}
    return told if error.stage is None else {**told, "stage": error.stage}


def started_data(spec: TurnSpec) -> dict[str, Any]:
    """What ``turn.started`` tells: the turn and its message (``null`` if JSON cannot say it)."""
    try:
        to_json(spec.message)
    except EventNotJson:
        message = None
    else:
        message = spec.message
    return {
        "task_id": spec.turn_id,
        "status": "running",
        "agent": spec.agent,
        "user": spec.user,
        "submitted_at": spec.submitted_at,
        "message": message,
    }


def _size_of(data: Any, depth: int = 4) -> int:
    """About how many characters a message takes: its texts, wherever a chat client puts them."""
    # By type and with the built-in methods: what a host's own kind of dict does may raise.
    kind = type(data)
    if issubclass(kind, str):
        return str.__len__(data)
    if depth and issubclass(kind, dict | list):
        parts: Any = dict.values(data) if issubclass(kind, dict) else list.__iter__(data)
        return sum(_size_of(part, depth - 1) for part in parts)
    return 0


def completed_data(end: TurnEnd) -> dict[str, Any]:
    """What ``turn.completed`` tells: the turn and its result (``null`` if JSON cannot say it)."""
    result = end.outcome.result if isinstance(end.outcome, Returned) else None
    try:
        to_json(result)
    except EventNotJson:
        result = None
    return {**turn_data(end.turn), "result": result}


#: Where an event's data comes from, if it was not written as JSON when the event was made.
Source: TypeAlias = TurnRecord | TurnSpec | TurnEnd | None


class Event:
    """One thing a session published.

    ``epoch`` and ``n`` are its id (``None`` and 0 for what is about the stream itself, or about a turn
    that never started). An agent's data is written as JSON when it is emitted, ours when somebody reads.
    """

    __slots__ = ("_source", "_text", "epoch", "n", "name", "size", "wire")

    def __init__(
        self,
        name: str,
        epoch: Epoch | None = None,
        n: int = 0,
        text: str | None = None,
        source: Source = None,
    ) -> None:
        self.name = name
        self.epoch = epoch
        self.n = n
        self._text = text
        self._source = source
        #: About how many characters the data takes. It never changes, whatever happens to a message.
        self.size = 0
        if text is not None:
            self.size = len(text)
        elif type(source) is TurnSpec:
            message = source.message
            self.size = len(message) if type(message) is str else _size_of(message)
        #: An encoder may keep its bytes here, so that one event is encoded once for all readers.
        self.wire: bytes | None = None

    @property
    def id(self) -> str | None:
        """``<epoch>-<n>``, or ``None`` for an event that does not move the cursor."""
        return None if self.epoch is None else f"{self.epoch}-{self.n}"

    @property
    def json(self) -> str:
        """The data as JSON text on one line."""
        if self._text is None:
            match self._source:
                case TurnSpec():
                    self._text = to_json(started_data(self._source))
                case TurnEnd():
                    self._text = to_json(completed_data(self._source))
                case TurnRecord():
                    self._text = to_json(turn_data(self._source))
                case None:
                    self._text = "null"
        return self._text

    @property
    def data(self) -> Any:
        """The data. It is the reader's own copy: changing it changes nothing here."""
        return self._text if self.name == CLOSE else json.loads(self.json)

    def __repr__(self) -> str:
        return f"<Event {self.id or '-'} {self.name}>"


#: A result of this type, and a text up to this length, is small enough to be written when somebody reads.
_SMALL = frozenset({bool, int, float, type(None)})
_SHORT = 1_000


def end_event(end: TurnEnd, n: int, max_size: int) -> Event:
    """The terminal event of a turn that was started. A result too large to be kept is told as ``null``."""
    record, outcome = end.turn, end.outcome
    name = "turn." + record.status
    if type(outcome) is not Returned:
        return Event(name, record.epoch, n, None, record)
    result = outcome.result
    if result is None or type(result) in _SMALL or (type(result) is str and len(result) <= _SHORT):
        return Event(name, record.epoch, n, None, end)
    # Written now: it is the agent's, who may go on changing it, and its size counts in the log.
    text = to_json(completed_data(end))
    if len(text) > max_size:
        text = to_json({**turn_data(record), "result": None})
    return Event(name, epoch=record.epoch, n=n, text=text)


def snapshot_event(view: SessionView, cursor: str) -> Event:
    """How a session stands, for a reader who comes to it. What comes next comes after ``cursor``."""
    data = {
        "session": view.session_id,
        "state": view.state.value,
        "turn": view.turn and turn_data(view.turn),
        "queue": [turn_data(record) for record in view.queue],
        "cursor": cursor,
    }
    return Event(SNAPSHOT, text=to_json(data))
