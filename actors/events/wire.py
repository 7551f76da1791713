"""The JSON of events and turns: the domain's wire form, whatever carries it. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import QueuedTurn, SessionView, TurnEnd
from turnkeeper.actors.model.records import (
    LateEnd,
    Reason,
    Returned,
    SessionId,
    StillRunning,
    ToolCall,
    TurnError,
    TurnId,
    TurnRecord,
    TurnRef,
    TurnSpec,
    Usage,
)
from turnkeeper.actors.model.slots import Standing
from turnkeeper.actors.model.words import CancelCode, Rollback, SessionState, ToolStatus, TurnStatus, WaitsFor

#: How much of a client's cursor is repeated to it.
MAX_CURSOR = 100

#: Encoders at rest. To make one costs more than to write a token, so `json`'s C encoder is kept.
_spare: list[Callable[[Any, int], Iterable[str]]] = []


def _new_encoder() -> Callable[[Any, int], Iterable[str]]:
    """`json`'s C encoder, as `json.JSONEncoder` makes one for each text; its own where there is none in C."""
    whole = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    make: Callable[..., Callable[[Any, int], Iterable[str]]] | None
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda data, _level: whole.iterencode(data)
    marks: dict[int, Any] = {}  # the containers that it is in: one that is in it already holds itself
    write = json.encoder.encode_basestring
    encoder: Callable[[Any, int], Iterable[str]]
    encoder = make(marks, whole.default, write, None, ":", ",", False, False, False)
    return encoder


def _encode(data: Any) -> str:
    # Out of the list while it is at work: the host's own kind of dict may write JSON itself, and so may
    # another thread. One that failed stays out, because it keeps the marks of what it was in.
    try:
        encoder = _spare.pop()
    except IndexError:
        encoder = _new_encoder()
    text = "".join(encoder(data, 0))
    _spare.append(encoder)
    return text


def to_json(data: Any) -> str:
    """Write ``data`` as JSON on one line. Raises `EventNotJson` for what JSON (RFC 8259) cannot say."""
    try:
        text = _encode(data)
        if not text.isascii():
            text.encode()  # a lone surrogate cannot be sent
    except (Exception, SystemExit) as error:  # the host's own kind of dict or number may raise anything
        raise EventNotJson(f"this event's data cannot be written as JSON: {type(error).__name__}") from error
    return text


def _is(meaning: str, *examples: Any) -> Meta:
    return Meta(description=meaning, examples=list(examples) or None)


class ReasonData(TypedDict):
    """Why a cancel was requested."""

    code: Annotated[CancelCode, _is("Why.", CancelCode.USER_REQUEST)]
    by: Annotated[str | None, _is("Which user requested it.", "ada")]
    text: Annotated[str | None, _is("In that user's own words, or in turnkeeper's.", None)]


class ErrorData(TypedDict):
    """The error of a failed turn."""

    code: Annotated[str, _is("A stable code.", "agent_error")]
    type: Annotated[str | None, _is("The class of the exception.", "ValueError")]
    stage: NotRequired[Annotated[str, _is("The stage that failed.", "pre_process_msg:censor")]]


class LateEndData(TypedDict):
    """How the coroutine of an unresponsive turn ended after all."""

    outcome: Annotated[TurnStatus, _is("As what it would have ended.", TurnStatus.COMPLETED)]
    at: Annotated[float, _is("When.", 1763842075.5)]


class ToolCallData(TypedDict):
    """A call of a tool."""

    id: Annotated[str, _is("The model's id for it.", "call_1")]
    name: Annotated[str, _is("The tool's name.", "search")]


class UsageData(TypedDict):
    """What a turn has used, as its agent has reported it; `null` is what it has not said."""

    input_tokens: Annotated[int | None, _is("Tokens that its models were given.", 1200)]
    output_tokens: Annotated[int | None, _is("Tokens that they have written.", 340)]
    cached_tokens: Annotated[int | None, _is("How many of the input tokens came out of a cache.", 1000)]
    reasoning_tokens: Annotated[int | None, _is("How many of the output tokens are not shown.", None)]
    total_tokens: Annotated[int | None, _is("Input and output tokens together.", 1540)]


class StillRunningData(TypedDict):
    """How much of what a turn has begun runs on."""

    tasks: Annotated[int, _is("Of its tasks.", 0)]
    threads: Annotated[int, _is("Of its functions in threads.", 1)]
    processes: Annotated[int, _is("Of its processes, each with all that it has started.", 0)]


class TurnRefData(TypedDict):
    """Which turn of another session."""

    log_id: Annotated[SessionId, _is("Its session.", "s2")]
    task_id: Annotated[TurnId, _is("Its own id.", "t2")]


class TurnData(TypedDict):
    """A turn, as ``turn.*`` events and answers show it. What does not apply is ``null``."""

    task_id: Annotated[TurnId, _is("Which turn.", "t1")]
    status: Annotated[TurnStatus, _is("How it stands.", TurnStatus.CANCELLED)]
    agent: Annotated[str, _is("The name of its agent.", "default")]
    user: Annotated[str, _is("Who sent its message.", "ada")]
    attempt: Annotated[
        int, _is("How often it was started; while it is queued, the attempt that comes next.", 1)
    ]
    submitted_at: Annotated[float, _is("When the message arrived.", 1763842008.123)]
    started_at: Annotated[float | None, _is("When it got hold of the session.", 1763842008.124)]
    cancel_requested_at: Annotated[float | None, _is("When its cancel was requested.", 1763842010.5)]
    held: NotRequired[
        Annotated[bool, _is("Its cancel waits for a step that must not be interrupted; else absent.", True)]
    ]
    ended_at: Annotated[float | None, _is("When it got its final status.", 1763842010.501)]
    reason: Annotated[ReasonData | None, _is("Why its cancel was requested.")]
    by: Annotated[str | None, _is("The same as `reason.by`.", "ada")]
    superseded_by: Annotated[TurnId | None, _is("The turn that took its place.", None)]
    merged_into: NotRequired[
        Annotated[TurnId, _is("The turn that has its message; only of one that is `merged`.", "t0")]
    ]
    error: Annotated[ErrorData | None, _is("Why it failed.", None)]
    ended_late: Annotated[LateEndData | None, _is("How it ended after it was given up.", None)]
    usage: Annotated[UsageData | None, _is("What it has used, if its agent has reported that.")]
    began: NotRequired[
        Annotated[bool, _is("The agent's own function was entered; absent while that is not known.", True)]
    ]
    rolled_back: NotRequired[Annotated[bool, _is("All of it was undone; absent unless it was to be.", True)]]
    rollback: NotRequired[Annotated[Rollback, _is("How far it was undone, if it was.", Rollback.DONE)]]
    open_calls: NotRequired[
        Annotated[
            list[ToolCallData],
            _is("The calls of tools that it has not come back from; absent if there are none."),
        ]
    ]
    still_running: NotRequired[
        Annotated[
            StillRunningData,
            _is("What it had begun and what still ran when it was given up; on its way out, what does now."),
        ]
    ]
    parent: NotRequired[
        Annotated[TurnRefData, _is("The turn that sent its message, if one did; else absent.")]
    ]
    children: NotRequired[
        Annotated[list[TurnRefData], _is("The turns that it has sent for; absent if there are none.")]
    ]


def turn_data(record: TurnRecord) -> TurnData:
    """A turn, as ``turn.*`` events and answers show it."""
    head, asked, error, late = record.head, record.cancellation, record.error, record.ended_late
    reason = None if asked is None else asked.reason
    data: TurnData = {
        "task_id": head.turn_id,
        "status": record.status,
        "agent": head.agent,
        "user": head.user,
        "attempt": record.attempt,
        "submitted_at": head.submitted_at,
        "started_at": record.started_at,
        "cancel_requested_at": None if asked is None else asked.asked_at,
        "ended_at": record.ended_at,
        "reason": None if reason is None else _reason_data(reason),
        "by": None if reason is None else reason.by,
        "superseded_by": record.superseded_by,
        "error": None if error is None else _error_data(error),
        "ended_late": None if late is None else _late_end_data(late),
        "usage": None if record.extras is None else _usage_data(record.extras.usage),
    }
    if record.held:
        data["held"] = True
    if record.began is not None:
        data["began"] = record.began
    if record.merged_into is not None:
        data["merged_into"] = record.merged_into
    if record.rollback is not None:
        data["rolled_back"] = record.rollback is Rollback.DONE
        data["rollback"] = record.rollback
    if record.open_calls:
        data["open_calls"] = [_call_data(call) for call in record.open_calls]
    if record.still_running is not None:
        data["still_running"] = still_running_data(record.still_running)
    if head.parent is not None:
        data["parent"] = ref_data(head.parent)
    if record.children:
        data["children"] = [ref_data(child) for child in record.children]
    return data


def still_running_data(still: StillRunning) -> StillRunningData:
    """How much of what a turn had begun runs on."""
    return {"tasks": still.tasks, "threads": still.threads, "processes": still.processes}


def _call_data(call: ToolCall) -> ToolCallData:
    return {"id": call.id, "name": call.name}


def ref_data(turn: TurnRef) -> TurnRefData:
    """Which turn of another session."""
    return {"log_id": turn.session_id, "task_id": turn.turn_id}


def _reason_data(reason: Reason) -> ReasonData:
    return {"code": reason.code, "by": reason.by, "text": reason.text}


def _usage_data(usage: Usage | None) -> UsageData | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "total_tokens": usage.total_tokens,
    }


def _error_data(error: TurnError) -> ErrorData:
    data: ErrorData = {"code": error.code, "type": error.type}
    if error.stage is not None:
        data["stage"] = error.stage
    return data


def _late_end_data(late: LateEnd) -> LateEndData:
    return {"outcome": late.outcome, "at": late.at}


class StandingData(TypedDict):
    """Where a turn stands that waits for a slot."""

    position: Annotated[
        int,
        _is(
            "Its place among the turns of its user that wait for a slot in its lane, from 1; those of others "
            "may come first.",
            2,
        ),
    ]
    waiting: Annotated[int, _is("How many turns wait for a slot in all.", 37)]


class QueuedTurnData(TurnData):
    """A turn that waits, with its place and what it waits for."""

    position: Annotated[
        int | None,
        _is("Its place: 0 if it is called up, from 1 behind that; `null` while it waits for a moment.", 1),
    ]
    waits_for: Annotated[WaitsFor, _is("What it waits for.", WaitsFor.SESSION_BUSY)]
    not_before: Annotated[
        float | None, _is("The moment that it waits for, in Unix seconds, if it does.", None)
    ]
    standing: NotRequired[
        Annotated[StandingData, _is("Where it stands if it is called up and waits for a slot; else absent.")]
    ]


class StartedData(TypedDict):
    """The data of ``turn.started``."""

    task_id: TurnId
    status: TurnStatus
    agent: str
    user: str
    attempt: int
    submitted_at: float
    message: Any
    parent: NotRequired[TurnRefData]


class CompletedData(TurnData):
    """The data of ``turn.completed``."""

    result: Any


class InterruptedData(TurnData):
    """The data of ``turn.interrupted``."""

    kept: str | None
    will_continue: bool
    from_start: bool


class SnapshotData(TypedDict):
    """The data of ``snapshot``."""

    session: SessionId
    state: SessionState
    turn: TurnData | None
    queue: list[QueuedTurnData]
    cursor: str


class PlaceData(TypedDict):
    """A turn that waits: its place, and what it waits for."""

    task_id: TurnId
    position: int | None
    waits_for: WaitsFor
    not_before: float | None
    standing: NotRequired[StandingData]


class PlacesData(TypedDict):
    """The data of ``turn.places``: the turns that wait, in order."""

    queue: list[PlaceData]


class EditedData(TypedDict):
    """The data of ``turn.edited``: what a turn that waits says now."""

    task_id: TurnId
    by: str
    message: Any


class GapData(TypedDict):
    """The data of ``gap``."""

    since: str | None
    min_available: str | None


def started_data(spec: TurnSpec, message: Any, attempt: int = 1) -> StartedData:
    """The data of ``turn.started``: the turn, and what is shown of its message (``null`` if not JSON)."""
    data: StartedData = {
        "task_id": spec.turn_id,
        "status": TurnStatus.RUNNING,
        "agent": spec.agent,
        "user": spec.user,
        "attempt": attempt,
        "submitted_at": spec.submitted_at,
        "message": _or_null(message),
    }
    if spec.head.parent is not None:
        data["parent"] = ref_data(spec.head.parent)
    return data


def completed_data(end: TurnEnd) -> CompletedData:
    """The data of ``turn.completed``: the turn and its result (``null`` if it is not JSON)."""
    result = end.outcome.result if isinstance(end.outcome, Returned) else None
    return {**turn_data(end.turn), "result": _or_null(result)}


def interrupted_data(
    record: TurnRecord, kept: str | None, *, will_continue: bool, from_start: bool = False
) -> InterruptedData:
    """The data of ``turn.interrupted``: the turn, and the id of the last event before this one that is kept.

    A reader may have seen more of what came before, which is lost. ``from_start``: the next attempt says
    everything again.
    """
    return {
        **turn_data(record),
        "kept": kept,
        "will_continue": will_continue,
        "from_start": from_start,
    }


def tool_call_data(turn_id: TurnId, call: ToolCall, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The data of ``turn.tool_call``; ``shown`` are the ``arguments``, if they are to be."""
    return {"task_id": turn_id, **_call_data(call), **shown}


def tool_result_data(
    turn_id: TurnId, call: ToolCall, outcome: ToolStatus, ms: float, shown: Mapping[str, Any]
) -> dict[str, Any]:
    """The data of ``turn.tool_result``; ``shown`` is the ``result``, if it is to be.

    It has no ``status``, which would be taken for the turn's.
    """
    return {"task_id": turn_id, **_call_data(call), "outcome": outcome, "ms": ms, **shown}


def _or_null(data: Any) -> Any:
    try:
        to_json(data)
    except EventNotJson:
        return None
    return data


def snapshot_data(view: SessionView, queue: tuple[QueuedTurn, ...], cursor: str) -> SnapshotData:
    """The data of ``snapshot``: the session as it stands, with those that wait for it.

    What comes next comes after ``cursor``.
    """
    turn = view.turn
    return {
        "session": view.session_id,
        "state": view.state,
        "turn": None if turn is None else turn_data(turn),
        "queue": [queued_data(queued) for queued in queue],
        "cursor": cursor,
    }


def queued_data(queued: QueuedTurn) -> QueuedTurnData:
    """A turn that waits, as ``snapshot`` and answers show it."""
    place = place_data(queued)
    return {**turn_data(queued.turn), **place}


def place_data(queued: QueuedTurn) -> PlaceData:
    """A turn that waits, as ``turn.places`` shows it."""
    data: PlaceData = {
        "task_id": queued.turn.turn_id,
        "position": queued.position,
        "waits_for": queued.waits_for,
        "not_before": queued.not_before,
    }
    if queued.standing is not None:
        data["standing"] = standing_data(queued.standing)
    return data


def standing_data(standing: Standing) -> StandingData:
    """Where a turn stands that waits for a slot; what for is said beside it."""
    return {"position": standing.position, "waiting": standing.waiting}


def places_data(queue: tuple[QueuedTurn, ...]) -> PlacesData:
    """The data of ``turn.places``."""
    return {"queue": [place_data(queued) for queued in queue]}


def edited_data(turn_id: TurnId, by: str, message: Any) -> EditedData:
    """The data of ``turn.edited``: the turn, who edited it, and what is shown of its message."""
    return {"task_id": turn_id, "by": by, "message": _or_null(message)}


def gap_data(since: str | None, min_available: str | None) -> GapData:
    """The data of ``gap``: the cursor that cannot be continued from, and the oldest id that is kept.

    The cursor is whatever a client sent: it is shortened, and made into what a stream can carry.
    """
    shown = None if since is None else since[:MAX_CURSOR].encode(errors="replace").decode()
    return {"since": shown, "min_available": min_available}
