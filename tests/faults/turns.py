"""Acknowledged sends and cancels against the turns' records at the end. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.history import (
    AtTheEnd,
    CancelAnswered,
    Looked,
    Record,
    SendAnswered,
    SendAsked,
    SendRefused,
)
from tests.faults.log import FINAL, Log

#: How many seconds an end may take to be durable: until then the turn has not ended.
LANDING = 1.0
#: After these a turn is not started again.
ASKED_TO_STOP = frozenset({"requested", "cancelled"})
#: How many milliseconds an epoch may be ahead of the clock: epochs grow even where the clock does not.
AHEAD = 5


class Observed(NamedTuple):
    """How a turn stood when it was asked for, or later."""

    asked_at: float
    status: str
    by: str


@dataclass
class Known:
    """What clients know of one turn."""

    task: str
    agent: str | None = None
    sends: list[SendAnswered] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    observed: list[Observed] = field(default_factory=list)
    stops: list[tuple[float, str]] = field(default_factory=list)
    remembered: bool = False


def known_of(records: Iterable[Record]) -> dict[str, Known]:
    """What clients know of the turns of one session."""
    found: dict[str, Known] = {}

    def of(task: str) -> Known:
        return found.setdefault(task, Known(task))

    for record in records:
        match record:
            case SendAsked():
                of(record.task).agent = record.agent
            case SendAnswered():
                known = of(record.task)
                known.sends.append(record)
                known.observed.append(Observed(record.asked_at, record.status, "a send"))
                if record.superseded is not None and record.verdict is not None:
                    of(record.superseded).stops.append((record.at, record.verdict))
            case SendRefused():
                of(record.task).refused.append(record.code)
            case CancelAnswered(task=str(task)):
                known = of(task)
                known.remembered |= record.remembered and not known.sends
                known.stops.append((record.at, record.verdict))
                if record.status is not None:
                    known.observed.append(Observed(record.asked_at, record.status, "a cancel"))
            case Looked(status=str(status)):
                of(record.task).observed.append(Observed(record.asked_at, status, "a look"))
            case _:
                pass
    return found


def faults(known: dict[str, Known], end: AtTheEnd, log: Log) -> Iterator[str]:
    """What is wrong with the turns of a session."""
    listed = [turn["task_id"] for turn in end.turns]
    for task in dict.fromkeys(listed):
        if listed.count(task) > 1:
            yield f"the list has turn {task} {listed.count(task)} times"
    for turn in end.turns:
        there = end.by_id.get(turn["task_id"])
        if there is not None and there["status"] != turn["status"]:
            yield f"turn {turn['task_id']} is {turn['status']} in the list, and {there['status']} by itself"
    for task, heard in known.items():
        turn_at_end = end.by_id.get(task)
        if turn_at_end is not None and task not in listed:
            yield f"turn {task} is not in the list"
        yield from _turn(heard, turn_at_end, log)


def _turn(known: Known, turn: dict[str, Any] | None, log: Log) -> Iterator[str]:
    task = known.task
    yield from _acknowledged(known)
    if turn is None:
        if known.sends:
            yield f"the send of turn {task} was acknowledged, and the turn is not known"
        elif known.observed:
            yield f"turn {task} was {known.observed[-1].status} for {known.observed[-1].by}, and is not known"
        return
    status = turn["status"]
    if known.refused and not known.sends:
        yield f"the send of turn {task} was refused ({known.refused[0]}), and the turn is {status}"
    if status not in FINAL:
        yield f"turn {task} is {status} at the end"
    yield from _statuses(known, turn)
    yield from _stops(known, turn, log)
    runs = [epoch for epoch in log.of_task.get(task, []) if epoch.is_run]
    if status == "completed" and turn["attempt"] != len(runs):
        yield f"turn {task} completed in attempt {turn['attempt']}, and the log has {len(runs)}"
    numbered = [epoch.end for epoch in log.of_task.get(task, []) if epoch.end is not None]
    if status in FINAL and turn["started_at"] is not None and numbered[-1:] != [status]:
        yield f"turn {task} is {status}, and the log ends it with {numbered}"


def _acknowledged(known: Known) -> Iterator[str]:
    """A send with a known id starts nothing: only the first acknowledgement may say that it did."""
    for number, send in enumerate(known.sends):
        if number > 0 and not send.repeated:
            yield f"the send of turn {known.task} was acknowledged, and again as a new one"


def _statuses(known: Known, turn: dict[str, Any]) -> Iterator[str]:
    at_end, ended_at = turn["status"], turn["ended_at"]
    for seen in known.observed:
        if seen.status in FINAL and seen.status != at_end:
            yield f"turn {known.task} was {seen.status} for {seen.by}, and is {at_end}"
        if seen.status not in FINAL and ended_at is not None and seen.asked_at > ended_at + LANDING:
            late = seen.asked_at - ended_at
            yield f"turn {known.task} was {seen.status} for {seen.by}, {late:.1f} s after its end"


def _stops(known: Known, turn: dict[str, Any], log: Log) -> Iterator[str]:
    task, status = known.task, turn["status"]
    if known.remembered and status == "completed":
        yield f"the cancel of turn {task} was remembered, and the turn completed"
    for at, verdict in known.stops:
        if verdict == "cancelled" and status != "cancelled":
            yield f"turn {task} was acknowledged as cancelled, and is {status}"
        if verdict == "unresponsive" and status != "unresponsive":
            yield f"turn {task} was acknowledged as unresponsive, and is {status}"
        if verdict == "requested" and turn["cancel_requested_at"] is None and (turn["ended_at"] or at) >= at:
            yield f"the cancel of turn {task} was acknowledged, and its record has none"
        if verdict in ASKED_TO_STOP:
            for epoch in log.of_task.get(task, []):
                if epoch.is_run and epoch.number > at * 1000 + AHEAD:
                    yield f"turn {task} was started at {epoch.number}, after its cancel was acknowledged"
