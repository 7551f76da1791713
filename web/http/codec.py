"""What the actors answer -> the types of the answers over HTTP, and their JSON. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypedDict, assert_never, overload

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from turnkeeper.actors.events.shown import as_one_part, shown, shown_as_kept, size_of
from turnkeeper.actors.events.wire import (
    QueuedTurnData,
    StandingData,
    StillRunningData,
    TurnData,
    TurnRefData,
    queued_data,
    ref_data,
    standing_data,
    still_running_data,
    to_json,
    turn_data,
)
from turnkeeper.actors.model import messages, records
from turnkeeper.actors.model.exceptions import EventNotJson
from turnkeeper.actors.model.messages import LoopLag
from turnkeeper.actors.model.policy import Decided, Policy
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import (
    CancelCode,
    Layer,
    OnCap,
    Priority,
    SessionState,
    Step,
    TurnStatus,
    Verdict,
    WaitsFor,
)
from turnkeeper.actors.session.fields import FIELDS, Field
from turnkeeper.actors.session.views import timeline

from .problems import Code, Problem

_ENCODER = msgspec.json.Encoder()


def encode(answer: Any) -> bytes:
    """An answer as JSON, with its line ended for those who read it in a terminal."""
    try:
        return _ENCODER.encode(answer) + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, for which JSON has an escape
        return json.dumps(msgspec.to_builtins(answer, enc_hook=_read)).encode() + b"\n"


def _read(written: Raw) -> Any:
    """What was written as JSON already."""
    return json.loads(bytes(written))


def _is(meaning: str, *examples: Any) -> Meta:
    return Meta(description=meaning, examples=list(examples) or None)


Ok: TypeAlias = Annotated[Literal["ok"], _is("Always `ok`.", "ok")]
LogId: TypeAlias = Annotated[str, _is("The session.", "s1")]
TaskId: TypeAlias = Annotated[str, _is("The turn.", "t1")]
Milliseconds: TypeAlias = Annotated[
    float | None,
    _is(
        "How many milliseconds after the cancel was requested the turn settled; `null` if it did not.", 0.412
    ),
]


# -- Policies ---------------------------------------------------------------------------------------


class DecidedField(Struct):
    """What holds of one field of a policy, and which layer decided it."""

    value: Annotated[Any, _is("Its value.", 60.0)]
    layer: Annotated[Layer, _is("The layer that decided it.", Layer.AGENT)]
    name: Annotated[str | None, _is("The agent's or user's name, if it is one of these.", "coder")]
    capped: Annotated[float, _is("What the send asked for, if that was more.", 600.0)] | UnsetType = UNSET


_DECIDED = {"turn_timeout": DecidedField(60.0, Layer.AGENT, "coder", 600.0)}


class HeldField(Struct, kw_only=True):
    """What holds of one field of a policy, which layer says so, and whether a send may say more."""

    value: Annotated[Any, _is("Its value.", 60.0)]
    layer: Annotated[Layer, _is("The layer that decided it.", Layer.AGENT)]
    name: Annotated[str | None, _is("The agent's or user's name, if it is one of these.", "coder")]
    member: Annotated[
        str | None, _is("How a send may set it: this member of its body. `null` if it may not.", "timeout")
    ]
    narrow_only: Annotated[bool, _is("A send can only make it less.", True)]


_HELD = {
    "turn_timeout": HeldField(value=60.0, layer=Layer.AGENT, name="coder", member="timeout", narrow_only=True)
}


class PolicyAnswer(Struct, kw_only=True):
    """How the turns are run that the session's user sends to an agent."""

    status: Ok = "ok"
    log_id: LogId
    user: Annotated[str, _is("Whose session it is.", "ada")]
    agent: Annotated[str, _is("The name of the agent.", "coder")]
    policy: Annotated[dict[str, HeldField], _is("All fields, by their names.", _HELD)]


def encode_policy(log_id: str, view: messages.PolicyView) -> PolicyAnswer:
    """How the turns of a session's user are run."""
    fields = {name: _held(field, view) for name, field in FIELDS.items()}
    return PolicyAnswer(log_id=log_id, user=view.user, agent=view.agent, policy=fields)


def _held(field: Field, view: messages.PolicyView) -> HeldField:
    decided = view.policy.decided(field.name)
    member = field.member if field.name in view.may_be_set else None
    return HeldField(
        value=decided.value,
        layer=decided.layer,
        name=decided.name,
        member=member,
        narrow_only=field.tighten,
    )


def _decided(decided: Decided) -> DecidedField:
    capped = UNSET if decided.capped is None else decided.capped
    return DecidedField(decided.value, decided.layer, decided.name, capped)


# -- Admission --------------------------------------------------------------------------------------

_NOW = {Priority.NORMAL: {WaitsFor.USER_CAP: 30, WaitsFor.SERVER_CAP: 7}}


class AdmissionNow(Struct, kw_only=True):
    """How it stands with those who ask to be let in."""

    in_flight: Annotated[
        int, _is("How many turns are in flight, or will be at a moment without waiting for a slot.", 20)
    ]
    in_flight_of_agents: Annotated[
        dict[str, int], _is("Those of each agent that has any, by its name.", {"coder": 20})
    ]
    active_users: Annotated[
        int, _is("How many users have a turn in flight, or one that waits for a slot.", 5)
    ]
    share: Annotated[
        float, _is("How many turns a user may have in flight before others who have fewer go first.", 4.0)
    ]
    waiting: Annotated[int, _is("How many turns wait for a slot.", 37)]
    waiting_by_lane: Annotated[
        dict[Priority, dict[WaitsFor, int]], _is("The same by lane and by what they wait for.", _NOW)
    ]


class AdmissionAnswer(Struct, kw_only=True):
    """How turns are let in, and how that goes."""

    status: Ok = "ok"
    max_in_flight_in_all: Annotated[
        int, _is("How many turns may be in flight: how many slots there are.", 20)
    ]
    max_in_flight: Annotated[int, _is("How many turns a user may have in flight.", 32)]
    max_of_agent: Annotated[
        int | None, _is("How many turns of one agent may be in flight; `null`: any number.", None)
    ]
    max_waiting: Annotated[int, _is("How many turns of a user may wait for a slot.", 32)]
    max_waiting_in_all: Annotated[
        int, _is("How many turns of all users together may wait for a slot.", 10_000)
    ]
    lane_aging: Annotated[float, _is("After how many seconds a turn that waits rises by a lane.", 30.0)]
    on_cap: Annotated[OnCap, _is("What becomes of a send beyond a cap.", OnCap.WAIT)]
    priority: Annotated[Priority, _is("The lane of the turns.", Priority.NORMAL)]
    agents: Annotated[
        dict[str, dict[str, Any]],
        _is("What is said of each agent, of these fields.", {"coder": {"max_of_agent": 20}}),
    ]
    users: Annotated[
        dict[str, dict[str, Any]],
        _is("The same of each user of whom something is said.", {"ada": {"max_in_flight": 4}}),
    ]
    now: Annotated[AdmissionNow, _is("How it stands.")]


def encode_admission(found: messages.Admission) -> AdmissionAnswer:
    """How turns are let in, and how that goes."""
    by_lane: dict[Priority, dict[WaitsFor, int]] = {}
    for (lane, waits_for), number in found.waiting.items():
        by_lane.setdefault(lane, {})[waits_for] = number
    now = AdmissionNow(
        in_flight=found.in_flight,
        in_flight_of_agents=dict(found.of_agents),
        active_users=found.active_users,
        share=rounded(found.share),
        waiting=sum(found.waiting.values()),
        waiting_by_lane=by_lane,
    )
    agents, users = (
        {name: dict(each) for name, each in said.items()} for said in (found.agents, found.users)
    )
    return AdmissionAnswer(**found.fields, agents=agents, users=users, now=now)


# -- Turns ------------------------------------------------------------------------------------------


StillRunning: TypeAlias = (
    Annotated[StillRunningData, _is("What runs on of what the turn has begun; absent if nothing is seen to.")]
    | UnsetType
)


class SupersededTurn(Struct):
    """What became of the turn that a send found in its way."""

    task_id: Annotated[str, _is("The turn.", "t0")]
    verdict: Annotated[Verdict, _is("What its cancel came to.", Verdict.CANCELLED)]
    settled_after_ms: Milliseconds
    rolled_back: Annotated[
        bool | None, _is("All of it was undone, as by a send that rolls back; `null` if not known.", False)
    ]
    still_running: StillRunning = UNSET


class SendAnswer(Struct, kw_only=True):
    """The turn has started, is queued, or has ended already, as `task_status` says."""

    status: Ok = "ok"
    task_id: TaskId
    superseded: Annotated[SupersededTurn | None, _is("The turn that was in the way, or `null`.")]
    log_id: LogId
    task_status: Annotated[TurnStatus, _is("How the turn stands.", TurnStatus.RUNNING)]
    repeated: Annotated[
        bool, _is("The turn was known before: the send was a retry and started nothing.", False)
    ]
    began: (
        Annotated[bool, _is("The agent's own function was entered; absent while that is not known.", False)]
        | UnsetType
    ) = UNSET
    position: (
        Annotated[int, _is("Its place if it waits for the session: 0 if it is called up, from 1 behind.", 1)]
        | UnsetType
    ) = UNSET
    waits_for: (
        Annotated[WaitsFor, _is("What it waits for, if it does.", WaitsFor.SESSION_BUSY)] | UnsetType
    ) = UNSET
    not_before: (
        Annotated[float, _is("The moment that it waits for, in Unix seconds, if it does.", 1763842068.1)]
        | UnsetType
    ) = UNSET
    standing: (
        Annotated[StandingData, _is("Where it stands if it waits for a slot; absent if not.")] | UnsetType
    ) = UNSET
    capped: (
        Annotated[
            dict[str, DecidedField],
            _is(
                "The fields of its policy in which it got less than the send asked for; absent if none.",
                _DECIDED,
            ),
        ]
        | UnsetType
    ) = UNSET
    merged_into: (
        Annotated[str, _is("The turn that its message has joined; only of one that is `merged`.", "t0")]
        | UnsetType
    ) = UNSET


def encode_accepted(accepted: messages.Accepted) -> SendAnswer:
    """The answer to a send."""
    lost = accepted.superseded
    superseded = None
    if lost is not None:
        superseded = SupersededTurn(
            lost.turn_id,
            lost.verdict,
            rounded(lost.settled_after_ms),
            lost.rolled_back,
            _still_running(lost.still_running),
        )
    return SendAnswer(
        task_id=accepted.turn_id,
        superseded=superseded,
        log_id=accepted.session_id,
        task_status=accepted.status,
        repeated=accepted.repeated,
        began=UNSET if accepted.began is None else accepted.began,
        position=UNSET if accepted.position is None else accepted.position,
        waits_for=UNSET if accepted.waits_for is None else accepted.waits_for,
        not_before=UNSET if accepted.not_before is None else accepted.not_before,
        standing=UNSET if accepted.standing is None else standing_data(accepted.standing),
        capped=UNSET if accepted.own_policy is None else _capped(accepted),
        merged_into=UNSET if accepted.merged_into is None else accepted.merged_into,
    )


def _capped(accepted: messages.Accepted) -> dict[str, DecidedField] | UnsetType:
    return {name: _decided(each) for name, each in accepted.capped.items()} or UNSET


Cleared: TypeAlias = Annotated[
    list[str],
    _is("The turns that waited and were cancelled with it, in their order (`queue=clear`).", ["t2"]),
]


class CancelAnswer(Struct):
    """What a cancel that named its turn came to."""

    status: Annotated[Literal["ok", "error"], _is("`error` if the turn did not stop.", "ok")]
    message: Annotated[str, _is("The verdict in words.", "Task cancelled successfully")]
    verdict: Annotated[Verdict, _is("What the cancel came to.", Verdict.CANCELLED)]
    settled_after_ms: Milliseconds
    turn: Annotated[TurnData | None, _is("The turn.")]
    cleared: Cleared
    still_running: StillRunning = UNSET


class UnknownTurnProblem(Struct, kw_only=True):
    """A problem body and the answer to a cancel in one: existing clients read `status` and `message`."""

    type: Annotated[Literal["about:blank"], _is("Says that `code` says it.", "about:blank")] = "about:blank"
    title: Annotated[str, _is("The HTTP status in words.", "Not Found")]
    status: Annotated[Literal["error"], _is("As existing clients know it.", "error")] = "error"
    detail: Annotated[str, _is("What is wrong, for people.", "No active task found for this session")]
    code: Annotated[Literal["UNKNOWN_TURN", "TURN_OF_ANOTHER_PROCESS"], _is("What is wrong, for programs.")]
    remembered_for: Annotated[
        float | None,
        _is("For how many seconds the cancel will count if a send with this id arrives after it.", 30.0),
    ]
    message: Annotated[str, _is("The verdict in words.", "No active task found for this session")]
    verdict: (
        Annotated[Verdict, _is("What the cancel came to, where that can be known.", Verdict.NOT_RUNNING)]
        | UnsetType
    ) = UNSET
    settled_after_ms: Annotated[None, _is("Nothing settled.", None)] = None
    turn: Annotated[None, _is("There is none.", None)] = None
    cleared: Annotated[list[str], _is("None were.", [])] = []


class SessionCancelAnswer(Struct):
    """What a cancel of whatever the session does came to."""

    status: Annotated[Verdict, _is("The verdict.", Verdict.CANCELLED)]
    log_id: LogId
    verdict: Annotated[Verdict, _is("The same.", Verdict.CANCELLED)]
    settled_after_ms: Milliseconds
    turn: Annotated[TurnData | None, _is("The turn that was cancelled, if there was one.")]
    cleared: Cleared
    still_running: StillRunning = UNSET


def cancel_words(verdict: Verdict) -> tuple[Literal["ok", "error"], str]:
    """The ``status`` and ``message`` of a cancel that named its turn, as existing clients know them."""
    match verdict:
        case Verdict.CANCELLED:
            return "ok", "Task cancelled successfully"
        case Verdict.FINISHED_FIRST:
            return "ok", "Task had already finished"
        case Verdict.UNRESPONSIVE:
            return "error", "Task did not stop"
        case Verdict.REQUESTED:
            return "ok", "Cancellation requested"
        case Verdict.NOT_RUNNING:
            return "error", "No active task found for this session"
        case _:
            assert_never(verdict)


def encode_cancel(answer: messages.CancelAnswer) -> CancelAnswer:
    """The answer to a cancel that named its turn."""
    return CancelAnswer(*cancel_words(answer.verdict), *_cancelled(answer))


def encode_unknown_turn(answer: messages.CancelAnswer) -> UnknownTurnProblem:
    """The answer to a cancel that named a turn which is not known."""
    _, message = cancel_words(answer.verdict)
    problem = Problem(Code.UNKNOWN_TURN, message).body
    return UnknownTurnProblem(
        title=problem.title,
        detail=message,
        code="UNKNOWN_TURN",
        remembered_for=rounded(answer.remembered_for),
        message=message,
        verdict=answer.verdict,
    )


def encode_turn_of_another_process() -> UnknownTurnProblem:
    """The answer to a cancel of a turn of another process, of which nothing is known here."""
    detail = "the turn belongs to another process, or to an earlier one"
    problem = Problem(Code.TURN_OF_ANOTHER_PROCESS, detail).body
    return UnknownTurnProblem(
        title=problem.title,
        detail=detail,
        code="TURN_OF_ANOTHER_PROCESS",
        remembered_for=None,
        message=detail,
    )


def encode_cancel_session(log_id: str, answer: messages.CancelAnswer) -> SessionCancelAnswer:
    """The answer to a cancel of whatever the session does."""
    return SessionCancelAnswer(answer.verdict, log_id, *_cancelled(answer))


def _cancelled(answer: messages.CancelAnswer) -> tuple[Any, ...]:
    """What both answers have of a cancel."""
    turn, still_running = _turn(answer.turn), _still_running(answer.still_running)
    return answer.verdict, rounded(answer.settled_after_ms), turn, list(answer.cleared), still_running


def _still_running(still: records.StillRunning | None) -> StillRunningData | UnsetType:
    return UNSET if still is None else still_running_data(still)


class StoppedTask(Struct, kw_only=True):
    """One turn of a bulk cancel, with what its cancel came to."""

    log_id: LogId
    task_id: TaskId
    user: Annotated[str, _is("Whose session it is.", "ada")]
    agent: Annotated[str, _is("The name of its agent.", "default")]
    task_status: Annotated[TurnStatus, _is("How the turn stood when it was found.", TurnStatus.RUNNING)]
    verdict: Annotated[
        Verdict | None,
        _is("What its cancel came to; `null` in a dry run, and where it was refused.", Verdict.CANCELLED),
    ]
    settled_after_ms: Milliseconds
    cleared: Annotated[list[str], _is("The turns that waited and were cancelled with it.", [])]
    error: Annotated[str, _is("The code with which its cancel was refused.", "SESSION_LOST")] | UnsetType = (
        UNSET
    )
    still_running: StillRunning = UNSET


class CancelManyAnswer(Struct, kw_only=True):
    """What came of each turn of a bulk cancel."""

    status: Ok = "ok"
    matched: Annotated[int, _is("How many turns the filters let through.", 3)]
    cancelled: Annotated[int, _is("How many of them have been cancelled.", 2)]
    truncated: Annotated[
        int, _is("How many of them are not in `results`, and were left alone: ask again.", 0)
    ]
    dry_run: Annotated[bool, _is("Nothing was stopped.", False)]
    as_of: Annotated[
        float,
        _is(
            "The moment of the snapshot, in Unix seconds: no turn that was sent later is stopped.",
            1763842008.1,
        ),
    ]
    still_running: (
        Annotated[StillRunningData, _is("What runs on of all of them, in sum; absent if nothing is seen to.")]
        | UnsetType
    ) = UNSET
    results: Annotated[list[StoppedTask], _is("The turns, with what came of each.")]


def encode_stopped(stopped: messages.StoppedTurn) -> StoppedTask:
    """One turn of a bulk cancel."""
    return StoppedTask(
        log_id=stopped.session_id,
        task_id=stopped.turn_id,
        user=stopped.owner,
        agent=stopped.agent,
        task_status=stopped.status,
        verdict=stopped.verdict,
        settled_after_ms=rounded(stopped.settled_after_ms),
        cleared=list(stopped.cleared),
        error=UNSET if stopped.error is None else stopped.error,
        still_running=_still_running(stopped.still_running),
    )


def encode_cancelled_many(
    answer: messages.CancelledMany, results: list[StoppedTask], *, dry_run: bool
) -> CancelManyAnswer:
    """The answer to a bulk cancel with these results."""
    cancelled = sum(each.verdict is Verdict.CANCELLED for each in results)
    return CancelManyAnswer(
        matched=answer.matched,
        cancelled=cancelled,
        truncated=answer.truncated,
        dry_run=dry_run,
        as_of=answer.as_of,
        still_running=_still_running(answer.still_running),
        results=results,
    )


class Moment(Struct, kw_only=True):
    """One step of a turn's timeline."""

    step: Annotated[Step, _is("What happened.", Step.STARTED)]
    at: Annotated[float, _is("When, in Unix seconds.", 1763842008.124)]
    ms: Annotated[float, _is("How many milliseconds after the turn was submitted.", 1.0)]
    by: Annotated[str | None, _is("Of a cancel: who requested it.", "ada")] | UnsetType = UNSET
    code: Annotated[CancelCode, _is("Of a cancel: why.", CancelCode.USER_REQUEST)] | UnsetType = UNSET
    text: Annotated[str | None, _is("Of a cancel: in whose words.", None)] | UnsetType = UNSET
    outcome: Annotated[TurnStatus, _is("Of a late end: as what it would have ended.")] | UnsetType = UNSET
    status: Annotated[TurnStatus, _is("Of an end: the status.", TurnStatus.CANCELLED)] | UnsetType = UNSET
    settled_after_ms: Annotated[float, _is("How long after the cancel it settled.", 0.4)] | UnsetType = UNSET
    turn: Annotated[TurnRefData, _is("Of a child: which turn that is.")] | UnsetType = UNSET
    queue_wait_ms: (
        Annotated[float, _is("Of the start of a turn that had to wait: for how long.", 120.0)] | UnsetType
    ) = UNSET
    decided_by: (
        Annotated[dict[str, DecidedField], _is("The fields of the turn's policy that are behind it.")]
        | UnsetType
    ) = UNSET


_TIMELINE = [
    Moment(step=Step.SUBMITTED, at=1763842008.123, ms=0.0),
    Moment(step=Step.STARTED, at=1763842008.124, ms=1.0),
    Moment(step=Step.ENDED, at=1763842010.501, ms=2378.0, status=TurnStatus.COMPLETED),
]


class ParamsData(TypedDict):
    """What a send has said to the agent beside the message."""

    params: NotRequired[
        Annotated[
            Mapping[str, Any],
            _is(
                "What its send had for the agent beside the message; absent if nothing.",
                {"temperature": 0.2},
            ),
        ]
    ]


class TurnAnswer(TurnData, ParamsData):
    """A turn with its timeline."""

    log_id: LogId
    result: Annotated[
        Any, _is("What it returned; `null` if it has not completed, or that is not JSON.", "done")
    ]
    result_left_out: Annotated[bool, _is("It returned more than `kept_result` bytes: they are gone.", False)]
    policy: Annotated[
        dict[str, DecidedField],
        _is("How it is run, fixed when it was sent: the fields by their names.", _DECIDED),
    ]
    timeline: Annotated[list[Moment], _is("What happened, in that order.", _TIMELINE)]


def encode_turn(log_id: str, record: TurnRecord) -> TurnAnswer:
    """One turn with its timeline."""
    result = record.result
    return {
        "log_id": log_id,
        **turn_data(record),
        "result": Raw(_json_or_null(None if result is None else result.value).encode()),
        "result_left_out": result is not None and result.left_out,
        "policy": {name: _decided(record.policy.decided(name)) for name in FIELDS},
        "timeline": [_moment(each, record.policy) for each in timeline(record)],
        **_params_data(record),
    }


def _params_data(record: TurnRecord) -> ParamsData:
    params = record.params
    return {"params": params} if params else {}


class TurnsAnswer(Struct, kw_only=True):
    """A page of a session's turns."""

    status: Ok = "ok"
    log_id: LogId
    turns: Annotated[list[TurnData], _is("The turns, the one sent last first.", [])]
    before: Annotated[
        str | None, _is("What asks for the next page, as `before`; `null` at the end.", "MTc2Mzg0MjAxMC41")
    ]


def encode_turns(log_id: str, page: messages.TurnPage) -> TurnsAnswer:
    """A page of a session's turns."""
    return TurnsAnswer(log_id=log_id, turns=[turn_data(turn) for turn in page.turns], before=page.before)


class WaitingTurn(QueuedTurnData):
    """A turn that waits, with what it will be given."""

    message: Annotated[
        Any, _is("Its message, as in `turn.started`: of a large part only its type and size.", "and then?")
    ]


class QueueAnswer(Struct, kw_only=True):
    """The turns that wait for a session."""

    status: Ok = "ok"
    log_id: LogId
    queue: Annotated[list[WaitingTurn], _is("The turns, in the order in which they start.", [])]


def encode_queue(
    log_id: str, queue: Iterable[messages.QueuedTurn], most: int, most_of_part: int
) -> QueueAnswer:
    """The turns that wait for a session, with about ``most`` bytes of their messages in all."""
    waiting: list[WaitingTurn] = []
    for queued in queue:
        of_message = shown(queued.message, most_of_part, most)
        most = max(0, most - of_message.size)
        text = Raw(_json_or_null(of_message.message).encode())
        waiting.append({**queued_data(queued), "message": text})
    return QueueAnswer(log_id=log_id, queue=waiting)


def _moment(moment: records.Moment, policy: Policy) -> Moment:
    reason, status, late = moment.reason, moment.status, moment.step is Step.ENDED_LATE
    after, waited = moment.settled_after_ms, moment.queue_wait_ms
    return Moment(
        step=moment.step,
        at=moment.at,
        ms=rounded(moment.ms),
        by=UNSET if reason is None else reason.by,
        code=UNSET if reason is None else reason.code,
        text=UNSET if reason is None else reason.text,
        outcome=UNSET if status is None or not late else status,
        status=UNSET if status is None or late else status,
        settled_after_ms=UNSET if after is None else rounded(after),
        turn=UNSET if moment.turn is None else ref_data(moment.turn),
        queue_wait_ms=UNSET if waited is None else rounded(waited),
        decided_by={
            # Of two bounds, the one that there is.
            name: _decided(policy.decided(name))
            for name in moment.decided_by
            if getattr(policy, name) is not None
        }
        or UNSET,
    )


# -- Sessions ---------------------------------------------------------------------------------------


_IS_PARENT = "The turn that sent its message, if one did; else absent."
_IS_HELD = "Its cancel waits for a step that must not be interrupted; else absent."


class ActiveTask(Struct):
    """What a session does, in the words existing clients know; `{}` when it does nothing."""

    session_id: LogId | UnsetType = UNSET
    task_active: Annotated[Literal[True], _is("Always `true`.", True)] | UnsetType = UNSET
    task_cancelled: Annotated[bool, _is("Its cancel has been requested.", False)] | UnsetType = UNSET
    held: Annotated[Literal[True], _is(_IS_HELD, True)] | UnsetType = UNSET
    created_at: (
        Annotated[float | None, _is("When it started, in Unix seconds.", 1763842008.124)] | UnsetType
    ) = UNSET
    router_tasks: (
        Annotated[list[str], _is("The turn, and those that wait for the session.", ["t1"])] | UnsetType
    ) = UNSET
    task_id: TaskId | UnsetType = UNSET
    parent: Annotated[TurnRefData, _is(_IS_PARENT)] | UnsetType = UNSET
    children: Annotated[list[TurnRefData], _is("The turns that it has sent for.")] | UnsetType = UNSET


class ActiveAnswer(Struct, kw_only=True):
    """What a session does."""

    status: Ok = "ok"
    active_tasks: ActiveTask


def encode_active(view: messages.SessionView | None) -> ActiveAnswer:
    """What a session does; empty when it does nothing."""
    turn = view.turn if view is not None else None
    if view is None or turn is None or not _in_flight(view.state):
        return ActiveAnswer(active_tasks=ActiveTask())
    return ActiveAnswer(
        active_tasks=ActiveTask(
            view.session_id,
            True,
            turn.status is TurnStatus.CANCELLING,
            True if turn.held else UNSET,
            turn.started_at,
            [turn.turn_id, *(record.turn_id for record in view.queue)],
            turn.turn_id,
            UNSET if turn.parent is None else ref_data(turn.parent),
            [ref_data(child) for child in turn.children] or UNSET,
        )
    )


def _in_flight(state: SessionState) -> bool:
    match state:
        case SessionState.RUNNING | SessionState.CANCELLING:
            return True
        case SessionState.IDLE | SessionState.QUEUED | SessionState.CLOSED:
            return False
        case _:
            assert_never(state)


class ListedTask(Struct, kw_only=True):
    """A turn in flight, in a list of all of them."""

    active: Annotated[Literal[True], _is("Always `true`.", True)] = True
    created_at: Annotated[float, _is("When it started, in Unix seconds.", 1763842008.124)]
    task_id: TaskId
    user: Annotated[str, _is("Whose session it is.", "ada")]
    agent: Annotated[str, _is("The name of its agent.", "default")]
    held: Annotated[Literal[True], _is(_IS_HELD, True)] | UnsetType = UNSET
    parent: Annotated[TurnRefData, _is(_IS_PARENT)] | UnsetType = UNSET


_LISTED = {"s1": ListedTask(created_at=1763842008.124, task_id="t1", user="ada", agent="default")}


class WaitingTask(Struct, kw_only=True):
    """A turn that waits for a slot, in a list of all of them."""

    active: Annotated[Literal[False], _is("Always `false`.", False)] = False
    task_id: TaskId
    user: Annotated[str, _is("Whose session it is.", "ada")]
    agent: Annotated[str, _is("The name of its agent.", "default")]
    priority: Annotated[Priority, _is("Its lane.", Priority.NORMAL)]
    waits_for: Annotated[WaitsFor, _is("What it waits for.", WaitsFor.SERVER_CAP)]
    standing: Annotated[StandingData, _is("Where it stands.")]
    since: Annotated[float, _is("Since when it waits, in Unix seconds.", 1763842008.124)]


class ActiveListAnswer(Struct, kw_only=True):
    """All turns in flight, and those that wait for a slot."""

    status: Ok = "ok"
    active_tasks: Annotated[dict[str, ListedTask], _is("The turns in flight, by session.", _LISTED)]
    waiting_tasks: Annotated[dict[str, WaitingTask], _is("The turns that wait for a slot, by session.", {})]


def encode_listed(active: Iterable[messages.ActiveTurn]) -> bytes:
    """Some of the turns in flight, by session, as members of a JSON object: there may be very many."""
    listed = {
        each.session_id: ListedTask(
            created_at=each.started_at,
            task_id=each.turn_id,
            user=each.owner,
            agent=each.agent,
            held=True if each.held else UNSET,
            parent=UNSET if each.parent is None else ref_data(each.parent),
        )
        for each in active
    }
    return encode(listed).strip()[1:-1]


def encode_waiting(waiting: Iterable[messages.WaitingTurn]) -> bytes:
    """Some of the turns that wait for a slot, likewise."""
    listed = {
        each.session_id: WaitingTask(
            task_id=each.turn_id,
            user=each.owner,
            agent=each.agent,
            priority=each.priority,
            waits_for=each.standing.waits_for,
            standing=standing_data(each.standing),
            since=each.since,
        )
        for each in waiting
    }
    return encode(listed).strip()[1:-1]


def encode_all_active(active: Iterable[bytes], waiting: Iterable[bytes] = ()) -> ActiveListAnswer:
    """All turns in flight, and those that wait: what `encode_listed` and `encode_waiting` made of them.

    None of it is empty.
    """
    tasks: Any = Raw(b"{%b}" % b",".join(active))
    waits: Any = Raw(b"{%b}" % b",".join(waiting))
    return ActiveListAnswer(active_tasks=tasks, waiting_tasks=waits)


class CleanupAnswer(Struct, kw_only=True):
    """The sessions that were put to sleep."""

    status: Ok = "ok"
    cleaned_up: Annotated[list[str], _is("Their ids.", ["s1"])]


class IdAnswer(Struct, kw_only=True):
    """An id that cannot be guessed, for a session that its first send will open."""

    status: Ok = "ok"
    log_id: Annotated[str, _is("The id.", "cNPg1mxVhCfPBNwXlWGfjA")]


class ListedSession(Struct):
    """A session in a list."""

    log_id: LogId
    user: Annotated[str, _is("Whose it is.", "ada")]
    title: Annotated[
        str | None,
        _is("Its title: as given, or else the first words said; `null` without any.", "What is a turn?"),
    ]
    state: Annotated[SessionState, _is("How it stands.", SessionState.IDLE)]
    last_active_at: Annotated[
        float, _is("When a turn last started or ended in it, in Unix seconds.", 1763842010.501)
    ]
    turns_in_flight: Annotated[int, _is("How many turns hold it.", 0)]
    turns_queued: Annotated[int, _is("How many turns wait for it.", 0)]
    unresponsive_turns: Annotated[int, _is("How many turns were given up and still run.", 0)]
    subscribers: Annotated[int, _is("How many streams are open on it.", 1)]


_LISTED_SESSION = ListedSession("s1", "ada", "What is a turn?", SessionState.IDLE, 1763842010.501, 0, 0, 0, 1)


class SessionsAnswer(Struct, kw_only=True):
    """A page of a list of sessions."""

    status: Ok = "ok"
    sessions: Annotated[list[ListedSession], _is("The sessions, the last active first.", [_LISTED_SESSION])]
    before: Annotated[
        str | None, _is("What asks for the next page, as `before`; `null` at the end.", "MTc2Mzg0MjAxMC41")
    ]


class NamedAnswer(ListedSession, kw_only=True):
    """The session with its new title."""

    status: Ok = "ok"


def encode_sessions(page: messages.SessionPage) -> SessionsAnswer:
    """A page of a list of sessions."""
    listed = [ListedSession(*_listed(each)) for each in page.sessions]
    return SessionsAnswer(sessions=listed, before=page.before)


def encode_named(session: messages.SessionSummary) -> NamedAnswer:
    """The session with its new title."""
    return NamedAnswer(*_listed(session))


def _listed(session: messages.SessionSummary) -> tuple[Any, ...]:
    return (
        session.session_id,
        session.user,
        session.title,
        session.state,
        session.last_active_at,
        session.turns_in_flight,
        session.turns_queued,
        session.unresponsive_turns,
        session.subscribers,
    )


class SessionAnswer(Struct):
    """A session with its turns."""

    log_id: LogId
    user: Annotated[str, _is("Whose it is.", "ada")]
    state: Annotated[SessionState, _is("How it stands.", SessionState.IDLE)]
    turn: Annotated[TurnData | None, _is("The turn that holds the session, or else the last one that did.")]
    queue: Annotated[list[TurnData], _is("The turns that wait, in order.", [])]
    recent_turns: Annotated[list[TurnData], _is("The turns that have ended, the newest first.", [])]
    unresponsive_turns: Annotated[list[TurnData], _is("The turns that were given up and still run.", [])]
    subscribers: Annotated[int, _is("How many streams are open on it.", 1)]


class ClosedAnswer(SessionAnswer, kw_only=True):
    """The session as it was closed."""

    status: Ok = "ok"


def encode_session(view: messages.SessionView) -> SessionAnswer:
    """A session with its turns, the newest first."""
    return SessionAnswer(*_session(view))


def encode_closed(view: messages.SessionView) -> ClosedAnswer:
    """The same, for a close."""
    return ClosedAnswer(*_session(view))


def _session(view: messages.SessionView) -> tuple[Any, ...]:
    return (
        view.session_id,
        view.user,
        view.state,
        _turn(view.turn),
        [turn_data(record) for record in view.queue],
        [turn_data(record) for record in reversed(view.recent)],
        [turn_data(record) for record in view.quarantined],
        view.subscribers,
    )


class MessagesAnswer(Struct, kw_only=True):
    """A conversation."""

    status: Ok = "ok"
    log_id: LogId
    cursor: Annotated[
        str | None,
        _is("The last event of the turn that last changed it.", "1763842008123-4"),
    ]
    omitted: Annotated[int, _is("How many messages there are before these.", 0)]
    messages: Annotated[
        list[Raw],
        _is(
            "What was said, as it was recorded or as the agent keeps it.",
            [{"role": "user", "content": "hello"}],
        ),
    ]


def encode_messages(conversation: messages.Conversation, most: int, most_of_part: int) -> MessagesAnswer:
    """A conversation, the last of it that fits into about ``most`` bytes, without the large parts in it.

    A message that is not JSON is ``null``.
    """
    texts = [Raw(text.encode()) for _, text in shown_last(conversation, most, most_of_part)]
    return MessagesAnswer(
        log_id=conversation.session_id,
        cursor=conversation.cursor,
        omitted=conversation.omitted + len(conversation.messages) - len(texts),
        messages=texts[::-1],
    )


def shown_last(
    conversation: messages.Conversation, most: int, most_of_part: int
) -> Iterator[tuple[Any, str]]:
    """The last messages of a conversation that fit into about ``most`` bytes, the last one first.

    Each is without the large parts in it, and comes with itself as JSON: ``null`` if it is none. One that
    would take all the room by itself is shown by its size, and hides none before it.
    """
    room, all_room = most // 2, most
    for message in reversed(conversation.messages):
        # Each is written by itself and not within a larger one: what was nested just not too deeply still is.
        as_shown = shown_as_kept(message, most_of_part, room)
        text = _json_or_null(as_shown)
        if len(text) > all_room and size_of(message) > most_of_part:
            as_shown = as_one_part(message)
            text = _json_or_null(as_shown)
        most -= len(text)
        if most < 0:
            break
        yield as_shown, text


def _json_or_null(message: Any) -> str:
    try:
        return to_json(message)
    except EventNotJson:
        return "null"


# -- Tickets, health --------------------------------------------------------------------------------


class TicketAnswer(Struct, kw_only=True):
    """A ticket for the streams of some sessions."""

    status: Ok = "ok"
    ticket: Annotated[str, _is("The ticket, for `?ticket=`.", "pJ2lYt6C5z0o3xwqkq4Yv7Z1mZqk4x9d")]
    log_ids: Annotated[list[str], _is("The sessions that it is for.", ["s1"])]
    expires_in: Annotated[float, _is("How many seconds it lives unused.", 60.0)]


class StreamAnswer(Struct, kw_only=True):
    """A stream of several sessions, as it is now."""

    status: Ok = "ok"
    stream: Annotated[str, _is("Its name.", "page-7")]
    log_ids: Annotated[list[str], _is("The sessions that it follows.", ["s1", "s2"])]


class LagAnswer(Struct, kw_only=True):
    """How late the event loop is, as the server watches it; zeroes if it does not."""

    now: Annotated[float, _is("How many seconds late it is.", 0.001)]
    max: Annotated[float, _is("The same at its worst since the start.", 0.012)]
    count: Annotated[int, _is("How often it was later than `slow_loop`.", 0)]


class HealthAnswer(Struct, kw_only=True):
    """The process is alive."""

    status: Ok = "ok"
    incarnation: Annotated[str, _is("This run of the server; the next one has another.", "1x7k2p")]
    version: Annotated[str, _is("The version of turnkeeper.", "0.1.0")]
    loop_lag: LagAnswer


def encode_lag(lag: LoopLag) -> LagAnswer:
    """The lag of the event loop, as `/healthz` shows it."""
    return LagAnswer(now=round(lag.now, 4), max=round(lag.max, 4), count=lag.count)


class ReadyAnswer(Struct):
    """Sends are taken."""

    status: Annotated[Literal["ready"], _is("Always `ready`.", "ready")] = "ready"


def _turn(record: TurnRecord | None) -> TurnData | None:
    return None if record is None else turn_data(record)


@overload
def rounded(number: float) -> float: ...


@overload
def rounded(number: float | None) -> float | None: ...


def rounded(number: float | None) -> float | None:
    """A number that was measured, as answers say it: to three decimals."""
    return None if number is None else round(number, 3)
