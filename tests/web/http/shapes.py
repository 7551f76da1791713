"""The answers over HTTP, written out member by member, as existing clients read them.

They were the encoders before the answers had types. The types may gain members; none of these may be lost.
"""

import json
from typing import Any

from turnkeeper.actors.events.wire import to_json, turn_data
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import Accepted, ActiveTurn, CancelAnswer, Conversation, SessionView
from turnkeeper.actors.model.records import Moment, TurnRecord
from turnkeeper.actors.model.words import SessionState, TurnStatus, Verdict
from turnkeeper.actors.session.views import timeline

JSON = dict[str, Any]


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
            "rolled_back": superseded.rolled_back,
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
        "cleared": list(answer.cleared),
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
    result = record.result
    return {
        "log_id": log_id,
        **turn_data(record),
        "result": None if result is None else result.value,
        "result_left_out": result is not None and result.left_out,
        "timeline": [_moment(each) for each in timeline(record)],
    }


def _moment(moment: Moment) -> JSON:
    shape: JSON = {"step": moment.step, "at": moment.at, "ms": _ms(moment.ms)}
    reason, status = moment.reason, moment.status
    if reason is not None:
        shape |= {"by": reason.by, "code": reason.code.value, "text": reason.text}
    if status is not None:
        shape["outcome" if moment.step == "ended_late" else "status"] = status.value
    if moment.settled_after_ms is not None:
        shape["settled_after_ms"] = _ms(moment.settled_after_ms)
    return shape


def encode_messages(conversation: Conversation, most: int) -> str:
    """A conversation as JSON text, the last of it that fits into about ``most`` bytes.

    A message that is not JSON is ``null``.
    """
    texts: list[str] = []
    for message in reversed(conversation.messages):
        text = _text_or_null(message)
        most -= len(text)
        if most < 0:
            break
        texts.append(text)
    shape: JSON = {"status": "ok", "log_id": conversation.session_id, "cursor": conversation.cursor}
    shape["omitted"] = len(conversation.messages) - len(texts)
    # Each is written once and not within a larger one: what was nested just not too deep still is.
    return f'{json.dumps(shape)[:-1]}, "messages": [{", ".join(reversed(texts))}]}}\n'


def _text_or_null(message: Any) -> str:
    try:
        return to_json(message)
    except EventNotJson:
        return "null"


def _ms(span: float | None) -> float | None:
    return None if span is None else round(span, 3)
