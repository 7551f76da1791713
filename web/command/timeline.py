"""What became of a turn, step by step, and why: for `turnkeeper show`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from turnkeeper.actors.model.words import TERMINAL, Layer, Step, TurnStatus

from .outcomes import ending_text, status_of, still_running_text, usage_text
from .tables import Table
from .wording import moment, ms, span

JSON: TypeAlias = Mapping[str, Any]
_STEPS = {step.value: step for step in Step}
_LAYERS = {layer.value: layer for layer in Layer}
#: From how many seconds on the unit of a span is not milliseconds.
LONG = 10.0


def session_text(session: JSON) -> str:
    """How a session stands, in a line."""
    count = session["subscribers"]
    streams = "1 stream is" if count == 1 else f"{count} streams are"
    return f"session {session['log_id']} of {session['user']} is {session['state']}; {streams} open on it"


def turn_text(turn: JSON, now: float) -> str:
    """What became of a turn, or what it does, in a line."""
    used = usage_text(turn)
    return f"turn {turn['task_id']} {_became(turn, now)}" + (f"; used {used}" if used else "")


def _became(turn: JSON, now: float) -> str:
    status = status_of(turn)
    match status:
        case TurnStatus.COMPLETED:
            late = ", before it could be stopped" if turn["reason"] is not None else ""
            return f"completed after {_took(turn, now)}{late}"
        case (
            TurnStatus.FAILED
            | TurnStatus.CANCELLED
            | TurnStatus.TIMED_OUT
            | TurnStatus.INTERRUPTED
            | TurnStatus.UNRESPONSIVE
            | TurnStatus.MERGED
        ):
            return f"ended after {_took(turn, now)}: {ending_text(turn)}"
        case TurnStatus.QUEUED:
            return f"waits{_for_what(turn)}; sent {_took(turn, now)} ago"
        case TurnStatus.RUNNING:
            return f"runs, for {_took(turn, now)}"
        case TurnStatus.CANCELLING:
            held = ": it is held by a step that must not be interrupted" if turn.get("held") else ""
            more = held + still_running_text(turn)
            return f"was asked to stop and has not settled yet, after {_took(turn, now)}{more}"
        case None:
            return f"is {turn['status']}"
        case _:
            assert_never(status)


def _why(turn: JSON) -> str:
    """The status of a turn, and what is behind it."""
    status = status_of(turn)
    ended_badly = status in TERMINAL and status is not TurnStatus.COMPLETED
    return ending_text(turn) if ended_badly else f"{turn['status']}{_for_what(turn)}"


def _for_what(turn: JSON) -> str:
    """What it waits for, of a turn as the queue has it."""
    return f" for {turn['waits_for']}" if "waits_for" in turn else ""


def _took(turn: JSON, now: float) -> str:
    ended = turn["ended_at"]
    return _span((now if ended is None else ended) - turn["submitted_at"])


def _span(seconds: float) -> str:
    return ms(seconds * 1000.0) if seconds < LONG else span(seconds)


def timeline_table(turn: JSON, now: float) -> Table:
    """The steps of a turn: when each was, how long after the send, and what happened."""
    rows = [
        (moment(each["at"], now), _span(each["ms"] / 1000.0), _step(each, turn) + _behind(each))
        for each in turn["timeline"]
    ]
    return Table(("TIME", "AFTER", "WHAT"), rows)


def _step(each: JSON, turn: JSON) -> str:
    """What happened in one step."""
    step = _STEPS.get(each["step"])
    match step:
        case Step.SUBMITTED:
            return f"sent by {turn['user']}, to the agent {turn['agent']}"
        case Step.QUEUED:
            return "began to wait"
        case Step.STARTED:
            waited = each.get("queue_wait_ms")
            return "started" if waited is None else f"started, after a wait of {_span(waited / 1000.0)}"
        case Step.FIRST_EVENT:
            return "its agent emitted its first event"
        case Step.CHILD_SENT:
            return f"sent to session {_where(each)}"
        case Step.CHILD_ENDED:
            return f"its turn in session {_where(each)} ended: {each.get('status')}"
        case Step.CANCEL_REQUESTED:
            by = f" by {each['by']}" if each.get("by") else ""
            said = f', saying "{each["text"]}"' if by else f", {each.get('text')}"
            return f"asked to stop{by}: {each['code']}{said if each.get('text') else ''}"
        case Step.CANCEL_DELIVERED:
            return "cancelled: the step that must not be interrupted was over, or its time was up"
        case Step.CANCELLED_AGAIN:
            return "cancelled again: at half of the grace it had not stopped"
        case Step.SETTLED:
            return f"let go of its session, {ms(each['settled_after_ms'])} after it was asked to stop"
        case Step.ENDED:
            return f"ended: {_why(turn)}{_cut_off(turn)}"
        case Step.ENDED_LATE:
            return f"its coroutine has ended after all: {each['outcome']}"
        case None:
            return str(each["step"])
        case _:
            assert_never(step)


def _cut_off(turn: JSON) -> str:
    """The calls of tools that a turn had not come back from at its end."""
    calls = [f"{call['name']} ({call['id']})" for call in turn.get("open_calls", ())]
    return f"; it had not come back from {', '.join(calls)}" if calls else ""


def _where(each: JSON) -> str:
    """The session of the child that a step is about."""
    return str(each.get("turn", {}).get("log_id"))


def _behind(each: JSON) -> str:
    """The fields of the turn's policy that are behind a step."""
    fields = each.get("decided_by", {})
    said = [f"{name} is {field['value']}, said by {_layer(field)}" for name, field in fields.items()]
    return f" ({'; '.join(said)})" if said else ""


def _layer(field: JSON) -> str:
    """Who decided a field of a policy."""
    layer = _LAYERS.get(field["layer"])
    match layer:
        case Layer.DEFAULT:
            return "the settings"
        case Layer.AGENT | Layer.USER:
            return f"the host, about the {layer} {field['name']}"
        case Layer.REQUEST:
            return "the send"
        case None:
            return str(field["layer"])
        case _:
            assert_never(layer)


def policy_table(turn: JSON) -> Table | None:
    """The fields of a turn's policy that the settings alone did not decide; ``None`` if they decided all."""
    fields = turn.get("policy", {})  # an older server has none
    rows = [
        (name, str(field["value"]), _layer(field), "" if "capped" not in field else str(field["capped"]))
        for name, field in fields.items()
        if field["layer"] != Layer.DEFAULT or "capped" in field
    ]
    return Table(("POLICY", "VALUE", "SAID BY", "SENT WITH"), rows) if rows else None


def other_turns(session: JSON) -> list[JSON]:
    """The turns of a session beside the one it runs or ran last: those that wait, and the newest, first."""
    shown = (session["turn"] or {}).get("task_id")
    turns = *session["queue"], *session["unresponsive_turns"], *session["recent_turns"]
    return [turn for turn in turns if turn["task_id"] != shown]


def other_turns_table(turns: Sequence[JSON], now: float) -> Table:
    """Turns: when each was sent, by whom, how long it took, and why it ended."""
    rows = [
        (
            str(turn["task_id"]),
            str(turn["user"]),
            moment(turn["submitted_at"], now),
            _took(turn, now),
            _why(turn),
        )
        for turn in turns
    ]
    return Table(("TASK", "USER", "SENT", "TOOK", "WHY"), rows)
