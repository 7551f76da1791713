"""The response object. Pure.

What this API has no word for is in its field ``turnkeeper``: how the turn ended in our words, why it was
stopped and what became of that.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, assert_never

import msgspec

from turnkeeper.actors.model.records import TurnHead, TurnRef, params_of
from turnkeeper.actors.model.words import TERMINAL, TurnStatus
from turnkeeper.actors.session.consequences import ENDS
from turnkeeper.web.http.codec import rounded
from turnkeeper.web.wires.openai import ids
from turnkeeper.web.wires.openai.failures import sentence

from .asked import ECHOED

#: How a response stands.
Status: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]
#: The codes that this API has for some of ours; all others are the server's.
_CODES: Final = {
    "upstream_rate_limited": "rate_limit_exceeded",
    "unsupported_message": "invalid_prompt",
}
#: What ``turnkeeper`` says of a turn, of what is known of it.
_SAID: Final = (
    "attempt",
    "reason",
    "superseded_by",
    "merged_into",
    "rollback",
    "still_running",
    "ended_late",
    "held",
)


def status_of(status: TurnStatus) -> Status:
    """What a turn's status is in the words of this API."""
    match status:
        case TurnStatus.QUEUED:
            return "queued"
        case TurnStatus.RUNNING | TurnStatus.CANCELLING:
            return "in_progress"
        case TurnStatus.COMPLETED:
            return "completed"
        case TurnStatus.CANCELLED:
            return "cancelled"
        case TurnStatus.MERGED:
            return "incomplete"
        case TurnStatus.FAILED | TurnStatus.TIMED_OUT | TurnStatus.INTERRUPTED | TurnStatus.UNRESPONSIVE:
            return "failed"
        case _:
            assert_never(status)


def ending(status: TurnStatus) -> str:
    """The event that ends the stream of a response whose turn ended like this."""
    match status_of(status):
        case "completed":
            return "response.completed"
        case "cancelled" | "incomplete":
            return "response.incomplete"
        case "failed":
            return "response.failed"
        case "queued" | "in_progress":
            raise ValueError(f"a turn that is {status} has not ended")


class Identity:
    """What of a response is known from its send on, and never changes."""

    __slots__ = ("_fixed", "id", "model", "suffix")

    def __init__(self, turn: TurnRef, head: TurnHead) -> None:
        self.id = ids.response_id(turn)
        #: The name of its agent.
        self.model = head.agent
        #: What the ids in it end with.
        self.suffix = ids.suffix(turn)
        alone = ids.belongs_to_no_conversation(turn.session_id)
        self._fixed = {
            **_echo(params_of(head.params_json)),
            "id": self.id,
            "object": "response",
            "created_at": head.submitted_at,
            "model": head.agent,
            "conversation": None if alone else {"id": turn.session_id},
            "tools": (),
            "incomplete_details": None,
        }

    def response(
        self,
        status: TurnStatus,
        turn: Mapping[str, Any] | None = None,
        output: Iterable[Any] = (),
        *,
        is_whole: bool = True,
        failure: str | None = None,
    ) -> dict[str, Any]:
        """The object; ``turn`` is what is known of the turn by then, as `turn_data` says it.

        ``is_whole``: the output is all that it has put out. ``failure`` is why it failed, as its
        agent has said it.
        """
        turn = {} if turn is None else turn
        return {
            **self._fixed,
            "status": status_of(status),
            "output": tuple(output),
            "error": _error(status, turn, failure),
            "completed_at": turn.get("ended_at") if status is TurnStatus.COMPLETED else None,
            "usage": _usage(turn.get("usage")),
            "turnkeeper": {**_turnkeeper(status, turn), **({} if is_whole else {"cut_off": True})},
        }


def _echo(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the request said, where it is what this API knows: others send to the same sessions, too."""
    echo: dict[str, Any] = {}
    for name, (kind, default) in ECHOED.items():
        echo[name] = default
        if params.get(name) is not None:
            try:
                echo[name] = msgspec.to_builtins(msgspec.convert(params[name], kind))
            except msgspec.ValidationError:
                continue
    return echo


def _error(status: TurnStatus, turn: Mapping[str, Any], failure: str | None) -> dict[str, Any] | None:
    """Why it failed; ``type`` is our stable code, which this API has none for."""
    if status_of(status) != "failed":
        return None
    error = turn.get("error")
    code = str(status) if error is None else error["code"].lower()
    message = sentence(status, code, failure)
    return {"code": _CODES.get(code, "server_error"), "message": message, "type": code}


def _usage(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What it has used, if its agent has reported that."""
    if usage is None or usage["input_tokens"] is None or usage["output_tokens"] is None:
        return None
    return {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_tokens"] or 0, "cache_write_tokens": 0},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"] or 0},
        "total_tokens": usage["total_tokens"],
    }


def _turnkeeper(status: TurnStatus, turn: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"status": str(status)}
    said.update({name: turn[name] for name in _SAID if turn.get(name) is not None})
    asked_at, ended_at = turn.get("cancel_requested_at"), turn.get("ended_at")
    if status in TERMINAL and asked_at is not None:
        said["verdict"] = str(ENDS[status].verdict)
        said["settled_after_ms"] = None if ended_at is None else rounded(1000 * (ended_at - asked_at))
    return said
