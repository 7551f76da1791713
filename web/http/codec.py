"""JSON <-> messages, event -> SSE bytes. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from turnkeeper.actors.events.event import CLOSE, Event, to_json, turn_data
from turnkeeper.actors.model.exceptions import EventNotJson, InvalidRequest
from turnkeeper.actors.model.messages import Accepted, ActiveTurn, CancelAnswer, Conversation, SessionView
from turnkeeper.actors.model.records import Moment, SessionState, TurnRecord, TurnStatus, Verdict
from turnkeeper.actors.model.value import value
from turnkeeper.actors.session.views import timeline

from .problems import Problem

JSON = dict[str, Any]

# -- Requests ---------------------------------------------------------------------------------------

SEND_FIELDS = frozenset({"message", "agent", "multitask_strategy", "task_id", "timeout"})


@value
class SendBody:
    """The body of a send."""

    message: Any
    agent: str | None = None
    strategy: str | None = None
    task_id: str | None = None
    timeout: float | None = None


def decode_json(body: bytes) -> Any:
    """The JSON (RFC 8259) in a request body. Raises `Problem` 422 ``INVALID_JSON``."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Problem(422, "INVALID_JSON", "the body is not UTF-8") from None
    except RecursionError:
        raise Problem(422, "INVALID_JSON", "the body is nested too deep") from None
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise Problem(422, "INVALID_JSON", detail) from None
    except ValueError:
        raise Problem(422, "INVALID_JSON", "the body has a number that is none") from None


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def decode_send(body: bytes) -> SendBody:
    """The body of a send: a list of parts, or an object with a ``message``. Raises `Problem` 422."""
    data = decode_json(body)
    if isinstance(data, list):
        return SendBody(_message(data))
    if not isinstance(data, dict):
        raise InvalidRequest("the body must be a list of parts, or an object with a message", field="body")
    unknown = sorted(set(data) - SEND_FIELDS)
    if unknown:
        raise InvalidRequest(f"unknown field {unknown[0][:100]!r}", field=unknown[0][:100])
    if "message" not in data:
        raise InvalidRequest("the object has no message", field="message")
    return SendBody(
        _message(data["message"]),
        _text(data, "agent"),
        _text(data, "multitask_strategy"),
        _text(data, "task_id"),
        data.get("timeout"),
    )


def _message(data: Any) -> Any:
    if isinstance(data, str):
        parts: list[Any] = [{"type": "text", "text": data}]
    elif isinstance(data, list) and data:
        parts = data
    else:
        raise InvalidRequest("a message is a text, or a list of at least one part", field="message")
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequest("a part is an object with a type", field="message")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise InvalidRequest("a part of type text has a text", field="message")
    for part in parts:
        text = part.get("text")
        if isinstance(text, str):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidRequest("a text has half of a surrogate pair", field="message") from None
    return data


def _text(data: Mapping[str, Any], name: str) -> str | None:
    text = data.get(name)
    if text is not None and not isinstance(text, str):
        raise InvalidRequest(f"{name} must be a text", field=name)
    return text


def decode_ticket(body: bytes) -> list[Any]:
    """The session ids in the body of a ticket's request. Raises `Problem` 422."""
    data = decode_json(body)
    if not isinstance(data, dict) or not isinstance(data.get("log_ids"), list) or not data["log_ids"]:
        raise InvalidRequest(
            "the body must be an object with log_ids, a list of session ids", field="log_ids"
        )
    unknown = sorted(set(data) - {"log_ids"})
    if unknown:
        raise InvalidRequest(f"unknown field {unknown[0][:100]!r}", field=unknown[0][:100])
    return list(data["log_ids"])


def decode_flag(text: str | None, name: str, *, default: bool) -> bool:
    """A query parameter that is ``true`` or ``false``. Raises `InvalidRequest`."""
    match text:
        case None:
            return default
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise InvalidRequest(f"{name} must be true or false", field=name)


def decode_if_match(text: str | None) -> str | None:
    """The turn id in an ``If-Match: "<task_id>"`` (RFC 9110 section 13.1.1). Raises `InvalidRequest`."""
    if text is None:
        return None
    tag = text.strip()
    if len(tag) < 3 or not (tag.startswith('"') and tag.endswith('"')) or '"' in tag[1:-1]:
        raise InvalidRequest('If-Match must be one task id in quotes: "<task_id>"', field="If-Match")
    return tag[1:-1]


# -- Answers ----------------------------------------------------------------------------------------


def encode_accepted(accepted: Accepted) -> JSON:
    """The answer to a send."""
    superseded = accepted.superseded
    return {
        "status": "ok",
        "task_id": accepted.turn_id,
        "superseded": superseded
        and {
            "task_id": superseded.turn_id,
            "verdict": superseded.verdict.value,
            "settled_after_ms": _ms(superseded.settled_after_ms),
        },
        "log_id": accepted.session_id,
        "task_status": accepted.status.value,
        "repeated": accepted.repeated,
    }


#: What `/{task_id}/cancel` says in words, by verdict: status field and message.
CANCEL_WORDS = {
    Verdict.CANCELLED: ("ok", "Task cancelled successfully"),
    Verdict.FINISHED_FIRST: ("ok", "Task had already finished"),
    Verdict.UNRESPONSIVE: ("error", "Task did not stop"),
    Verdict.REQUESTED: ("ok", "Cancellation requested"),
    Verdict.NOT_RUNNING: ("error", "No active task found for this session"),
}


def encode_cancel(answer: CancelAnswer) -> JSON:
    """The answer to a cancel that named its turn."""
    status, message = CANCEL_WORDS[answer.verdict]
    return {"status": status, "message": message, **_cancelled(answer)}


def encode_cancel_session(log_id: str, answer: CancelAnswer) -> JSON:
    """The answer to a cancel of whatever the session does."""
    return {"status": answer.verdict.value, "log_id": log_id, **_cancelled(answer)}


def _cancelled(answer: CancelAnswer) -> JSON:
    return {
        "verdict": answer.verdict.value,
        "settled_after_ms": _ms(answer.settled_after_ms),
        "turn": answer.turn and turn_data(answer.turn),
    }


def encode_active(view: SessionView | None) -> JSON:
    """What a session does, in the words existing clients know; empty when it does nothing."""
    turn = view.turn if view is not None else None
    busy = view is not None and view.state in (SessionState.RUNNING, SessionState.CANCELLING)
    if view is None or turn is None or not busy:
        return {"status": "ok", "active_tasks": {}}
    waiting = [record.turn_id for record in view.queue]
    return {
        "status": "ok",
        "active_tasks": {
            "session_id": view.session_id,
            "task_active": True,
            "task_cancelled": turn.status is TurnStatus.CANCELLING,
            "created_at": turn.started_at,
            "router_tasks": [turn.turn_id, *waiting],
            "task_id": turn.turn_id,
        },
    }


def encode_all_active(active: tuple[ActiveTurn, ...]) -> JSON:
    """All turns in flight, by session."""
    return {
        "status": "ok",
        "active_tasks": {
            each.session_id: {
                "active": True,
                "created_at": each.started_at,
                "task_id": each.turn_id,
                "user": each.owner,
                "agent": each.agent,
            }
            for each in active
        },
    }


def encode_session(view: SessionView) -> JSON:
    """A session with its turns, the newest first."""
    return {
        "log_id": view.session_id,
        "user": view.user,
        "state": view.state.value,
        "turn": view.turn and turn_data(view.turn),
        "queue": [turn_data(record) for record in view.queue],
        "recent_turns": [turn_data(record) for record in reversed(view.recent)],
        "unresponsive_turns": [turn_data(record) for record in view.quarantined],
        "subscribers": view.subscribers,
    }


def encode_turn(log_id: str, record: TurnRecord) -> JSON:
    """One turn with its timeline; ``ms`` counts from its submission."""
    return {"log_id": log_id, **turn_data(record), "timeline": [_moment(each) for each in timeline(record)]}


def _moment(moment: Moment) -> JSON:
    told: JSON = {"step": moment.step, "at": moment.at, "ms": _ms(moment.ms)}
    reason, status = moment.reason, moment.status
    if reason is not None:
        told |= {"by": reason.by, "code": reason.code.value, "text": reason.text}
    if status is not None:
        told["outcome" if moment.step == "ended_late" else "status"] = status.value
    if moment.settled_after_ms is not None:
        told["settled_after_ms"] = _ms(moment.settled_after_ms)
    return told


def encode_messages(conversation: Conversation, most: int) -> str:
    """A conversation as JSON text, the last of it that fits into about ``most`` bytes.

    A message that JSON cannot say is told as ``null``.
    """
    texts: list[str] = []
    for message in reversed(conversation.messages):
        text = _text_or_null(message)
        most -= len(text)
        if most < 0:
            break
        texts.append(text)
    told: JSON = {"status": "ok", "log_id": conversation.session_id, "cursor": conversation.cursor}
    told["omitted"] = len(conversation.messages) - len(texts)
    # Each is written once and not within a larger one: what was nested just not too deep still is.
    return f'{json.dumps(told)[:-1]}, "messages": [{", ".join(reversed(texts))}]}}\n'


def _text_or_null(message: Any) -> str:
    try:
        return to_json(message)
    except EventNotJson:
        return "null"


def _ms(span: float | None) -> float | None:
    return None if span is None else round(span, 3)


# -- Server-Sent Events (WHATWG HTML, section 9.2 "Server-sent events") -------------------------------


def encode_event(event: Event) -> bytes:
    """An event as SSE bytes, made once however many read it."""
    wire = event.wire
    if wire is None:
        head = f"event: {event.name}\n" if event.epoch is None else f"id: {event.id}\nevent: {event.name}\n"
        data = str(event.data) if event.name == CLOSE else event.json
        wire = event.wire = f"{head}data: {data}\n\n".encode()
    return wire


#: About how many bytes go out with one write. A peer that does not read holds up no more than that.
PIECE = 65_536


def encode_events(events: Iterable[Event]) -> Iterator[bytes]:
    """Events as SSE bytes, joined into as few pieces of about `PIECE` bytes as may be."""
    wires = [encode_event(event) for event in events]
    if sum(map(len, wires)) <= PIECE:
        yield b"".join(wires)
        return
    piece: list[bytes] = []
    size = 0
    for wire in wires:
        piece.append(wire)
        size += len(wire)
        if size >= PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


def encode_retry(seconds: float) -> bytes:
    """The field that tells an EventSource when to reconnect."""
    return f"retry: {int(seconds * 1000)}\n\n".encode()


HEARTBEAT = b":\n\n"
