"""The JSON of events and turns: the domain's wire form, whatever carries it. Pure."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import QueuedTurn, SessionView, TurnEnd
from turnkeeper.actors.model.records import (
    LateEnd,
    Reason,
    Returned,
    SessionId,
    TurnError,
    TurnId,
    TurnRecord,
    TurnSpec,
)
from turnkeeper.actors.model.words import CancelCode, Rollback, SessionState, TurnStatus, WaitsFor

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
    ended_at: Annotated[float | None, _is("When it got its final status.", 1763842010.501)]
    reason: Annotated[ReasonData | None, _is("Why its cancel was requested.")]
    by: Annotated[str | None, _is("The same as `reason.by`.", "ada")]
    superseded_by: Annotated[TurnId | None, _is("The turn that took its place.", None)]
    merged_into: NotRequired[
        Annotated[TurnId, _is("The turn that has its message; only of one that is `merged`.", "t0")]
    ]
    error: Annotated[ErrorData | None, _is("Why it failed.", None)]
    ended_late: Annotated[LateEndData | None, _is("How it ended after it was given up.", None)]
    usage: Annotated[None, _is("For what the agent reports of its use; not yet in use.", None)]
    began: NotRequired[
        Annotated[bool, _is("The agent's own function was entered; absent while that is not known.", True)]
    ]
    rolled_back: NotRequired[Annotated[bool, _is("All of it was undone; absent unless it was to be.", True)]]
    rollback: NotRequired[Annotated[Rollback, _is("How far it was undone, if it was.", Rollback.DONE)]]


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
        "usage": None,
    }
    if record.began is not None:
        data["began"] = record.began
    if record.merged_into is not None:
        data["merged_into"] = record.merged_into
    if record.rollback is not None:
        data["rolled_back"] = record.rollback is Rollback.DONE
        data["rollback"] = record.rollback
    return data


def _reason_data(reason: Reason) -> ReasonData:
    return {"code": reason.code, "by": reason.by, "text": reason.text}


def _error_data(error: TurnError) -> ErrorData:
    data: ErrorData = {"code": error.code, "type": error.type}
    if error.stage is not None:
        data["stage"] = error.stage
    return data


def _late_end_data(late: LateEnd) -> LateEndData:
    return {"outcome": late.outcome, "at": late.at}


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


class StartedData(TypedDict):
    """The data of ``turn.started``."""

    task_id: TurnId
    status: TurnStatus
    agent: str
    user: str
    attempt: int
    submitted_at: float
    message: Any


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


class PlacesData(TypedDict):
    """The data of ``turn.places``: the turns that wait, in order."""

    queue: list[PlaceData]


class GapData(TypedDict):
    """The data of ``gap``."""

    since: str | None
    min_available: str | None


def started_data(spec: TurnSpec, message: Any, attempt: int = 1) -> StartedData:
    """The data of ``turn.started``: the turn, and what is shown of its message (``null`` if not JSON)."""
    return {
        "task_id": spec.turn_id,
        "status": TurnStatus.RUNNING,
        "agent": spec.agent,
        "user": spec.user,
        "attempt": attempt,
        "submitted_at": spec.submitted_at,
        "message": _or_null(message),
    }


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
    return {
        **turn_data(queued.turn),
        "position": queued.position,
        "waits_for": queued.waits_for,
        "not_before": queued.not_before,
    }


def place_data(queued: QueuedTurn) -> PlaceData:
    """A turn that waits, as ``turn.places`` shows it."""
    return {
        "task_id": queued.turn.turn_id,
        "position": queued.position,
        "waits_for": queued.waits_for,
        "not_before": queued.not_before,
    }


def places_data(queue: tuple[QueuedTurn, ...]) -> PlacesData:
    """The data of ``turn.places``."""
    return {"queue": [place_data(queued) for queued in queue]}


def gap_data(since: str | None, min_available: str | None) -> GapData:
    """The data of ``gap``: the cursor that cannot be continued from, and the oldest id that is kept.

    The cursor is whatever a client sent: it is shortened, and made into what a stream can carry.
    """
    shown = None if since is None else since[:MAX_CURSOR].encode(errors="replace").decode()
    return {"since": shown, "min_available": min_available}
