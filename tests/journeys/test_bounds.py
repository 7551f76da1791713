"""A counter at each bound (G8): each bound is hit once over real HTTP, and its counters are seen to move.

A row of `BOUNDS` says which limit of the guarantees it hits, how, and what counts that. What has no row must
say why: a new counter or a new code of a refusal that has neither fails a test, and so does a new limit.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import FOREVER, ScriptedAgent
from tests.web.fakes_web import PATIENCE, Door, House, by_token, read_answer, serving, until
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics import meter
from turnkeeper.actors.metrics.meter import COUNTERS, Counter
from turnkeeper.actors.model.exceptions import (
    EventNotJson,
    TooManyOpenCalls,
    TooManyPolicies,
    TooManyProcesses,
    TooManyTasks,
)
from turnkeeper.actors.model.words import Layer
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import InterruptedTurn
from turnkeeper.web import WebSettings, create_app
from turnkeeper.web.http.access import tickets
from turnkeeper.web.http.problems import Code
from turnkeeper.web.server import connections
from turnkeeper.web.server.run import _serve

PAGE = (Path(__file__).parent.parent.parent / "docs" / "explanation" / "guarantees.md").read_text()

#: Counters that are of no bound, each with what it is of.
NO_BOUND = {
    meter.STALE_REPORTS: "a report that came twice, or late",
    meter.APPENDS_NOT_LANDED: "the journal is down: `/readyz` says why",
    meter.CHILDREN_STARTED: "a turn that another one has sent for, and that was let in",
    meter.SECTIONS_ENTERED: "a critical section that was granted",
}
#: Refusals for another reason than that something is too much, too large or too slow.
NO_MATTER_OF_HOW_MUCH = {
    Code.MALFORMED_REQUEST, Code.BODY_INCOMPLETE, Code.UNAUTHORIZED, Code.SCOPE_MISSING, Code.FOREIGN_PEER,
    Code.POLICY_NOT_ALLOWED, Code.NOT_YOURS_TO_STOP, Code.NOT_YOURS_TO_EDIT, Code.NOT_WAITING,
    Code.FOREIGN_HOST, Code.FOREIGN_ORIGIN, Code.FORWARDED, Code.UNKNOWN_SESSION, Code.UNKNOWN_TURN,
    Code.UNKNOWN_STREAM, Code.NOT_FOUND, Code.TURN_OF_ANOTHER_PROCESS, Code.METHOD_NOT_ALLOWED,
    Code.SESSION_ID_TAKEN, Code.OWN_LINEAGE,
    Code.SESSION_BUSY, Code.SESSION_CLOSED, Code.PRECONDITION_FAILED, Code.EXPECTATION_FAILED,
    Code.INVALID_JSON, Code.INVALID_REQUEST, Code.UNKNOWN_AGENT, Code.PART_NOT_TAKEN, Code.TURN_ID_REUSED,
    Code.IDEMPOTENCY_KEY_REUSED, Code.INTERNAL,
    Code.METRICS_NOT_INSTALLED, Code.OWNER_NOT_KNOWN, Code.SHUTTING_DOWN, Code.SESSION_LOST,
    Code.UNSUPPORTED_PARAMETER,
    Code.JOURNAL_DOWN, Code.HOST_KEEPS_MESSAGES, Code.UNKNOWN_PRIORITY, Code.INVALID_CAP, Code.INVALID_DELAY,
}  # fmt: skip
#: Limits of the guarantees at which nothing is counted, each with the reason.
UNCOUNTED = {
    "threads in which functions of turns run": "calls wait for one: `threads_waiting` shows how many",
    "finished turns": "old ones make way for new ones all the time, and nothing is refused",
    "idle sessions": "they sleep and are forgotten as they should be: `sessions_asleep` shows how many sleep",
    "a page of a list": "a longer one is a wrong request like any other",
    "a conversation, read over HTTP": "the answer itself says how much it leaves out",
}


class Bound(NamedTuple):
    """A limit of the guarantees, by the beginning of its row, and how it is hit.

    The ``codes`` are of refusals over HTTP; those in ``raised`` the agent gets, and its turn fails with them.
    """

    limit: str
    counters: tuple[Counter, ...]
    codes: tuple[Code, ...]
    raised: tuple[Code, ...]
    hit: Callable[[Any], Awaitable[None]]
    agent: Callable[[], Any]
    settings: dict[str, Any]


ADA = {"token": "ada-token"}
BOUNDS: list[Bound] = []
SERVED: list[Bound] = []


async def agent(turn: Turn) -> list[str] | None:
    """Does what the message says."""
    deed, _, amount = turn.text.partition(" ")
    match deed:
        case "emit":
            for _ in range(int(amount)):
                turn.emit("word", "x" * 100)
        case "emit_large":
            with pytest.raises(EventNotJson):
                turn.emit("word", "x" * int(amount))
        case "overflow":
            try:
                for _ in range(int(amount)):
                    turn.emit("word")
            finally:
                for _ in range(int(amount)):
                    turn.emit("word")
        case "flood":
            for _ in range(int(amount)):
                turn.emit("flood", "x" * 60_000)
            await asyncio.Event().wait()
        case "return":
            return ["x" * int(amount)]
        case "delta":
            turn.emit("delta", {"text": "x" * int(amount)})
        case "say":
            turn.context.messages += ["x" * 100] * int(amount)
        case "wait":
            await asyncio.Event().wait()
        case "undone":
            turn.on_rollback(asyncio.Event().wait)
            turn.on_rollback(lambda: 1 // 0)  # the first one that is called
            await asyncio.Event().wait()
        case "tasks":
            turn.create_task(_fails())
            with pytest.raises(TooManyTasks):
                turn.create_task(_fails())
            await asyncio.sleep(0)
        case "processes":
            async with turn.process("sleep", "1000"):
                with pytest.raises(TooManyProcesses):
                    await turn.process("true").__aenter__()
        case "call":
            async with turn.tool_call("1", "search"):
                with pytest.raises(TooManyOpenCalls):
                    await turn.tool_call("2", "search").__aenter__()
        case "use":
            turn.report_usage(output_tokens=int(amount))
        case "send":
            for message in amount.split(","):
                session, _, text = message.partition(" ")
                await turn.send(session, text or "go", strategy="enqueue")
        case "hold":
            async with turn.uninterruptible():
                await asyncio.Event().wait()
        case "holds":
            async with AsyncExitStack() as sections:
                while True:
                    await sections.enter_async_context(turn.uninterruptible())
        case "stopped":
            turn.on_cancel(lambda _reason, _partial: 1 // 0)
            turn.on_cancel(lambda _reason, _partial: asyncio.Event().wait())
            await asyncio.Event().wait()
        case _:
            return None
    return None


async def _fails() -> None:
    raise ValueError


def bound(
    limit: str,
    *counters: Counter,
    codes: tuple[Code, ...] = (),
    raised: tuple[Code, ...] = (),
    agent: Callable[[], Any] = lambda: agent,
    rows: list[Bound] = BOUNDS,
    **settings: Any,
) -> Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]:
    """A row: the function below it hits the bound of a server with these settings."""

    def add(hit: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        rows.append(Bound(limit, counters, codes, raised, hit, agent, settings))
        return hit

    return add


async def ended(house: House, message: str, session: str = "s", token: str | None = None) -> str:
    """Send a message, and wait until its turn has ended; the turn's id."""
    task = await house.sent(session, message, token=token)

    async def over() -> bool:
        turn = (await house.get(f"/chat/{session}/turns/{task}", token=token)).body
        return turn["ended_at"] is not None

    await until(over)
    return task


async def figures(door: Door) -> dict[str, float]:
    """What a scraper reads, by the name and its code."""
    answer = await door.get("/metrics", token="root-token")
    text = answer.text if answer.status == 200 else ""
    return {
        f"{sample.name}{sample.labels.get('code', '')}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# -- Sessions and turns -------------------------------------------------------------------------------


@bound("events kept for replay", meter.GAPS, codes=(Code.EVENTS_LOST,), log_events=5)
async def _events_kept(house: House) -> None:
    await ended(house, "emit 20")
    kept = await house.get("/chat/s/messages")
    cursor = kept.body["cursor"] or "1-1"
    async with house.stream("s", f"?last_event_id={cursor.partition('-')[0]}-1&follow=false") as stream:
        assert (await stream.next()).event == "gap"
    [turn] = (await house.get("/chat/s")).body["recent_turns"]
    assert (await house.get(f"/chat/s/turns/{turn['task_id']}/events")).code == Code.EVENTS_LOST


@bound("one event", meter.EVENTS_TOO_LARGE, log_bytes=2_000)
async def _event(house: House) -> None:
    await ended(house, "emit_large 3000")


@bound("turns that one bulk cancel stops", meter.BULK_CANCELS_TRUNCATED)
async def _bulk_cancel(house: House) -> None:
    for session in ("a", "b"):
        await house.sent(session, "wait")
    answer = await house.post("/chat/cancel_send_tasks", json={"all": True, "limit": 1})
    assert answer.body["truncated"] == 1


@bound("what a turn emits", meter.BUDGETS_EXCEEDED, meter.EVENTS_OVER_BUDGET, max_events=3)
async def _budget(house: House) -> None:
    task = await ended(house, "overflow 40")
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "budget_exceeded")
    assert turn["reason"]["text"] == "more than 3 events"


@bound("tokens that a turn reports", meter.BUDGETS_EXCEEDED, max_tokens=10)
async def _tokens(house: House) -> None:
    task = await ended(house, "use 11")
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "budget_exceeded")
    assert turn["reason"]["text"] == "more than 10 tokens"


@bound("a turn that emits nothing", meter.TURNS_STALLED, stall_timeout=0.1)
async def _stalled(house: House) -> None:
    task = await ended(house, "wait")
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "stalled")


@bound("a turn without a reader", meter.TURNS_ABANDONED, on_disconnect="cancel", abandon_after=0.1)
async def _abandoned(house: House) -> None:
    task = await ended(house, "wait")
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "client_disconnected")


@bound("tasks that a turn has begun", meter.TOO_MANY_TASKS, meter.TASKS_FAILED, max_tasks=1)
async def _tasks(house: House) -> None:
    await ended(house, "tasks")


@bound("processes of turns", meter.TOO_MANY_PROCESSES, max_processes=1)
async def _processes(house: House) -> None:
    await ended(house, "processes")


@bound("calls of tools", meter.TOO_MANY_OPEN_CALLS, max_open_calls=1)
async def _open_calls(house: House) -> None:
    await ended(house, "call")


@bound(
    "how long the hooks at the end",
    meter.ROLLBACK_HOOKS_OVERDUE,
    meter.ROLLBACK_HOOKS_FAILED,
    wind_grace=0.1,
)
async def _undoing_hooks(house: House) -> None:
    task = await house.sent("s", "undone")
    answer = await house.send("s", "return 1", multitask_strategy="rollback")
    assert answer.body["superseded"]["rolled_back"] is False
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert (turn["status"], turn["rollback"]) == ("cancelled", "partly")


@bound(
    "how long the hooks at the end",
    meter.CANCEL_HOOKS_OVERDUE,
    meter.CANCEL_HOOKS_FAILED,
    wind_grace=0.1,
)
async def _hooks(house: House) -> None:
    await house.sent("s", "stopped")
    assert (await house.post("/chat/s/cancel_send_task")).body["verdict"] == "cancelled"


async def _fails_or_hangs(of: Any) -> None:
    """A hook of the host's, for turns that were stopped, or for every end."""
    record = of.record if isinstance(of, InterruptedTurn) else of
    if record.turn_id.endswith("fails"):
        raise ValueError("no")
    await asyncio.Event().wait()


async def _stop_two(house: House) -> None:
    for session in ("fails", "hangs"):
        await house.send(session, "wait", task_id=session)
        assert (await house.post(f"/chat/{session}/cancel_send_task")).body["verdict"] == "cancelled"


@bound(
    "how long the hooks at the end",
    meter.INTERRUPT_HOOKS_OVERDUE,
    meter.INTERRUPT_HOOKS_FAILED,
    wind_grace=0.1,
    hooks={"on_interrupt": _fails_or_hangs},
)
async def _interrupt_hooks(house: House) -> None:
    await _stop_two(house)


@bound(
    "how long the hooks at the end",
    meter.TURN_END_HOOKS_OVERDUE,
    meter.TURN_END_HOOKS_FAILED,
    wind_grace=0.1,
    hooks={"on_turn_end": _fails_or_hangs},
)
async def _turn_end_hooks(house: House) -> None:
    await _stop_two(house)


@bound("levels of a tree", meter.TOO_DEEP, raised=(Code.TOO_DEEP,), max_depth=1)
async def _levels(house: House) -> None:
    await ended(house, "send below")


@bound(
    "turns that one turn sends for", meter.TOO_MANY_CHILDREN, raised=(Code.TOO_MANY_CHILDREN,), max_children=1
)
async def _children(house: House) -> None:
    await ended(house, "send first,second")


@bound(
    "how long such a turn waits",
    meter.CHILDREN_REFUSED,
    raised=(Code.CHILD_NOT_STARTED,),
    child_wait=0.1,
)
async def _child_not_started(house: House) -> None:
    await house.sent("busy", "wait")
    await ended(house, "send busy")


async def _held(house: House, message: str) -> None:
    """Send a message, and wait until its turn, or the one that this sends for, is in a critical section."""
    await house.sent("s", message)
    await until(lambda: house.counted(meter.SECTIONS_ENTERED.name))


@bound("how long the end of a turn waits", meter.CHILDREN_NOT_AWAITED, cancel_grace=0.5, wind_grace=0.1)
async def _children_that_do_not_stop(house: House) -> None:
    await _held(house, "send below hold")
    assert (await house.post("/chat/s/cancel_send_task")).body["verdict"] == "cancelled"
    assert (await house.get("/chat/active_send_tasks")).body["active_tasks"]["below"]["held"] is True
    assert (await house.post("/chat/below/cancel_send_task?force=true")).body["verdict"] == "cancelled"


@bound("how long a critical section", meter.SECTIONS_CUT_SHORT, max_hold=0.1)
async def _section_cut_short(house: House) -> None:
    await _held(house, "hold")
    assert (await house.post("/chat/s/cancel_send_task")).body["verdict"] == "cancelled"


@bound("critical sections that", meter.SECTIONS_REFUSED, raised=(Code.HOLD_REFUSED,))
async def _sections(house: House) -> None:
    await ended(house, "holds")


@bound("a result in", meter.RESULTS_LEFT_OUT, log_bytes=2_000)
async def _result(house: House) -> None:
    await ended(house, "return 3000")


@bound("a result kept", meter.RESULTS_NOT_KEPT, kept_result=2_000)
async def _kept_result(house: House) -> None:
    await ended(house, "return 3000")
    [turn] = (await house.get("/chat/s")).body["recent_turns"]
    answer = (await house.get(f"/chat/s/turns/{turn['task_id']}")).body
    assert (answer["result"], answer["result_left_out"]) == (None, True)


@bound("a slow reader", meter.SUBSCRIBER_OVERFLOW, subscriber_buffer=4)
async def _slow_reader(house: House) -> None:
    slow = await house.registry.subscribe("s")
    await ended(house, "emit 200")
    assert slow.overflowed
    slow.close()


@bound("sessions on one stream", codes=(Code.STREAM_TOO_WIDE,))
async def _sessions_on_one_stream(house: House) -> None:
    sessions = ",".join(f"s{n}" for n in range(33))
    assert (await house.get(f"/chat/events?log_ids={sessions}")).code == Code.STREAM_TOO_WIDE


@bound("a write that", meter.STREAMS_STUCK, write_timeout=0.3, heartbeat=0.3, log_bytes=10**8)
async def _stuck_write(house: House) -> None:
    async with house.stream("s"):  # and does not read
        await house.sent("s", "flood 200")
        await until(lambda: house.counted(meter.STREAMS_STUCK.name))


@bound("sends that interrupt", meter.SUPERSEDED, agent=lambda: ScriptedAgent(swallows=1), cancel_grace=60)
async def _waiting_sends(house: House) -> None:
    for task in ("t1", "t2", "t3"):
        await house.send("s", task_id=task, query="?wait=false")
    assert (await house.get("/chat/s/turns/t2")).body["superseded_by"] == "t3"


@bound(
    "quarantined turns",
    meter.UNRESPONSIVE,
    meter.TOO_MANY_UNRESPONSIVE,
    codes=(Code.TOO_MANY_UNRESPONSIVE,),
    agent=lambda: ScriptedAgent(swallows=FOREVER),
    cancel_grace=0,
    unresponsive_per_session=1,
)
async def _quarantined(house: House) -> None:
    await house.sent("s")
    assert (await house.post("/chat/s/cancel_send_task")).body["verdict"] == "unresponsive"
    assert (await house.send("s")).status == 429


@bound(
    "quarantined turns",
    meter.TOO_MANY_UNRESPONSIVE,
    codes=(Code.TOO_MANY_UNRESPONSIVE,),
    agent=lambda: ScriptedAgent(swallows=FOREVER),
    cancel_grace=0,
    max_unresponsive=1,
)
async def _quarantined_of_a_user(house: House) -> None:
    await house.sent("s1", **ADA)
    assert (await house.post("/chat/s1/cancel_send_task", **ADA)).body["verdict"] == "unresponsive"
    assert (await house.send("s2", **ADA)).status == 429


@bound(
    "sends that wait behind others",
    meter.QUEUE_FULL,
    codes=(Code.QUEUE_FULL,),
    agent=ScriptedAgent,
    queue_limit=1,
)
async def _queue(house: House) -> None:
    for _ in range(2):
        await house.sent("s", multitask_strategy="enqueue")
    answer = await house.send("s", multitask_strategy="enqueue")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


@bound("cancels that came", meter.EARLY_CANCELS_DROPPED, early_cancels_per_user=1)
async def _early_cancels(house: House) -> None:
    for task in ("t1", "t2"):
        assert (await house.post(f"/chat/s/{task}/cancel")).status == 404


# -- The journal ------------------------------------------------------------------------------------------


@bound(
    "sessions in the journal",
    meter.HISTORY_FORGOTTEN,
    journal=MemoryJournal(),
    history_sessions=1,
    idle_ttl=0.1,
)
async def _history(house: House) -> None:
    for session in ("s1", "s2"):
        await ended(house, "say 1", session)
    await until(lambda: house.counted(meter.HISTORY_FORGOTTEN.name))


@bound("events that are not", meter.JOURNAL_OVERFLOWS, journal=MemoryJournal(), journal_buffer=2_000)
async def _unwritten(house: House) -> None:
    task = await ended(house, "flood 2")
    turn = (await house.get(f"/chat/s/turns/{task}")).body
    assert "journal_lost" in json.dumps(turn)


# -- Conversations and messages -------------------------------------------------------------------------


@bound("conversations", meter.CONVERSATIONS_FORGOTTEN, contexts=1)
async def _conversations(house: House) -> None:
    for session in ("s1", "s2"):
        await ended(house, "say 1", session)


@bound("a conversation", meter.MESSAGES_OMITTED, conversation_messages=2)
async def _conversation(house: House) -> None:
    await ended(house, "say 5")


@bound("a recorded reply", meter.REPLIES_CUT_OFF, recorded_reply=3)
async def _recorded_reply(house: House) -> None:
    await ended(house, "delta 4")


@bound("a message", meter.MESSAGES_TOO_LARGE, codes=(Code.MESSAGE_TOO_LARGE,), message_parts=2)
async def _message(house: House) -> None:
    answer = await house.send("s", [{"type": "text", "text": "x"}] * 3)
    assert answer.status == 422


@bound("a message", meter.MESSAGES_TOO_LARGE, codes=(Code.MESSAGE_TOO_LARGE,), max_params=10)
async def _params(house: House) -> None:
    answer = await house.send("s", params={"a": 1, "b": 2})
    assert (answer.status, answer.body["field"]) == (422, "params")


@bound("a title", meter.TITLES_TOO_LONG, codes=(Code.TITLE_TOO_LONG,), title_length=2)
async def _title(house: House) -> None:
    await house.sent("s")
    assert (await house.ask("PATCH", "/chat/s", json={"title": "long"}, token="root-token")).status == 422


@bound("a part", meter.MESSAGES_ELIDED, shown_part=100)
async def _part(house: House) -> None:
    await house.sent("s", [{"type": "text", "text": "wait"}, {"type": "image", "data": "x" * 1_000}])


# -- Requests -------------------------------------------------------------------------------------------


@bound("a request's body", meter.BODIES_TOO_LARGE, codes=(Code.BODY_TOO_LARGE,), max_body=1_000)
async def _body(house: House) -> None:
    assert (await house.send("s", "x" * 2_000)).status == 413


async def _half_a_body(house: House, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body is announced, and does not come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    head = f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\nAuthorization: Bearer root-token\r\n"
    writer.write(f"{head}Content-Length: {size}\r\n\r\n[".encode())
    return reader, writer


@bound("a request's body", meter.BODIES_TOO_SLOW, codes=(Code.BODY_TIMEOUT,), body_timeout=0.1)
async def _slow_body(house: House) -> None:
    reader, writer = await _half_a_body(house, 100)
    assert (await read_answer(reader)).status == 408
    writer.write(b" " * 99)  # the rest, which the server waits for a while before it hangs up
    await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()


@bound("JSON values", meter.BODIES_OF_MANY_VALUES, codes=(Code.MESSAGE_TOO_LARGE,), body_values=10)
async def _values(house: House) -> None:
    body = json.dumps([*[1] * 20, "x" * 1_100_000]).encode()
    assert (await house.post("/chat/s/send", data=io.BytesIO(body))).status == 422


async def _fill(house: House, status: int) -> None:
    """Let one body wait for its rest, and send others beside it until one is refused."""
    _, writer = await _half_a_body(house, 190_000)
    writer.write(b" " * 150_000)

    async def refused() -> bool:
        return (await house.send("s", "x" * 180_000)).status == status

    await until(refused)
    writer.close()


@bound("bodies larger", meter.TOO_MANY_UPLOADS, codes=(Code.TOO_MANY_UPLOADS,), max_uploads=200_000)
async def _uploads(house: House) -> None:
    await _fill(house, 429)


@bound("bodies larger", meter.UPLOADS_FULL, codes=(Code.UPLOADS_FULL,), max_uploads_in_all=200_000)
async def _uploads_in_all(house: House) -> None:
    await _fill(house, 503)


@bound("tickets", codes=(Code.TOO_MANY_TICKETS,))
async def _tickets(house: House) -> None:
    for _ in range(tickets.MAX_TICKETS):
        await house.post("/chat/ticket", json={"log_ids": ["s"]})
    assert (await house.post("/chat/ticket", json={"log_ids": ["s"]})).status == 429


# -- What a user has --------------------------------------------------------------------------------------


@bound("sessions that are known", meter.TOO_MANY_SESSIONS, codes=(Code.TOO_MANY_SESSIONS,), max_sessions=1)
async def _sessions(house: House) -> None:
    await house.sent("s1", "wait", **ADA)
    assert (await house.send("s2", "wait", **ADA)).status == 429


@bound("sessions that are known", meter.SESSIONS_FORGOTTEN_EARLY, max_sessions=1)
async def _sleeping_sessions(house: House) -> None:
    await ended(house, "say 1", "s1", **ADA)
    await house.post("/chat/cleanup_completed_tasks", **ADA)
    await house.sent("s2", "say 1", **ADA)


@bound("users with a policy", meter.TOO_MANY_POLICIES, codes=(Code.TOO_MANY_POLICIES,), max_user_policies=1)
async def _policies(house: House) -> None:
    await house.registry.set_policy(Layer.USER, "ada", {"max_in_flight": 1})
    with pytest.raises(TooManyPolicies):
        await house.registry.set_policy(Layer.USER, "bob", {"max_in_flight": 1})
    caps = {"users": {"bob": {"max_in_flight": 1}}}
    assert (await house.ask("PUT", "/chat/admission", json=caps, token="root-token")).status == 429


@bound("turns in flight", meter.TOO_MANY_TURNS, codes=(Code.TOO_MANY_TURNS,), max_in_flight=1)
async def _turns(house: House) -> None:
    await house.sent("s1", "wait", **ADA)
    assert (await house.send("s2", "wait", **ADA)).status == 429


@bound(
    "turns that wait for a slot",
    meter.TOO_MANY_WAITING,
    codes=(Code.TOO_MANY_WAITING,),
    on_cap="wait",
    max_in_flight=1,
    max_waiting=1,
)
async def _waiting(house: House) -> None:
    await house.sent("s1", "wait", **ADA)
    await house.sent("s2", "wait", **ADA)
    answer = await house.send("s3", "wait", **ADA)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


@bound("turns of one agent", meter.TOO_MANY_OF_AGENT, codes=(Code.TOO_MANY_OF_AGENT,), max_of_agent=1)
async def _of_agent(house: House) -> None:
    await house.sent("s1", "wait", **ADA)
    assert (await house.send("s2", "wait")).status == 429


@bound("streams", meter.TOO_MANY_STREAMS, codes=(Code.TOO_MANY_STREAMS,), max_streams=1)
async def _streams(house: House) -> None:
    async with house.stream("s", **ADA):
        assert (await house.get("/chat/s/events", **ADA)).status == 429


@bound("events, conversations", meter.TOO_MUCH_KEPT, codes=(Code.TOO_MUCH_KEPT,), max_kept=2_000)
async def _kept(house: House) -> None:
    await ended(house, "emit 50", **ADA)
    assert (await house.send("s", "say 1", **ADA)).status == 429


@pytest.mark.parametrize("row", BOUNDS, ids=lambda row: row.hit.__name__.strip("_"))
async def test_at_each_bound_a_counter_moves(row: Bound) -> None:
    """G8."""
    async with serving(
        row.agent(), authenticate=by_token, token="root-token", metrics=True, **row.settings
    ) as house:
        before = await figures(house)
        await row.hit(house)
        assert moved(row, before, await figures(house))
        for code in row.raised:
            [turn] = (await house.get("/chat/s")).body["recent_turns"]
            kind = "".join(word.capitalize() for word in code.split("_"))
            assert (turn["status"], turn["error"]["type"]) == ("failed", kind)


def moved(row: Bound, before: dict[str, float], after: dict[str, float]) -> bool:
    names = [f"turnkeeper_{counter.name}" for counter in row.counters]
    names += [f"turnkeeper_refusals_total{code.value}" for code in row.codes]
    return bool(names) and all(after.get(name, 0) > before[name] for name in names)


# -- Connections: the server of `turnkeeper serve` --------------------------------------------------------


async def _refused(door: Door) -> int:
    """The status that a new connection is answered with before it has asked for anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        return int((await asyncio.wait_for(reader.read(), PATIENCE)).split()[1])
    finally:
        writer.close()


@bound(
    "in `turnkeeper serve`: the head",
    meter.CONNECTIONS_TIMED_OUT,
    codes=(Code.HEADER_TIMEOUT,),
    rows=SERVED,
    header_timeout=0.2,
)
async def _slow_head(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /healthz")
    assert (await read_answer(reader)).status == 408
    writer.close()


@bound(
    "connections in all", meter.CONNECTIONS_REFUSED, codes=(Code.SERVER_FULL,), rows=SERVED, max_connections=2
)
async def _connections(door: Door) -> None:
    async with door.stream("s"):
        _, second = await asyncio.open_connection("127.0.0.1", door.port)

        async def full() -> bool:
            return await _refused(door) == 503

        await until(full)
        second.close()


@bound("connections in all", meter.CONNECTIONS_CLOSED_IDLE, rows=SERVED, max_connections=2)
async def _idle_connections(door: Door) -> None:
    reader, idle = await asyncio.open_connection("127.0.0.1", door.port)
    idle.write(f"GET /healthz HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode())
    assert (await read_answer(reader)).status == 200
    async with door.stream("s"):
        _, third = await asyncio.open_connection("127.0.0.1", door.port)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"", "it made room"
        third.close()
    idle.close()


@bound(
    "connections of one address",
    meter.PEER_CONNECTIONS_REFUSED,
    codes=(Code.TOO_MANY_CONNECTIONS,),
    rows=SERVED,
    connections_per_peer=1,
)
async def _peer(door: Door) -> None:
    async with door.stream("s"):
        assert await _refused(door) == 429


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Door]:
    """The server of `turnkeeper serve`, in this process, whose connections settle at once."""
    chosen = WebSettings(port=0, slow_loop=0, **settings)
    app = create_app(agent, settings=chosen, pages=False, docs=False)
    stop, addresses = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(_serve(app, chosen, addresses.put_nowait, stop, 0.2))
    port = int((await addresses.get()).rpartition(":")[2].strip("/"))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            yield Door(port, client)
    finally:
        stop.set()
        await task


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.hit.__name__.strip("_"))
async def test_at_each_bound_of_the_connections_a_counter_moves(
    row: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G8. Connections of this machine have no bound of their own, so this one passes for another."""
    monkeypatch.setattr(connections, "SETTLED_AFTER", 0.0)
    monkeypatch.setattr(connections, "is_loopback", lambda _peer: False)
    async with served(**row.settings) as door:
        before = await figures(door)
        await row.hit(door)

        async def counted() -> bool:
            return moved(row, before, await figures(door))

        await until(counted)  # there is room for a scraper once the others are known to have gone


# -- Nothing is left out ----------------------------------------------------------------------------------

ROWS = [*BOUNDS, *SERVED]


def limits() -> dict[str, str]:
    """The limits of the guarantees, each with its row."""
    [part] = re.findall(r"\*\*G8, bounded\.\*\*.*?(?=\*\*G9)", PAGE, re.DOTALL)
    rows = re.findall(r"^\| (.+?) \| .*\|$", part, re.MULTILINE)
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return dict(zip(rows, lines, strict=True))


def test_every_counter_is_of_a_bound_that_is_hit_here_or_of_none() -> None:
    hit = {counter for row in ROWS for counter in row.counters}
    assert hit | set(NO_BOUND) == set(COUNTERS)
    assert not hit & set(NO_BOUND)


def test_every_refusal_because_something_is_too_much_is_hit_here() -> None:
    hit = {code for row in ROWS for code in (*row.codes, *row.raised)}
    assert hit | NO_MATTER_OF_HOW_MUCH == set(Code)
    assert not hit & NO_MATTER_OF_HOW_MUCH


def test_every_limit_of_the_guarantees_is_hit_here_and_names_its_counters() -> None:
    found = {limit: row for limit, row in limits().items() if limit not in ("what", "---")}
    assert len(found) > 20
    for limit, text in found.items():
        rows = [row for row in ROWS if limit.startswith(row.limit)]
        if limit in UNCOUNTED:
            continue
        assert rows, f"nothing hits: {limit}"
        named = {f"{counter.name}" for row in rows for counter in row.counters} or {"refusals_total"}
        assert {name for name in named if f"`{name}`" not in text} <= {"unresponsive_total"}, limit
    assert set(UNCOUNTED) <= set(found)
