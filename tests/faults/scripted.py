"""A history as a server makes it that keeps its promises: one session, four processes, eight turns. Data.

====  =========  =====================================================================================
turn  agent      what becomes of it
====  =========  =====================================================================================
t1    interrupt  completes
t2    interrupt  is cut by the first kill; its reader had seen one chunk more than the log has
t3    interrupt  is cancelled, and a retry of its send starts nothing
t4    rerun      is cut by the second kill, and completes in its second attempt
t5    continue   is cut by the third kill, goes on where it was, and completes although it is superseded
t6    interrupt  is refused
t7    interrupt  waits, and is superseded before it started
t8    interrupt  had been cancelled before it was sent
====  =========  =====================================================================================
"""

import json
from typing import Any

from tests.faults.history import (
    AtTheEnd,
    CancelAnswered,
    Connected,
    Event,
    History,
    Killed,
    Looked,
    Record,
    Seen,
    SendAnswered,
    SendAsked,
    SendRefused,
    Spawned,
    Stopped,
    TitleAnswered,
    TitleAsked,
)
from tests.faults.plan import Plan

SESSION, TITLE = "s", "as of t3"
READER, OF_T4, LATE = "reader", "t4-reader", "late"
PLANS = {task: Plan(task, chunks) for task, chunks in zip(("t1", "t2", "t3"), (3, 5, 4), strict=True)} | {
    task: Plan(task, chunks)
    for task, chunks in zip(("t4", "t5", "t6", "t7", "t8"), (2, 4, 1, 1, 1), strict=True)
}
AGENTS = dict.fromkeys(PLANS, "interrupt") | {"t4": "rerun", "t5": "continue"}


def started(epoch: int, task: str) -> Event:
    return Event(f"{epoch}-0", "turn.started", json.dumps({"task_id": task, "message": PLANS[task].text}))


def chunk(epoch: int, n: int, task: str, number: int) -> Event:
    return Event(f"{epoch}-{n}", "delta", json.dumps({"text": PLANS[task].chunk(number)}))


def ended(epoch: int, n: int, task: str, status: str, **more: Any) -> Event:
    return Event(f"{epoch}-{n}", f"turn.{status}", json.dumps({"task_id": task, "status": status, **more}))


#: What the log has in the end.
EVENTS = (
    started(1000, "t1"),
    *(chunk(1000, 1 + number, "t1", number) for number in range(3)),
    ended(1000, 4, "t1", "completed"),
    started(2000, "t2"),
    *(chunk(2000, 1 + number, "t2", number) for number in range(2)),
    ended(3000, 0, "t2", "interrupted", kept="2000-2", will_continue=False),
    started(4000, "t3"),
    chunk(4000, 1, "t3", 0),
    ended(4000, 2, "t3", "cancelled"),
    started(5000, "t4"),
    chunk(5000, 1, "t4", 0),
    ended(6000, 0, "t4", "interrupted", kept="5000-1", will_continue=True),
    started(6500, "t4"),
    *(chunk(6500, 1 + number, "t4", number) for number in range(2)),
    ended(6500, 3, "t4", "completed"),
    started(7000, "t5"),
    *(chunk(7000, 1 + number, "t5", number) for number in range(2)),
    ended(8000, 0, "t5", "interrupted", kept="7000-2", will_continue=True),
    started(8500, "t5"),
    *(chunk(8500, number - 1, "t5", number) for number in range(2, 4)),
    ended(8500, 3, "t5", "completed"),
)
#: What the log lacks: a reader saw it before the process was killed.
LACKING = chunk(2000, 3, "t2", 2)


def turn(
    task: str,
    status: str,
    started_at: float | None,
    ended_at: float,
    asked_at: float | None = None,
    attempt: int = 1,
) -> Any:
    """A turn's record, as far as the checker reads it."""
    return {
        "task_id": task,
        "status": status,
        "agent": AGENTS[task],
        "started_at": started_at,
        "cancel_requested_at": asked_at,
        "ended_at": ended_at,
        "attempt": attempt,
        "result": PLANS[task].result if status == "completed" else None,
        "began": started_at is not None,
    }


TURNS = (
    turn("t8", "cancelled", None, 9.2, 9.1),
    turn("t7", "cancelled", None, 9.0, 9.0),
    turn("t5", "completed", 8.5, 8.8, 8.7, attempt=2),
    turn("t4", "completed", 6.5, 6.8, attempt=2),
    turn("t3", "cancelled", 4.0, 4.6, 4.5),
    turn("t2", "interrupted", 2.0, 3.0),
    turn("t1", "completed", 1.0, 1.3),
)


def message(task: str) -> dict[str, Any]:
    return {"role": "user", "content": PLANS[task].text}


def reply(text: str, **marks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **marks}


MESSAGES = (
    message("t1"),
    reply(PLANS["t1"].reply),
    message("t2"),
    reply("t2.0 t2.1 ", cut_off=True),
    message("t3"),
    reply("t3.0 ", cut_off=True),
    message("t4"),
    reply(PLANS["t4"].reply),
    message("t5"),
    reply(PLANS["t5"].reply),
)


def asked(task: str, at: float) -> SendAsked:
    return SendAsked(SESSION, task, AGENTS[task], PLANS[task].text, at)


def answered(task: str, at: float, status: str = "running", **more: Any) -> SendAnswered:
    return SendAnswered(SESSION, task, at, at, status, **more)


def saw(reader: str, *events: Event) -> list[Seen]:
    return [Seen(reader, event.id, event.name, event.text) for event in events]


def _records() -> list[Record]:
    first, rest = EVENTS[:8], EVENTS[8:]
    return [
        Spawned(1, 0.5),
        Connected(READER, SESSION, 1, "0"),
        asked("t1", 1.0),
        answered("t1", 1.0),
        Looked(SESSION, "t1", 1.4, "completed"),
        asked("t2", 2.0),
        answered("t2", 2.0),
        *saw(READER, *first, LACKING),
        Killed(1, 2.5),
        Spawned(2, 2.6),
        Connected(READER, SESSION, 2, LACKING.id),
        Looked(SESSION, "t2", 3.1, "interrupted"),
        asked("t3", 4.0),
        asked("t3", 4.1),
        answered("t3", 4.2, repeated=True),
        Connected(LATE, SESSION, 2),
        CancelAnswered(SESSION, "t3", 4.5, 4.5, "requested", "cancelling"),
        CancelAnswered(SESSION, "t3", 4.7, 4.7, "finished_first", "cancelled"),
        TitleAsked(SESSION, "as of t1"),
        TitleAsked(SESSION, TITLE),
        TitleAnswered(SESSION, TITLE),
        asked("t4", 5.0),
        answered("t4", 5.0),
        Killed(2, 5.5),
        Spawned(3, 5.6),
        Connected(OF_T4, SESSION, 3, "0", "t4"),
        Looked(SESSION, "t4", 6.1, "queued"),
        *saw(OF_T4, *(event for event in EVENTS if (event.id or "")[:2] in ("50", "60", "65"))),
        asked("t5", 7.0),
        answered("t5", 7.0),
        Killed(3, 7.5),
        Spawned(4, 7.6),
        *saw(READER, *rest),
        *saw(LATE, *rest[1:]),
        asked("t6", 8.6),
        SendRefused(SESSION, "t6", "SESSION_BUSY"),
        asked("t7", 8.7),
        answered("t7", 8.7, "queued", superseded="t5", verdict="requested"),
        CancelAnswered(SESSION, "t8", 9.1, 9.1, "not_running", remembered=True),
        asked("t8", 9.2),
        answered("t8", 9.2, "cancelled", superseded="t7", verdict="cancelled"),
        Stopped(READER),
    ]


def clean() -> History:
    """The history in which all is well, made anew."""
    end = AtTheEnd(
        state="idle",
        listed=({"log_id": SESSION, "state": "idle", "title": TITLE},),
        turns=TURNS,
        by_id={**{each["task_id"]: each for each in TURNS}, "t6": None},
        messages=MESSAGES,
        events=EVENTS,
        streams={"t4": tuple(event for event in EVENTS if (event.id or "")[:2] in ("50", "60", "65"))},
    )
    policies = {name: name for name in ("interrupt", "rerun", "continue")}
    return History("scripted", policies, 3, _records(), {SESSION: end})
