"""The JSON of events and turns: the domain's wire form, whatever carries it. Pure."""

import json
from typing import Any

from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import SessionView, TurnEnd
from turnkeeper.actors.model.records import Returned, TurnError, TurnRecord, TurnSpec, TurnStatus

#: How much of a client's cursor is repeated to it.
MAX_CURSOR = 100

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(data: Any) -> str:
    """Write ``data`` as JSON on one line. Raises `EventNotJson` for what JSON (RFC 8259) cannot say."""
    try:
        text = _encode(data)
        if not text.isascii():
            text.encode()  # a lone surrogate cannot be sent
    except Exception as error:  # the host's own kind of dict or number may raise anything
        raise EventNotJson(f"JSON cannot say this event's data: {type(error).__name__}") from error
    return text


def turn_data(record: TurnRecord) -> dict[str, Any]:
    """A turn, as ``turn.*`` events and answers show it."""
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
    data = {"code": error.code, "type": error.type}
    return data if error.stage is None else {**data, "stage": error.stage}


def started_data(spec: TurnSpec) -> dict[str, Any]:
    """The data of ``turn.started``: the turn and its message (``null`` if JSON cannot say it)."""
    return {
        "task_id": spec.turn_id,
        "status": TurnStatus.RUNNING.value,
        "agent": spec.agent,
        "user": spec.user,
        "submitted_at": spec.submitted_at,
        "message": _or_null(spec.message),
    }


def completed_data(end: TurnEnd) -> dict[str, Any]:
    """The data of ``turn.completed``: the turn and its result (``null`` if JSON cannot say it)."""
    result = end.outcome.result if isinstance(end.outcome, Returned) else None
    return {**turn_data(end.turn), "result": _or_null(result)}


def _or_null(data: Any) -> Any:
    try:
        to_json(data)
    except EventNotJson:
        return None
    return data


def snapshot_data(view: SessionView, cursor: str) -> dict[str, Any]:
    """The data of ``snapshot``: the session as it stands. What comes next comes after ``cursor``."""
    return {
        "session": view.session_id,
        "state": view.state.value,
        "turn": view.turn and turn_data(view.turn),
        "queue": [turn_data(record) for record in view.queue],
        "cursor": cursor,
    }


def gap_data(since: str | None, min_available: str | None) -> dict[str, Any]:
    """The data of ``gap``: the cursor that cannot be continued from, and the oldest id that is kept.

    The cursor is whatever a client sent: it is shortened, and made into what a stream can carry.
    """
    shown = None if since is None else since[:MAX_CURSOR].encode(errors="replace").decode()
    return {"since": shown, "min_available": min_available}


def size_of(message: Any, depth: int = 4) -> int:
    """About how many characters a message takes: its texts, wherever a chat client puts them."""
    # By type and with the built-in methods: what a host's own kind of dict does may raise.
    kind = type(message)
    if issubclass(kind, str):
        return str.__len__(message)
    if depth and issubclass(kind, dict | list):
        parts: Any = dict.values(message) if issubclass(kind, dict) else list.__iter__(message)
        return sum(size_of(part, depth - 1) for part in parts)
    return 0
