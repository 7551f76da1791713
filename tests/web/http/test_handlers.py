import asyncio
import gzip
import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, done, plain, settle
from tests.web.fakes_web import (
    PATIENCE,
    Answer,
    House,
    Stream,
    by_token,
    read_answer,
    running,
    serving,
    until,
)
from turnkeeper.actors.admission.bounds import COUNTERS
from turnkeeper.actors.model.exceptions import (
    SessionError,
    TooManySessions,
    TooManyStreams,
    TooManyTurns,
    TooMuchKept,
)
from turnkeeper.actors.model.ids import RESERVED_IDS
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import WebSettings, setup
from turnkeeper.web.agents import builtin as agents
from turnkeeper.web.http import codec, handlers
from turnkeeper.web.http.routes import ROUTES

TEXT = [{"type": "text", "text": "hello"}]


async def ended(house: House, log_id: str, task_id: str) -> Any:
    """The turn, once it has ended."""
    async for event in house.registry.events(log_id, after="0"):
        if event.name.startswith("turn.") and event.data["task_id"] == task_id and "ended_at" in event.data:
            break
    return (await house.get(f"/chat/{log_id}/turns/{task_id}")).body


async def test_every_answer_ends_its_line_for_those_who_read_it_in_a_terminal() -> None:
    async with serving(done) as house:
        asked = f"Host: {house.host}\r\nContent-Length: 0\r\n\r\n"
        for request in (
            "POST /chat/s/cancel_send_task",
            "GET /healthz",
            "GET /chat/unknown",
            "PUT /chat/s/send",
        ):
            answer = await house.raw(f"{request} HTTP/1.1\r\n{asked}".encode())
            assert answer.text.endswith("}\n"), request


async def test_a_turn_that_has_completed_is_looked_up_with_what_it_returned() -> None:
    async def agent(turn: Turn) -> Any:
        return {"n": 2**70, "text": "x" * int(turn.text)} if turn.text != "0" else object()

    async with serving(agent, kept_result=2_000) as house:
        for text, result, left_out in (
            ("3", {"n": 2**70, "text": "xxx"}, False),
            ("0", None, False),
            ("5000", None, True),
        ):
            task = await house.sent("s", text)
            turn = await ended(house, "s", task)
            assert (turn["status"], turn["result"], turn["result_left_out"]) == (
                "completed",
                result,
                left_out,
            )


# -- Send -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [TEXT, {"message": "hello"}, {"message": TEXT}], ids=["parts", "text", "object"]
)
async def test_a_send_is_taken_and_its_turn_is_named(body: Any) -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        answer = await house.post("/chat/s/send", json=body)

        assert answer.status == 202
        assert answer.body["status"] == "ok"
        assert answer.body["superseded"] is None
        run = await agent.run()
        assert answer.body["task_id"] == run.turn.turn_id
        assert run.turn.text == "hello"
        assert run.turn.message == (body if isinstance(body, list) else body["message"])
        assert run.turn.user == "local"
        turn = await house.get(answer.headers["Location"])
        assert (turn.body["task_id"], turn.body["status"]) == (answer.body["task_id"], "running")


async def test_a_send_may_name_its_turn_its_agent_its_strategy_and_its_timeout() -> None:
    coder = ScriptedAgent()
    async with serving({"default": done, "coder": coder}) as house:
        answer = await house.send(
            "s", agent="coder", task_id="mine", timeout=0.1, multitask_strategy="reject"
        )
        assert answer.body["task_id"] == "mine"
        run = await coder.run()
        assert run.turn.agent == "coder"
        turn = await ended(house, "s", "mine")
        assert turn["status"] == "timed_out"
        assert turn["reason"]["code"] == "timeout"
        assert turn["ended_at"] - turn["started_at"] >= 0.09


async def test_a_send_says_how_its_turn_is_run_within_what_the_host_says() -> None:
    agents = {"default": done, "coder": Agent(done, turn_timeout=60, allow=["priority"])}
    async with serving(agents, authenticate=by_token, users={"ada": {"queue_limit": 3}}) as house:
        said = {"timeout": 600, "stall_timeout": 5, "priority": "background", "agent": "coder"}
        answer = await house.send("s", task_id="mine", token="ada-token", **said)
        assert answer.status == 202
        assert [*answer.body["capped"]] == ["turn_timeout"]
        again = await house.send("s", task_id="mine", token="ada-token", agent="coder")
        assert (again.body["repeated"], again.body["capped"]) == (True, answer.body["capped"])
        policy = (await house.get("/chat/s/turns/mine", token="ada-token")).body["policy"]
        assert policy["turn_timeout"] == {"value": 60.0, "layer": "agent", "name": "coder", "capped": 600.0}
        assert policy["stall_timeout"] == {"value": 5.0, "layer": "request", "name": None}
        assert policy["priority"] == {"value": "background", "layer": "request", "name": None}
        assert policy["queue_limit"] == {"value": 3, "layer": "user", "name": "ada"}


async def test_a_send_says_more_to_the_agent_beside_its_message_and_its_turn_shows_it() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        said = {"temperature": 0.2, "metadata": {"n": 10**30, "name": "\u20ac"}}
        await house.send("s", task_id="t1", params=said)
        run = await agent.run()
        assert run.turn.params == said
        assert (await house.get("/chat/s/turns/t1")).body["params"] == said
        assert (await house.send("s", task_id="t1", params=said)).body["repeated"]
        for other in ({}, None, {"temperature": 0.3}):
            assert (await house.send("s", task_id="t1", params=other)).code == "TURN_ID_REUSED"
        run.finish()
        assert (await ended(house, "s", "t1"))["params"] == said
        for none in ({}, None):
            await house.send("s", task_id="bare", params=none)
            assert "params" not in (await house.get("/chat/s/turns/bare")).body
        # Events and lists are many, and those who read them are not the agent.
        for path in ("/chat/s", "/chat/s/turns", "/chat/s/events?last_event_id=0&follow=false"):
            assert "temperature" not in (await house.get(path)).text, path


@pytest.mark.parametrize("params", [1, "x", True, [], [["a", 1]]])
async def test_params_that_are_no_object_are_refused(params: Any) -> None:
    async with serving(done) as house:
        answer = await house.send("s", params=params)
        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", "params")
        assert (await house.get("/chat/s")).status == 404


@pytest.mark.parametrize("value", [b'"\\ud800"', b"1e999", b"[" * 300 + b"]" * 300], ids=repr)
async def test_params_that_cannot_be_written_again_are_refused(value: bytes) -> None:
    async with serving(done) as house:
        answer = await house.post("/chat/s/send", data=b'{"message": "hi", "params": {"x": %s}}' % value)
        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", "params")


async def test_a_message_with_a_part_that_its_agent_does_not_take_is_refused() -> None:
    agent = ScriptedAgent()
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    async with serving({"default": Agent(agent, takes=("text",)), "eye": agent}) as house:
        answer = await house.send("s", image)
        assert (answer.status, answer.code, answer.body["field"]) == (422, "PART_NOT_TAKEN", "message")
        assert "'default'" in answer.body["detail"]
        assert "'image_url'" in answer.body["detail"]
        assert (await house.get("/chat/s")).status == 404
        assert (await house.send("s", image, agent="eye")).status == 202
        await house.send("s", "next", task_id="t2", multitask_strategy="enqueue")
        answer = await house.ask("PATCH", "/chat/s/turns/t2", json={"message": image})
        assert (answer.status, answer.code) == (422, "PART_NOT_TAKEN")


async def test_a_send_that_sets_what_is_the_hosts_alone_is_refused() -> None:
    async with serving(Agent(done, deny=["strategy"])) as house:
        for said in ({"priority": "background"}, {"multitask_strategy": "reject"}):
            answer = await house.send("s", **said)
            assert (answer.status, answer.code) == (403, "POLICY_NOT_ALLOWED")
            assert [answer.body["field"]] == [*said]
        assert (await house.get("/chat/s")).status == 404


async def test_the_policy_of_a_session_is_that_of_its_users_sends() -> None:
    agents = {"default": done, "coder": Agent(done, cancel_grace=30)}
    async with serving(agents, authenticate=by_token, users={"ada": {"queue_limit": 3}}) as house:
        await house.sent("s", token="ada-token")
        for token in ("ada-token", "root-token"):
            answer = (await house.get("/chat/s/policy?agent=coder", token=token)).body
            assert (answer["user"], answer["agent"]) == ("ada", "coder")
            assert answer["policy"]["cancel_grace"]["name"] == "coder"
            assert answer["policy"]["queue_limit"]["layer"] == "user"
            assert answer["policy"]["queue_limit"]["member"] is None
        assert (await house.get("/chat/s/policy?agent=nobody", token="ada-token")).code == "UNKNOWN_AGENT"
        assert (await house.get("/chat/s/policy", token="bob-token")).code == "UNKNOWN_SESSION"


async def test_a_turn_that_only_its_sender_may_stop_is_not_stopped_by_its_sessions_owner() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, who_may_stop="sender") as house:
        await house.sent("s", "hello", task_id="t1", token="ada-token")
        await agent.run()
        await house.sent("s", "I look into it", task_id="t2", token="root-token")
        for path in ("/chat/s/t2/cancel", "/chat/s/cancel_send_task"):
            answer = await house.post(path, token="ada-token")
            assert (answer.status, answer.code) == (403, "NOT_YOURS_TO_STOP")
            assert answer.body["task_id"] == "t2"
        assert (await house.get("/chat/s/turns/t2", token="ada-token")).body["status"] == "running"
        assert (await house.post("/chat/s/t2/cancel", token="root-token")).body["verdict"] == "cancelled"


async def test_a_cancel_waits_through_the_longest_grace_that_any_layer_says() -> None:
    agent = ScriptedAgent(swallows=1)
    async with serving(Agent(agent, cancel_grace=0.4), cancel_grace=0.05, margin=0.3) as house:
        await house.sent("s")
        await agent.run()
        answer = await house.post("/chat/s/cancel_send_task")
        assert answer.body["verdict"] != "requested"


async def test_a_cancel_waits_for_a_step_that_must_not_be_interrupted_and_says_so() -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            inside.set()
            await go_on.wait()

    async with serving(agent, cancel_grace=0.05, wind_grace=0.0, margin=0.05) as house:
        await house.sent("s", task_id="t1")
        await inside.wait()
        asked = await house.post("/chat/s/t1/cancel?wait=false")
        assert (asked.status, asked.body["verdict"]) == (202, "requested")
        for shown in (
            asked.body["turn"],
            (await house.get("/chat/s/turns/t1")).body,
            (await house.get("/chat/s")).body["turn"],
        ):
            assert (shown["status"], shown["held"]) == ("cancelling", True)
            assert shown["reason"]["code"] == "user_request"
        active = (await house.get("/chat/s/active_tasks")).body["active_tasks"]
        assert (active["task_cancelled"], active["held"]) == (True, True)
        assert (await house.get("/chat/active_send_tasks")).body["active_tasks"]["s"]["held"] is True
        # Both wait for longer than the grace and the margin.
        waiting = asyncio.create_task(house.post("/chat/s/cancel_send_task"))
        late = await house.post("/chat/cancel_send_tasks", json={"all": True})
        assert (late.status, late.body["results"][0]["verdict"]) == (202, "requested")
        go_on.set()
        answer = await waiting
        assert (answer.status, answer.body["verdict"]) == (200, "cancelled")
        assert "held" not in answer.body["turn"]


async def test_only_an_admin_stops_a_step_that_must_not_be_interrupted() -> None:
    inside = asyncio.Event()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            inside.set()
            await asyncio.Event().wait()

    async with serving(agent, authenticate=by_token) as house:
        await house.sent("s", task_id="t1", token="ada-token")
        await inside.wait()
        for path in ("/chat/s/t1/cancel?force=true", "/chat/s/cancel_send_task?force=1"):
            answer = await house.post(path, token="ada-token")
            assert (answer.status, answer.code) == (403, "SCOPE_MISSING")
        answer = await house.post(
            "/chat/cancel_send_tasks", json={"all": True, "force": True}, token="ada-token"
        )
        assert (answer.status, answer.code) == (403, "SCOPE_MISSING")
        assert (
            await house.post("/chat/s/t1/cancel?force=perhaps", token="root-token")
        ).code == "INVALID_REQUEST"
        answer = await house.post("/chat/s/t1/cancel?force=true", token="root-token")
        assert (answer.status, answer.body["verdict"]) == (200, "cancelled")


async def test_a_send_whose_message_joins_another_one_names_the_turn_that_has_it() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s", task_id="t1")
        collapses = {"multitask_strategy": "collapse"}
        await house.sent("s", "wait", task_id="t2", **collapses)
        for repeated in (False, True):
            answer = await house.send("s", "and look there", task_id="t3", **collapses)
            assert answer.body["task_status"] == "merged"
            assert (answer.body["merged_into"], answer.body["repeated"]) == ("t2", repeated)
        turn = (await house.get("/chat/s/turns/t3")).body
        assert (turn["status"], turn["merged_into"]) == ("merged", "t2")
        assert "merged_into" not in (await house.get("/chat/s/turns/t2")).body
        answer = await house.post("/chat/s/t3/cancel")
        assert (answer.body["verdict"], answer.body["turn"]["merged_into"]) == ("finished_first", "t2")


async def test_a_second_send_supersedes_and_says_what_became_of_the_first() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        first = await house.sent("s")
        answer = await house.send("s")

        superseded = answer.body["superseded"]
        assert superseded["task_id"] == first
        assert superseded["verdict"] == "cancelled"
        assert superseded["settled_after_ms"] >= 0
        assert agent.most_at_once == 1
        turn = (await house.get(f"/chat/s/turns/{first}")).body
        assert (turn["status"], turn["superseded_by"]) == ("cancelled", answer.body["task_id"])
        assert turn["reason"]["code"] == "superseded"


async def test_a_send_that_rolls_back_says_so_and_so_does_the_turn_that_it_has_undone() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        first = await house.sent("s")
        answer = await house.send("s", multitask_strategy="rollback")
        assert answer.body["superseded"]["rolled_back"] is True
        turn = (await house.get(f"/chat/s/turns/{first}")).body
        assert (turn["status"], turn["rolled_back"], turn["rollback"]) == ("cancelled", True, "done")


async def test_a_send_that_does_not_wait_is_answered_while_its_predecessor_still_holds_the_session() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent) as house:
        first = await house.sent("s")
        answer = await house.send("s", query="?wait=false")

        assert answer.status == 202
        assert answer.body["superseded"] == {
            "task_id": first,
            "verdict": "requested",
            "settled_after_ms": None,
            "rolled_back": None,
        }
        assert answer.body["task_status"] == "queued"
        session = (await house.get("/chat/s")).body
        assert (session["state"], session["turn"]["task_id"]) == ("cancelling", first)
        assert [turn["task_id"] for turn in session["queue"]] == [answer.body["task_id"]]
        (await agent.run()).finish()
        assert (await agent.run()).turn.turn_id == answer.body["task_id"]


async def test_a_send_that_rejects_learns_which_turn_is_in_the_way() -> None:
    async with serving(ScriptedAgent()) as house:
        first = await house.sent("s")
        answer = await house.send("s", multitask_strategy="reject")

        assert (answer.status, answer.code) == (409, "SESSION_BUSY")
        assert answer.body["task_id"] == first
        assert (await house.get("/chat/s")).body["turn"]["status"] == "running"


async def test_a_repeated_send_starts_nothing_and_gets_the_same_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.send("s", task_id="mine")
        again = await house.send("s", task_id="mine")

        assert (again.status, again.body["task_id"], again.body["repeated"]) == (202, "mine", True)
        assert len(agent.runs) == 1


async def test_a_turn_id_that_stands_for_another_message_is_refused() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.send("s", task_id="mine")
        answer = await house.send("s", "something else", task_id="mine")

        assert (answer.status, answer.code) == (422, "TURN_ID_REUSED")


async def test_a_send_with_the_same_key_starts_nothing_and_is_answered_with_the_turn_that_runs() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        first = await house.send("s", headers={"Idempotency-Key": "k-1"})
        again = await house.send("s", headers={"Idempotency-Key": '"k-1"'})

        task = first.body["task_id"]
        assert (again.status, again.body["task_id"], again.body["repeated"]) == (202, task, True)
        assert again.body["task_status"] == "running"
        assert again.headers["Location"] == first.headers["Location"]
        assert len(agent.runs) == 1
        (await agent.run()).finish()
        await ended(house, "s", task)
        over = await house.send("s", headers={"Idempotency-Key": "k-1"}, timeout=3)
        assert (over.body["task_id"], over.body["task_status"], over.body["repeated"]) == (
            task,
            "completed",
            True,
        )
        assert len(agent.runs) == 1


async def test_a_key_that_stands_for_another_message_is_refused() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.send("s", headers={"Idempotency-Key": "k"})
        answer = await house.send("s", "something else", headers={"Idempotency-Key": "k"})

        assert (answer.status, answer.code) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert (await house.send("s", "something else", headers={"Idempotency-Key": "l"})).status == 202
        assert house.registry.meter.refusals["IDEMPOTENCY_KEY_REUSED"] == 1


async def test_a_key_is_looked_up_before_any_bound() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token, token="ada-token", max_in_flight=1) as house:
        first = await house.sent("a", headers={"Idempotency-Key": "k"})
        await house.sent("a", "next", query="?wait=false", headers={"If-Match": f'"{first}"'})
        assert (await house.send("b")).code == "TOO_MANY_TURNS"
        again = await house.send("a", headers={"Idempotency-Key": "k", "If-Match": '"stale"'})

        assert (again.status, again.body["task_id"], again.body["repeated"]) == (202, first, True)


async def test_a_key_and_a_task_id_exclude_each_other() -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.send("s", task_id="t", headers={"Idempotency-Key": "k"})

        assert (answer.status, answer.code) == (422, "INVALID_REQUEST")
        assert answer.body["field"] == "Idempotency-Key"
        assert (await house.registry.counts()).sessions == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\u00e4", '"open', '"', '""', '"a\\b"', "a\tb"])
async def test_a_malformed_key_is_refused(key: str) -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.send("s", headers={"Idempotency-Key": key})

        assert (answer.status, answer.code) == (422, "INVALID_REQUEST")
        assert answer.body["field"] == "Idempotency-Key"
        assert (await house.registry.counts()).sessions == 0


async def test_equal_keys_of_two_users_and_of_two_sessions_are_different_turns() -> None:
    agent = ScriptedAgent()
    async with serving(agent, authenticate=by_token) as house:
        tasks = [
            await house.sent(session, token=token, headers={"Idempotency-Key": "k"})
            for session, token in (("a", "ada-token"), ("b", "ada-token"), ("a", "root-token"))
        ]
        assert len(set(tasks)) == len(agent.runs) == 3


async def test_a_send_whose_cancel_came_first_is_taken_and_over() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        early = await house.post("/chat/s/mine/cancel")
        answer = await house.send("s", task_id="mine")

        assert early.status == 404
        assert (answer.status, answer.body["task_status"]) == (202, "cancelled")
        assert agent.runs == []


async def test_if_match_holds_a_send_to_the_turn_its_sender_has_seen() -> None:
    async with serving(ScriptedAgent()) as house:
        first = await house.sent("s")

        stale = await house.send("s", headers={"If-Match": '"another"'})
        assert (stale.status, stale.code) == (412, "PRECONDITION_FAILED")
        assert (await house.get("/chat/s")).body["turn"]["status"] == "running"
        assert (await house.send("s", headers={"If-Match": f'"{first}"'})).status == 202


async def test_if_match_holds_for_no_unknown_session_and_leaves_nothing_behind() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        stale = {"If-Match": '"t1"'}
        for answer in (
            await house.send("s", headers=stale),
            await house.post("/chat/s/cancel_send_task", headers=stale),
            await house.post("/chat/s/t2/cancel", headers=stale),
        ):
            assert (answer.status, answer.code) == (412, "PRECONDITION_FAILED")
        assert (await house.registry.counts()).sessions == 0

        assert (await house.send("s", task_id="t2")).body["task_status"] == "running"


async def test_a_send_to_a_closed_session_is_refused() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s")
        assert (await house.delete("/chat/s")).status == 200
        answer = await house.send("s")

        assert (answer.status, answer.code) == (409, "SESSION_CLOSED")


async def test_a_response_location_holds_for_ids_of_every_allowed_character() -> None:
    log_id = "Az09._:@-"
    async with serving(done) as house:
        answer = await house.send(log_id, task_id=":.t@-")

        assert (await house.get(answer.headers["Location"])).body["log_id"] == log_id


@pytest.mark.parametrize("k", range(8))
async def test_a_send_is_handed_over_before_its_handler_first_waits(k: int) -> None:
    agent = ScriptedAgent()
    async with serving(agent, runner={"handler_cancellation": True}) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        body = json.dumps(TEXT).encode()
        head = f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await settle(k)
        if k % 2:
            writer.transport.abort()
        else:
            writer.close()

        assert (await agent.run()).turn.text == "hello"
        del reader


# -- Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"agent": "unknown"}, "UNKNOWN_AGENT", "agent"),
        ({"multitask_strategy": "wait"}, "INVALID_REQUEST", "multitask_strategy"),
        ({"multitask_strategy": ""}, "INVALID_REQUEST", "multitask_strategy"),
        ({"multitask_strategy": "\ud800"}, "INVALID_REQUEST", "multitask_strategy"),
        ({"timeout": "\ud800"}, "INVALID_REQUEST", "timeout"),
        ({"timeout": 0}, "INVALID_REQUEST", "timeout"),
        ({"timeout": -1}, "INVALID_REQUEST", "timeout"),
        ({"timeout": 1e12}, "INVALID_REQUEST", "timeout"),
        ({"timeout": 10**400}, "INVALID_REQUEST", "timeout"),
        ({"timeout": "5"}, "INVALID_REQUEST", "timeout"),
        ({"timeout": True}, "INVALID_REQUEST", "timeout"),
        ({"timeout": [1]}, "INVALID_REQUEST", "timeout"),
        ({"task_id": ""}, "INVALID_REQUEST", "task_id"),
        ({"task_id": "a b"}, "INVALID_REQUEST", "task_id"),
        ({"task_id": "x" * 201}, "INVALID_REQUEST", "task_id"),
        ({"task_id": "turns"}, "INVALID_REQUEST", "task_id"),
        ({"task_id": "\ud800"}, "INVALID_REQUEST", "task_id"),
        ({"surprise": 1}, "INVALID_REQUEST", "surprise"),
    ],
    ids=plain,
)
async def test_a_send_that_asks_for_what_there_is_not_is_refused(
    fields: dict[str, Any], code: str, field: str | None
) -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        answer = await house.send("s", **fields)

        assert (answer.status, answer.code) == (422, code)
        assert answer.body.get("field") == field
        assert field is None or field in answer.body["detail"]
        assert agent.runs == []
        assert (await house.get("/chat/s")).status == 404, "a refused send opens nothing"


BODIES = {
    "empty": b"",
    "text": b"hello",
    "latin-1": b'{"message": "gr\xfc\xdfe"}',
    "utf-16": '{"message": "x"}'.encode("utf-16"),
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "deep object": b'{"message":' * 10_000 + b'"x"' + b"}" * 10_000,
    "deep part": b'[{"type":"x","y":' + b"[" * 10_000 + b"]" * 10_000 + b"}]",
    "nan": b'{"message": [{"type": "n", "n": NaN}]}',
    "number": b"7",
    "surrogate": b'{"message": "\\ud800"}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/chat/s/send", "/chat/ticket"])
async def test_a_bad_body_is_refused_and_the_connection_goes_on(path: str, name: str) -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.post(path, data=BODIES[name])

        assert answer.status == 422
        assert answer.code in ("INVALID_JSON", "INVALID_REQUEST")
        assert (await house.registry.counts()).sessions == 0
        assert (await house.send("s")).status == 202


async def test_a_message_that_is_nested_as_deep_as_json_reads_still_runs() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        for depth in (200, 400, 600, 800, 900, 950, 980):
            body = b'{"task_id": "t%d", "message": [{"type":"x","y":%s%s}]}' % (
                depth,
                b"[" * depth,
                b"]" * depth,
            )
            answer = await house.post("/chat/s/send", data=body)
            assert answer.status in (202, 422), answer.text
            if answer.status == 422:
                assert answer.code in ("INVALID_JSON", "INVALID_REQUEST")
        async with house.stream("s") as stream:
            assert (await stream.until("snapshot")).json["state"] == "running"
            await stream.until("turn.started")


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    async with serving(max_body=1000) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(
            f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: 2000\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in head.lower()
        body = json.loads(await reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0])))
        assert body["code"] == "BODY_TOO_LARGE"
        writer.write(b"x" * 2000)
        rest = await asyncio.wait_for(reader.read(), PATIENCE)
        assert rest == b"", "and the connection ends there, as it says"
        writer.close()


@pytest.mark.parametrize("path", ["/chat/s/send", "/chat/ticket"])
async def test_a_body_that_turns_out_too_large_is_refused(path: str) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with serving(max_body=1000) as house:
        for data in (flood(), b"x" * 1001):
            answer = await house.post(path, data=data)
            assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")
            assert answer.headers["Connection"].lower() == "close"
        fits = json.dumps({"message": "x" * 900}).encode()
        assert (await house.post("/chat/s/send", data=fits)).status == 202


async def test_a_body_without_end_is_refused_at_the_limit_and_not_kept() -> None:
    async with serving(max_body=1000) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\n".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        for _ in range(10_000):
            if answer.done():
                break
            writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
            await asyncio.sleep(0)

        assert answer.done(), "it would have read on"
        assert (await answer).startswith(b"HTTP/1.1 413")
        writer.write(b"0\r\n\r\n")
        assert b"BODY_TOO_LARGE" in await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()


async def test_a_body_that_takes_too_long_is_refused_and_the_connection_ends() -> None:
    async with serving(body_timeout=0.05, runner={"lingering_time": 0.1}) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(
            f"POST /chat/s/send HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: 200\r\n\r\n".encode()
        )
        writer.write(b"[")

        head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 408")
        assert json.loads(body)["code"] == "BODY_TIMEOUT"
        assert await house.counted("bodies_too_slow_total") == 1
        writer.close()


async def test_a_body_may_come_compressed_and_is_bounded_by_what_it_unpacks_to() -> None:
    async with serving(max_body=1000) as house:
        zipped = {"Content-Encoding": "gzip"}
        small = await house.post(
            "/chat/s/send", data=gzip.compress(json.dumps(TEXT).encode()), headers=zipped
        )
        bomb = await house.post("/chat/s/send", data=gzip.compress(b" " * 10_000_000), headers=zipped)

        assert small.status == 202
        assert bomb.status == 413


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["chunk size", "chunk end", "gzip"],
)
async def test_a_body_whose_transfer_is_broken_is_the_clients_fault(
    rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ScriptedAgent()) as house:
        answer = await house.raw(b"POST /chat/s/send HTTP/1.1\r\nHost: localhost\r\n" + rest)

        assert answer.status == 400, answer.text
        assert [record for record in caplog.records if record.name == "turnkeeper"] == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_an_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled = asyncio.Event()

    @web.middleware
    async def watch(request: web.Request, handler: Any) -> Any:
        try:
            return await handler(request)
        finally:
            handled.set()

    app = web.Application(middlewares=[watch])
    registry = setup(app, done)
    async with running(app, registry) as house:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /chat/s/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[{")
        await asyncio.wait_for(house.client.get(house.url("/healthz")), PATIENCE)
        handled.clear()
        writer.transport.abort()
        await asyncio.wait_for(handled.wait(), PATIENCE)

        assert [record for record in caplog.records if record.name == "turnkeeper"] == []
        assert (await registry.counts()).sessions == 0


async def test_a_body_that_a_middleware_of_the_hosts_has_read_is_there_all_the_same() -> None:
    seen: list[str] = []

    @web.middleware
    async def nosy(request: web.Request, handler: Any) -> Any:
        if request.path != "/chat/quiet/send":
            seen.append(await request.text())
        return await handler(request)

    agent = ScriptedAgent()
    app = web.Application(middlewares=[nosy])
    registry = setup(app, agent, settings=WebSettings(max_body=1000))
    async with running(app, registry) as house:
        assert (await house.send("s", "read before")).status == 202
        assert (await agent.run()).turn.text == "read before"
        assert (await house.send("s", "x" * 1000)).status == 413
        assert (await house.post("/chat/s/send")).code == "INVALID_JSON"
        agent.release()
    assert len(seen) == 3


BAD_IDS = [
    *sorted(RESERVED_IDS - {".", ".."}),
    "a%20b",
    "a%2Fb",
    "%2E%2E",
    "a%00",
    "gr%C3%BC%C3%9Fe",
    "%FF",
    "a+b",
    "x" * 201,
    "a,b",
    "%F0%9F%98%80",
]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.mark.parametrize("log_id", BAD_IDS)
async def test_an_id_outside_the_rule_is_refused_on_every_route_and_every_method(log_id: str) -> None:
    taken = {
        ("GET", "/chat/active_send_tasks"),
        ("HEAD", "/chat/active_send_tasks"),
        ("POST", "/chat/cancel_send_tasks"),
        ("POST", "/chat/cleanup_completed_tasks"),
        ("POST", "/chat/ticket"),
        ("GET", "/chat/events"),
        ("PATCH", "/chat/events"),
        ("GET", "/chat/admission"),
        ("HEAD", "/chat/admission"),
        ("PUT", "/chat/admission"),
    }
    paths = dict.fromkeys(route.path for route in ROUTES if "{log_id}" in route.path)
    async with serving(done) as house:
        for path in paths:
            for method in METHODS:
                asked = path.replace("{log_id}", log_id).replace("{task_id}", "t")
                if (method, asked) in taken:
                    continue
                answer = await house.ask(method, asked, **({"json": TEXT} if method == "POST" else {}))
                if "%2E%2E" in asked and answer.status == 404:
                    continue  # the client's own doing: a dot segment is resolved before it is sent
                assert answer.status == 422, f"{method} {asked}: {answer.status}"
                if method != "HEAD":
                    assert (answer.code, answer.body["field"]) == ("INVALID_REQUEST", "log_id")
        assert (await house.registry.counts()).sessions == 0


@pytest.mark.parametrize("task_id", [each for each in BAD_IDS if each != "%2E%2E"])
async def test_a_turn_id_outside_the_rule_is_refused_too(task_id: str) -> None:
    async with serving(done) as house:
        await house.sent("s")
        for method, path in (("POST", f"/chat/s/{task_id}/cancel"), ("GET", f"/chat/s/turns/{task_id}")):
            answer = await house.ask(method, path)
            assert (answer.status, answer.code) == (422, "INVALID_REQUEST"), path
            assert answer.body["field"] == "task_id"


@pytest.mark.parametrize("word", ["send", "messages", "active_tasks", "cancel_send_task", "cancel", "chat"])
async def test_a_word_of_a_path_that_stands_where_no_id_may_is_an_id_like_any_other(word: str) -> None:
    async with serving(ScriptedAgent()) as house:
        sent = await house.send(word, task_id=word)

        assert sent.status == 202
        assert (await house.get(sent.headers["Location"])).body["task_id"] == word
        for path in (f"/chat/{word}", f"/chat/{word}/messages", f"/chat/{word}/active_tasks"):
            assert (await house.get(path)).status == 200, path
        async with house.stream(word) as stream:
            await stream.until("turn.started")
        assert (await house.post(f"/chat/{word}/{word}/cancel")).body["verdict"] == "cancelled"
        assert (await house.post(f"/chat/{word}/cancel_send_task")).body["verdict"] == "not_running"
        assert (await house.delete(f"/chat/{word}")).status == 200


# -- Lists and titles ---------------------------------------------------------------------------------


def _ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["log_id"] for each in answer.body["sessions"]]


async def test_sessions_are_listed_the_last_active_first_with_what_they_do() -> None:
    agent = ScriptedAgent()
    async with serving({"default": done, "long": agent}) as house:
        await house.sent("s1", "What is a turn?", task_id="t1")
        await ended(house, "s1", "t1")
        await house.sent("s2", [{"type": "image", "data": "x"}], agent="long")
        answer = await house.get("/chat")
        assert _ids(answer) == ["s2", "s1"]
        assert answer.body["status"] == "ok"
        assert answer.body["before"] is None
        running, idle = answer.body["sessions"]
        turn = (await house.get("/chat/s1/turns/t1")).body
        assert idle == {
            "log_id": "s1",
            "user": "local",
            "title": "What is a turn?",
            "state": "idle",
            "last_active_at": turn["ended_at"],
            "turns_in_flight": 0,
            "turns_queued": 0,
            "unresponsive_turns": 0,
            "subscribers": 0,
        }
        assert (running["title"], running["state"], running["turns_in_flight"]) == (None, "running", 1)
        assert _ids(await house.get("/chat?state=running")) == ["s2"]
        assert _ids(await house.get("/chat?q=TURN")) == ["s1"]
        first = await house.get("/chat?limit=1")
        assert _ids(first) == ["s2"]
        rest = await house.get(f"/chat?limit=1&before={first.body['before']}")
        assert (_ids(rest), rest.body["before"]) == (["s1"], None)


async def test_users_list_their_own_sessions_and_admins_all() -> None:
    async with serving(done, authenticate=by_token) as house:
        for user in ("ada", "bob"):
            await house.sent(f"of-{user}", token=f"{user}-token")
        assert _ids(await house.get("/chat", token="ada-token")) == ["of-ada"]
        assert _ids(await house.get("/chat?user=ada", token="ada-token")) == ["of-ada"]
        unknown = await house.get("/chat?user=eve", token="ada-token")
        assert (await house.get("/chat?user=bob", token="ada-token")).body == unknown.body
        assert _ids(await house.get("/chat", token="root-token")) == ["of-bob", "of-ada"]
        assert _ids(await house.get("/chat?user=bob", token="root-token")) == ["of-bob"]
        assert (await house.get("/chat")).status == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=", "limit"),
        ("limit=1e1", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("before=x", "before"),
        ("before=", "before"),
        ("state=busy", "state"),
        ("state=", "state"),
    ],
)
async def test_a_list_that_cannot_be_is_refused_with_the_parameter_at_fault(query: str, field: str) -> None:
    async with serving(done) as house:
        answer = await house.get(f"/chat?{query}")
        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", field)


async def test_messages_and_turns_go_backwards_page_by_page() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append(turn.text)

    async with serving(agent) as house:
        for number in range(5):
            await house.sent("s", str(number), task_id=f"t{number}")
            await ended(house, "s", f"t{number}")
        last = (await house.get("/chat/s/messages?limit=2")).body
        assert (last["messages"], last["omitted"]) == (["3", "4"], 3)
        before = (await house.get(f"/chat/s/messages?limit=2&before={last['omitted']}")).body
        assert (before["messages"], before["omitted"]) == (["1", "2"], 1)
        first = (await house.get(f"/chat/s/messages?limit=2&before={before['omitted']}")).body
        assert (first["messages"], first["omitted"]) == (["0"], 0)
        assert (await house.get("/chat/s/messages")).body["messages"] == list("01234")
        turns = (await house.get("/chat/s/turns?limit=3")).body
        assert [turn["task_id"] for turn in turns["turns"]] == ["t4", "t3", "t2"]
        assert turns["turns"][0].items() <= (await house.get("/chat/s/turns/t4")).body.items()
        turns = (await house.get(f"/chat/s/turns?limit=3&before={turns['before']}")).body
        assert [turn["task_id"] for turn in turns["turns"]] == ["t1", "t0"]
        assert turns["before"] is None
        for query in ("messages?before=-1", "messages?before=x", "messages?before=", "turns?before=1"):
            answer = await house.get(f"/chat/s/{query}")
            assert (answer.status, answer.body["field"]) == (422, "before")


async def test_no_more_messages_are_read_than_an_answer_has_room_for() -> None:
    journal = SlowJournal()
    async with serving(done, journal=journal, conversation_messages=1, log_bytes=5_000) as house:
        for number in range(20):
            await house.sent("s", "x" * 1_000, task_id=f"t{number}")
            await ended(house, "s", f"t{number}")
        answer = (await house.get("/chat/s/messages?limit=200")).body
        assert 0 < len(answer["messages"]) < 5
        assert answer["omitted"] + len(answer["messages"]) == 40
        assert journal.messages_read < 12, "of forty"


async def test_a_session_is_given_a_title() -> None:
    async with serving(done, authenticate=by_token, title_length=20) as house:

        async def name(session: str, title: Any, token: str = "ada-token") -> Answer:
            return await house.ask("PATCH", f"/chat/{session}", json={"title": title}, token=token)

        await house.sent("s1", "hello", token="ada-token")
        answer = await name("s1", " Über  Turns ")
        assert (answer.status, answer.body["status"], answer.body["title"]) == (200, "ok", "Über Turns")
        (listed,) = (await house.get("/chat", token="ada-token")).body["sessions"]
        assert {"status": "ok", **listed} == answer.body
        assert (await name("s1", "by root", "root-token")).status == 200
        refused, unknown = await name("s1", "mine", "bob-token"), await name("s2", "mine", "bob-token")
        assert (refused.status, refused.code) == (unknown.status, unknown.code) == (404, "UNKNOWN_SESSION")
        assert refused.text.replace("s1", "s2") == unknown.text
        long = await name("s1", "x" * 21)
        assert (long.status, long.code, long.body["field"]) == (422, "TITLE_TOO_LONG", "title")
        (listed,) = (await house.get("/chat", token="ada-token")).body["sessions"]
        assert listed["title"] == "by root"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": " "}, "title"),
        ({"title": None}, "title"),
        ({"title": 1}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"title": "x", "state": "idle"}, "state"),
        ([], "body"),
    ],
)
async def test_a_title_that_is_none_is_refused(body: Any, field: str) -> None:
    async with serving(done) as house:
        await house.sent("s")
        answer = await house.ask("PATCH", "/chat/s", json=body)
        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", field)


async def test_dots_are_no_ids() -> None:
    async with serving(done) as house:
        for dots in (b".", b"..", b"%2e", b"%2E%2e"):
            answer = await house.raw(b"GET /chat/" + dots + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.status in (404, 422)
            answer = await house.raw(b"DELETE /chat/" + dots + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.status in (404, 422)
        assert (await house.registry.counts()).sessions == 0


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/chat/s/send", {"POST"}),
        ("PUT", "/chat/s/send", {"POST"}),
        ("GET", "/chat/s/t/cancel", {"POST"}),
        ("DELETE", "/chat/s/turns/t", {"GET", "HEAD", "PATCH"}),
        ("POST", "/chat/s/events", {"GET"}),
        ("HEAD", "/chat/s/events", {"GET"}),
        ("POST", "/chat/s", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("PUT", "/chat", {"GET", "HEAD", "POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_a_problem_like_any_other(
    method: str, path: str, allow: set[str]
) -> None:
    async with serving(done) as house:
        answer = await house.ask(method, path)

        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == allow
        if method != "HEAD":
            assert answer.code == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/chat/s/send?wait=maybe", "wait"),
        ("/chat/s/t/cancel?wait=", "wait"),
        ("/chat/s/cancel_send_task?wait=no", "wait"),
    ],
)
async def test_a_parameter_that_cannot_be_read_is_named(path: str, field: str) -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s", task_id="t")
        answer = await house.post(path, json=TEXT)

        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", field)
        assert (await house.get("/chat/s")).body["state"] == "running"


async def test_a_stream_that_does_not_follow_ends_after_what_is_kept() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s")
        (await agent.run()).turn.emit("delta", {"text": "one"})
        async with house.stream("s", "?follow=false&last_event_id=0") as stream:
            assert [message.event for message in await stream.rest()] == ["turn.started", "delta"]
        async with house.stream("s", "?follow=false") as stream:
            assert [message.event for message in await stream.rest()] == ["snapshot", "turn.started", "delta"]
        async with house.stream("unknown", "?follow=false&last_event_id=0") as stream:
            assert [message.event for message in await stream.rest()] == ["snapshot"]
        assert (await house.get("/chat/s")).body["subscribers"] == 0


async def test_close_on_knows_only_its_words() -> None:
    async with serving(done) as house:
        answer = await house.get("/chat/s/events?close_on=everything")

        assert (answer.status, answer.code, answer.body["field"]) == (422, "INVALID_REQUEST", "close_on")


async def test_what_is_unknown_is_not_found() -> None:
    async with serving(done) as house:
        await house.sent("s")
        for method, path, code in (
            ("GET", "/chat/unknown", "UNKNOWN_SESSION"),
            ("DELETE", "/chat/unknown", "UNKNOWN_SESSION"),
            ("GET", "/chat/unknown/turns/t", "UNKNOWN_SESSION"),
            ("GET", "/chat/unknown/messages", "UNKNOWN_SESSION"),
            ("GET", "/chat/s/turns/t", "UNKNOWN_TURN"),
        ):
            answer = await house.ask(method, path)
            assert (answer.status, answer.code) == (404, code)


# -- Cancel -----------------------------------------------------------------------------------------


async def test_a_cancel_is_answered_once_the_turn_has_stopped() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        task = await house.sent("s")
        answer = await house.post(f"/chat/s/{task}/cancel")

        assert agent.last.ended.is_set()
        assert answer.status == 200
        assert (
            answer.body.items()
            >= {
                "status": "ok",
                "message": "Task cancelled successfully",
                "verdict": "cancelled",
            }.items()
        )
        assert answer.body["settled_after_ms"] >= 0
        assert answer.body["turn"].items() >= {"task_id": task, "status": "cancelled", "by": "local"}.items()
        assert answer.body["turn"]["reason"]["code"] == "user_request"


async def test_a_cancel_of_a_turn_that_is_over_says_so_and_how_it_ended() -> None:
    async with serving(done) as house:
        task = await house.sent("s")
        await ended(house, "s", task)
        answer = await house.post(f"/chat/s/{task}/cancel")

        assert answer.status == 200
        assert (answer.body["status"], answer.body["message"]) == ("ok", "Task had already finished")
        assert (answer.body["verdict"], answer.body["turn"]["status"]) == ("finished_first", "completed")


async def test_a_cancel_that_the_turn_outruns_says_that_it_finished_first() -> None:
    agent = ScriptedAgent(swallows=1)
    async with serving(agent) as house:
        task = await house.sent("s")
        run = await agent.run()
        asked = asyncio.create_task(house.post(f"/chat/s/{task}/cancel"))
        await run.cancelled.wait()
        run.finish("done all the same")
        answer = await asked

        assert (answer.status, answer.body["verdict"]) == (200, "finished_first")
        assert answer.body["turn"]["status"] == "completed"
        assert answer.body["turn"]["cancel_requested_at"] is not None


async def test_a_cancel_that_a_turn_ignores_is_answered_when_its_grace_is_over() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, cancel_grace=0.1) as house:
        task = await house.sent("s")
        answer = await house.post(f"/chat/s/{task}/cancel")

        assert answer.status == 200
        assert (answer.body["status"], answer.body["message"]) == ("error", "Task did not stop")
        assert (answer.body["verdict"], answer.body["turn"]["status"]) == ("unresponsive", "unresponsive")
        assert answer.body["settled_after_ms"] >= 100
        session = (await house.get("/chat/s")).body
        assert [turn["task_id"] for turn in session["unresponsive_turns"]] == [task]


@pytest.mark.parametrize("path", ["/chat/s/t/cancel", "/chat/s/cancel_send_task"])
async def test_a_cancel_whose_verdict_does_not_come_is_answered_half_a_second_after_the_grace(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def ask_now(self, _message: Any, future: Any) -> Any:
            return future

    async with serving(cancel_grace=0.1, margin=handlers.CANCEL_MARGIN) as house:
        with monkeypatch.context() as patch:
            patch.setattr(SessionRegistry, "ref", Silent())
            asked = time.monotonic()
            answer = await house.post(path)

        assert (answer.status, answer.body["verdict"]) == (202, "requested")
        assert time.monotonic() - asked >= 0.1 + 0.5


async def test_a_cancel_right_behind_a_send_finds_an_agent_that_has_been_called() -> None:
    asked = "POST /chat/s/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{}"
    body = '{"message": "hello"}'
    async with serving(ScriptedAgent()) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        both = asked.format("send", len(body), body) + asked.format("cancel_send_task", 0, "")
        writer.write(both.encode())
        sent, cancelled = await read_answer(reader), await read_answer(reader)
        writer.close()

        assert (sent.status, cancelled.status) == (202, 200)
        assert (cancelled.body["verdict"], cancelled.body["turn"]["began"]) == ("cancelled", True)


async def test_a_cancel_need_not_wait() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent) as house:
        task = await house.sent("s")
        for path in (f"/chat/s/{task}/cancel?wait=false", "/chat/s/cancel_send_task?wait=false"):
            answer = await house.post(path)
            assert (answer.status, answer.body["verdict"]) == (202, "requested")
            assert answer.body["turn"]["status"] == "cancelling"
        active = (await house.get("/chat/s/active_tasks")).body["active_tasks"]
        assert (active["task_active"], active["task_cancelled"]) == (True, True)


async def test_a_cancel_of_a_turn_of_another_process_has_no_verdict_for_nothing_is_known_of_it() -> None:
    async with serving() as house:
        answer = await house.post("/chat/s1/0123456789ab-7/cancel")

        assert answer.status == 404
        assert (answer.body["code"], answer.body["status"]) == ("TURN_OF_ANOTHER_PROCESS", "error")
        assert "verdict" not in answer.body
        mine = (await house.get("/healthz")).body["incarnation"]
        answer = await house.post(f"/chat/s1/{mine}-7/cancel")
        assert (answer.body["code"], answer.body["verdict"]) == ("UNKNOWN_TURN", "not_running")


async def test_a_cancel_of_an_unknown_turn_or_session_is_a_404_that_says_for_how_long_it_counts() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s")
        for path in ("/chat/s/other/cancel", "/chat/unknown/other/cancel"):
            answer = await house.post(path)
            assert answer.status == 404
            assert (
                answer.body.items()
                >= {
                    "code": "UNKNOWN_TURN",
                    "message": "No active task found for this session",
                    "verdict": "not_running",
                    "remembered_for": 30.0,
                }.items()
            )
        assert (await house.get("/chat/s")).body["state"] == "running"


async def test_the_unknown_turns_problem_has_the_status_existing_clients_read() -> None:
    async with serving(done) as house:
        answer = await house.post("/chat/s/t/cancel")

        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.body["status"] == "error"


async def test_a_cancel_of_the_session_answers_with_its_verdict_as_status() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        assert (await house.post("/chat/s/cancel_send_task")).body["status"] == "not_running"
        task = await house.sent("s")
        stopped = await house.post("/chat/s/cancel_send_task")
        again = await house.post("/chat/s/cancel_send_task")

        assert (stopped.status, again.status) == (200, 200)
        assert stopped.body.items() >= {"status": "cancelled", "log_id": "s"}.items()
        assert stopped.body["turn"]["task_id"] == task
        assert again.body.items() >= {"status": "not_running", "turn": None}.items()


async def test_a_session_cancel_reports_an_unresponsive_turn() -> None:
    async with serving(ScriptedAgent(swallows=FOREVER), cancel_grace=0.05) as house:
        await house.sent("s")
        answer = await house.post("/chat/s/cancel_send_task")

        assert (answer.status, answer.body["status"]) == (200, "unresponsive")


@pytest.mark.parametrize("path", ["/chat/s/t/cancel", "/chat/s/cancel_send_task"])
async def test_if_match_holds_a_cancel_to_the_turn_its_sender_has_seen(path: str) -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s", task_id="t")

        stale = await house.post(path, headers={"If-Match": '"another"'})
        malformed = await house.post(path, headers={"If-Match": "t"})
        assert (stale.status, stale.code) == (412, "PRECONDITION_FAILED")
        assert (malformed.status, malformed.body["field"]) == (422, "If-Match")
        assert (await house.get("/chat/s")).body["state"] == "running"
        assert (await house.post(path, headers={"If-Match": '"t"'})).body["verdict"] == "cancelled"


# -- Sessions and lists -----------------------------------------------------------------------------


async def test_active_tasks_have_the_fields_existing_clients_read() -> None:
    async with serving(ScriptedAgent()) as house:
        idle = await house.get("/chat/s/active_tasks")
        task = await house.sent("s")
        busy = (await house.get("/chat/s/active_tasks")).body

        assert (idle.status, idle.body) == (200, {"status": "ok", "active_tasks": {}})
        active = busy["active_tasks"]
        assert (
            active.items()
            >= {
                "session_id": "s",
                "task_active": True,
                "task_cancelled": False,
                "router_tasks": [task],
            }.items()
        )
        assert 1_600_000_000 < active["created_at"] < 10_000_000_000, "Unix seconds"


async def test_all_active_tasks_are_listed_by_session_and_gone_when_they_have_ended() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        for log_id in ("a", "b"):
            await house.sent(log_id)
        listed = (await house.get("/chat/active_send_tasks")).body

        assert listed["status"] == "ok"
        assert set(listed["active_tasks"]) == {"a", "b"}
        assert listed["active_tasks"]["a"]["active"] is True
        assert isinstance(listed["active_tasks"]["a"]["created_at"], float)
        await house.post("/chat/a/cancel_send_task")
        assert set((await house.get("/chat/active_send_tasks")).body["active_tasks"]) == {"b"}


@pytest.mark.parametrize("count", [0, 3, 8, 9])
async def test_a_long_list_is_encoded_in_passes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """G9."""
    monkeypatch.setattr("turnkeeper.web.http.handlers.LISTED", 3)
    encoded: list[int] = []
    encode_listed = codec.encode_listed

    def counted(active: list[Any]) -> bytes:
        encoded.append(len(active))
        return encode_listed(active)

    monkeypatch.setattr(codec, "encode_listed", counted)
    async with serving(ScriptedAgent()) as house:
        for n in range(count):
            await house.sent(f"s{n}")
        listed = (await house.get("/chat/active_send_tasks")).body
    assert set(listed["active_tasks"]) == {f"s{n}" for n in range(count)}
    assert max(encoded, default=0) <= 3
    assert sum(encoded) == count


async def test_cleanup_names_the_sessions_it_has_put_to_rest_and_they_are_known_all_the_same() -> None:
    agent = ScriptedAgent()
    async with serving({"default": done, "slow": agent}) as house:
        task = await house.sent("idle")
        await ended(house, "idle", task)
        await settle()
        await house.sent("busy", agent="slow")
        answer = await house.post("/chat/cleanup_completed_tasks")

        assert answer.body == {"status": "ok", "cleaned_up": ["idle"]}
        assert (await house.get(f"/chat/idle/turns/{task}")).body["status"] == "completed"
        assert (await house.send("idle")).status == 202


async def test_a_session_shows_its_state_its_turn_and_its_recent_turns() -> None:
    agent = ScriptedAgent()
    async with serving({"default": done, "slow": agent}) as house:
        tasks = [await house.sent("s") for _ in range(2)]
        await ended(house, "s", tasks[-1])
        running_task = await house.sent("s", agent="slow")
        session = (await house.get("/chat/s")).body

        assert (session["log_id"], session["state"], session["user"]) == ("s", "running", "local")
        assert session["turn"]["task_id"] == running_task
        assert [turn["task_id"] for turn in session["recent_turns"]] == tasks[::-1]
        assert session["queue"] == []


async def test_a_sleeping_session_shows_its_conversation_and_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agents, "WORD_PAUSE", 0)
    async with serving(agents.echo) as house:
        await ended(house, "s", await house.sent("s"))
        last = (await house.get("/chat/s/messages")).body["cursor"]
        await settle()
        assert (await house.post("/chat/cleanup_completed_tasks")).body["cleaned_up"] == ["s"]

        answer = await house.get("/chat/s/messages")

        said = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hello"}]
        expected = {"status": "ok", "log_id": "s", "messages": said, "omitted": 0, "cursor": last}
        assert (answer.status, answer.body) == (200, expected)
        await house.sent("s", "again")
        async with house.stream("s", query=f"?last_event_id={last}") as stream:
            assert (await stream.next()).json["message"] == "again"


async def test_messages_that_json_cannot_say_are_null_and_no_failure() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages += ["text", object(), float("nan")]

    async with serving(agent) as house:
        await ended(house, "s", await house.sent("s"))

        answer = await house.get("/chat/s/messages")

        assert (answer.status, answer.body["messages"]) == (200, ["text", None, None])


async def test_a_turn_has_a_timeline() -> None:
    async with serving(ScriptedAgent()) as house:
        task = await house.sent("s")
        await house.post(f"/chat/s/{task}/cancel")
        turn = (await house.get(f"/chat/s/turns/{task}")).body

        steps = ["submitted", "started", "cancel_requested", "settled", "ended"]
        assert [step["step"] for step in turn["timeline"]] == steps
        moments = [step["at"] for step in turn["timeline"]]
        assert moments == sorted(moments)
        assert turn["timeline"][-1]["status"] == "cancelled"


async def test_closing_a_session_cancels_first() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        task = await house.sent("s")
        closed = await house.delete("/chat/s")
        again = await house.delete("/chat/s")

        assert agent.last.ended.is_set()
        assert (closed.status, closed.body["state"]) == (200, "closed")
        assert (again.status, again.body["state"]) == (200, "closed")
        turn = (await house.get(f"/chat/s/turns/{task}")).body
        assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "session_closed")


async def test_a_close_says_that_it_holds_itself_to_no_turn() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s")

        refused = await house.delete("/chat/s", headers={"If-Match": '"another"'})
        assert (refused.status, refused.body["field"]) == (422, "If-Match")
        assert (await house.get("/chat/s")).body["state"] == "running"


async def test_closing_ends_the_streams_with_the_truth() -> None:
    async with serving({"default": ScriptedAgent(), "done": done}) as house:
        async with house.stream("idle") as stream:
            await house.sent("idle", agent="done")
            await stream.until("turn.completed")
            await house.delete("/chat/idle")
            assert (await stream.rest())[-1].data == "Session closed"
        await house.sent("s")
        async with house.stream("s") as stream:
            await stream.until("turn.started")
            await house.delete("/chat/s")
            *_, terminal, close = await stream.rest()

        assert terminal.event == "turn.cancelled"
        assert (close.event, close.data) == ("close", "Task cancelled")


@pytest.mark.parametrize("prefix", ["", "/ai"])
async def test_a_new_id_cannot_be_guessed_and_opens_nothing(prefix: str) -> None:
    async with serving(done, prefix=prefix) as house:
        answers = [await house.post("/chat") for _ in range(50)]
        for answer in answers:
            assert answer.status == 200
            assert re.fullmatch(r"[A-Za-z0-9_-]{22}", answer.body["log_id"]), "16 random bytes"
        ids = {answer.body["log_id"] for answer in answers}
        assert len(ids) == 50
        assert (await house.registry.counts()).sessions == 0
        assert (await house.send(ids.pop())).status == 202


# -- Whose a session is -------------------------------------------------------------------------------


async def test_the_host_says_who_may_open_an_id_and_nothing_else_waits_for_its_answer() -> None:
    """G9, G12."""
    asked = list[str]()
    answers = asyncio.Event()

    async def owner_of(log_id: str) -> str | None:
        asked.append(log_id)
        await answers.wait()
        return "ada" if log_id == "s" else None

    async with serving(done, authenticate=by_token, owner_of=owner_of) as house:
        foreign = asyncio.create_task(house.send("s", token="bob-token"))
        await until(lambda: asked)
        assert (await house.get("/chat/t", token="bob-token")).code == "UNKNOWN_SESSION"
        answers.set()
        answer = await foreign
        assert (answer.status, answer.code) == (409, "SESSION_ID_TAKEN")
        for user, log_id in (("ada", "s"), ("bob", "t"), ("ada", "s")):
            await house.sent(log_id, token=f"{user}-token")
            assert (await house.get(f"/chat/{log_id}", token="root-token")).body["user"] == user
        assert asked == ["s", "s", "t"], "an id that is known is not asked about"


async def test_where_the_host_cannot_say_whose_an_id_is_the_send_may_be_tried_again() -> None:
    async def owner_of(log_id: str) -> str | None:
        raise ConnectionError(f"no answer about {log_id}: db-7.internal")

    async with serving(done, authenticate=by_token, owner_of=owner_of) as house:
        answer = await house.send("s", token="ada-token")
        assert (answer.status, answer.code) == (503, "OWNER_NOT_KNOWN")
        assert answer.headers["Retry-After"]
        assert "db-7" not in answer.text


async def epoch(house: House, task_id: str) -> int:
    """The epoch of a turn of ``s``, once it has ended."""
    await ended(house, "s", task_id)
    return (await house.registry.turn("s", task_id)).epoch or 0


async def test_only_an_admin_frees_an_id_whose_events_go_on_from_there() -> None:
    """G7, G12."""
    async with serving(done, authenticate=by_token) as house:
        task = await house.sent("s", token="ada-token")
        before = await epoch(house, task)
        async with house.stream("s", token="ada-token") as stream:
            await stream.until("snapshot")
            for token, status in (("ada-token", 403), ("bob-token", 403), ("root-token", 200)):
                answer = await house.delete("/chat/s?free=true", token=token)
                assert answer.status == status, answer.text
            assert [(each.event, each.data) for each in await stream.rest()] == [("close", "Session closed")]
        assert (await house.get("/chat/s", token="ada-token")).code == "UNKNOWN_SESSION"
        task = await house.sent("s", token="bob-token")
        assert await epoch(house, task) > before
        assert (await house.get("/chat/s", token="root-token")).body["user"] == "bob"
        assert (await house.get("/chat/s/messages", token="ada-token")).code == "UNKNOWN_SESSION"


# -- How much there may be ----------------------------------------------------------------------------


async def talkative(turn: Turn) -> None:
    turn.emit("delta", "x" * 1_000)


async def more_of(house: House, error: type[SessionError], number: int, user: str) -> Answer:
    """Ask for one more of what that refusal is about."""
    token = f"{user}-token"
    if error is TooManyStreams:
        return await house.get("/chat/s0/events", token=token)
    if error is TooMuchKept:
        return await house.send(f"of-{user}", agent="talkative", token=token)
    return await house.send(f"s{number}", token=token)


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (TooManySessions, "max_sessions"),
        (TooManyTurns, "max_in_flight"),
        (TooManyStreams, "max_streams"),
        (TooMuchKept, "max_kept"),
    ],
)
@pytest.mark.parametrize("in_all", [False, True])
async def test_at_each_bound_a_user_is_refused_and_at_one_in_all_another_user_too(
    error: type[SessionError], setting: str, in_all: bool
) -> None:
    """G8, G14."""
    bound = {f"{setting}_in_all" if in_all else setting: 1}
    agents = {"default": ScriptedAgent(), "talkative": talkative}
    async with (
        serving(agents, authenticate=by_token, **bound) as house,
        house.stream("s0", token="ada-token"),
    ):
        if error is not TooManyStreams:
            assert (await more_of(house, error, 0, "ada")).status == 202
        refused = await more_of(house, error, 1, "ada")
        assert (refused.status, refused.code) == (429, error.code)
        assert int(refused.headers["Retry-After"]) > 0
        assert await house.counted(COUNTERS[error].name) == 1
        other = await more_of(house, error, 2, "bob")
        assert other.status == (429 if in_all else 200 if error is TooManyStreams else 202)


#: What a user may have in the next test: at all of it at once, the turns in flight have kept the bytes.
SMALL = {"max_sessions": 6, "max_in_flight": 3, "max_streams": 4, "max_kept": 30_000}


async def all_that_a_user_gets(house: House, user: str, streams: AsyncExitStack) -> dict[str, int]:
    """Take sessions, turns, streams and bytes to the bound of each; how many there were."""
    token, got = f"{user}-token", Counter[str]()
    while (answer := await house.send(f"{user}-{got['sessions']}", agent="done", token=token)).status == 202:
        await ended(house, f"{user}-{got['sessions']}", answer.body["task_id"])
        got["sessions"] += 1
    assert answer.code == "TOO_MANY_SESSIONS"
    while (answer := await house.send(f"{user}-{got['turns']}", token=token)).status == 202:
        got["turns"] += 1
    assert answer.code == "TOO_MANY_TURNS"
    address, headers = house.url(f"/chat/{user}-0/events"), {"Authorization": f"Bearer {token}"}
    while (
        response := await streams.enter_async_context(house.client.get(address, headers=headers))
    ).status == 200:
        await Stream(response).until("delta")
        got["streams"] += 1
    assert (await response.json())["code"] == "TOO_MANY_STREAMS"
    answer = await house.send(f"{user}-0", "superseding", token=token)
    assert answer.code == "TOO_MUCH_KEPT"
    return got


async def test_a_user_at_every_bound_takes_nothing_of_what_another_user_gets() -> None:
    """G14."""
    for beside in (False, True):
        over = asyncio.Event()

        async def holding(turn: Turn, over: asyncio.Event = over) -> None:
            turn.emit("delta", "x" * 10_000)
            await over.wait()

        agents = {"default": holding, "done": done}
        async with serving(agents, authenticate=by_token, **SMALL) as house, AsyncExitStack() as streams:
            refused = list[asyncio.Task[Answer]]()
            if beside:
                await all_that_a_user_gets(house, "bob", streams)
                for number in range(100):
                    send = house.send(f"more-{number}", token="bob-token")
                    refused.append(asyncio.create_task(send))
            got = await all_that_a_user_gets(house, "ada", streams)
            assert got == {"sessions": 6, "turns": 3, "streams": 4}
            assert [answer.status for answer in await asyncio.gather(*refused)] == [429] * len(refused)
            over.set()


# -- What agents do -----------------------------------------------------------------------------------

KNOWN_EVENTS: dict[str, Any] = {
    "partial_command": {"command": "say", "params": {"text": "he"}, "chunk": 1},
    "running_command": {"command": "say", "args": ["hello", None, 1.5, True]},
    "command_result": {"result": "<b>ok</b>\nline two\r\n\u2028end"},
    "finished_chat": {},
    "system_error": "out of memory",
    "backend_user_message": [{"type": "text", "text": "grüße 😀"}],
    "image": {"data": "data:image/png;base64," + "A" * 10_000},
}


async def test_events_that_existing_clients_know_pass_untouched() -> None:
    async def agent(turn: Turn) -> None:
        for name, data in KNOWN_EVENTS.items():
            turn.emit(name, data)

    async with serving(agent) as house:
        async with house.stream("s") as stream:
            await house.sent("s")
            await stream.until("turn.completed")

        emitted = {message.event: message for message in stream.seen if message.event in KNOWN_EVENTS}
        assert {name: message.json for name, message in emitted.items()} == KNOWN_EVENTS
        assert list(emitted) == list(KNOWN_EVENTS)


@pytest.mark.parametrize("result", [object(), {1, 2}, float("nan"), b"bytes", {"a": object()}], ids=plain)
async def test_a_result_that_json_cannot_say_is_no_failure(result: object) -> None:
    async def agent(turn: Turn) -> object:
        return result

    async with serving(agent) as house:
        task = await house.sent("s")
        turn = await ended(house, "s", task)

        assert turn["status"] == "completed"
        assert turn.get("result") is None


def at_once(turn: Turn) -> Awaitable[None]:
    raise RuntimeError("password=hunter2 in /srv/secret.py")


async def later(turn: Turn) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("password=hunter2 in /srv/secret.py")


async def not_json(turn: Turn) -> None:
    turn.emit("delta", {"password=hunter2": object()})


async def not_an_agent(turn: Turn) -> AsyncIterator[dict[str, str]]:
    yield {"password": "hunter2"}


@pytest.mark.parametrize("agent", [at_once, later, not_json, not_an_agent])
async def test_an_agent_that_raises_fails_its_turn_and_its_error_is_kept_from_clients(
    agent: Callable[[Turn], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(agent) as house:
        async with house.stream("s") as stream:
            answer = await house.send("s")
            failed = await stream.until("turn.failed")
        answers = [
            answer,
            await house.get("/chat/s"),
            await house.get(f"/chat/s/turns/{answer.body['task_id']}"),
        ]

        assert answer.status == 202
        assert failed.json["status"] == "failed"
        assert failed.json["error"]["code"]
        for text in [*(message.data for message in stream.seen), *(each.text for each in answers)]:
            assert "hunter2" not in text
            assert "Traceback" not in text
            assert "secret.py" not in text
        assert any("failed" in record.getMessage() for record in caplog.records), "it is in the log"
        assert (await house.send("s")).status == 202, "the session goes on"


@pytest.mark.blocks_the_loop("an agent does, which is what this is about")
async def test_an_agent_that_blocks_the_loop_holds_up_others_only_for_that_long() -> None:
    async def agent(turn: Turn) -> None:
        time.sleep(1.0)

    slow = ScriptedAgent()
    async with serving({"blocks": agent, "default": slow}, heartbeat=0.5, cancel_grace=0.9) as house:
        other = await house.sent("other")
        async with house.stream("other") as stream:
            await stream.until("turn.started")
            blocked, stopped = await asyncio.gather(
                house.send("s", agent="blocks"), house.post(f"/chat/other/{other}/cancel")
            )
            assert blocked.status == 202
            assert stopped.body["verdict"] == "cancelled"
            assert (await stream.rest())[-1].data == "Task cancelled"
        assert (await ended(house, "s", blocked.body["task_id"]))["status"] == "completed"
        assert (await house.get("/healthz")).status == 200


# -- Streams' handlers --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(12))
async def test_a_stream_whose_handler_is_cancelled_while_it_opens_leaves_no_reader_behind(k: int) -> None:
    async with serving(ScriptedAgent(), runner={"handler_cancellation": True}) as house:
        await house.sent("s")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(f"GET /chat/s/events HTTP/1.1\r\nHost: {house.host}\r\n\r\n".encode())
        await settle(k)
        writer.transport.abort()
        del reader
        # The turn goes on, and its next event finds no reader.
        await settle()
        assert (await house.get("/chat/s")).body["subscribers"] == 0
        assert (await house.get("/chat/s")).body["state"] == "running"


# -- Tickets, health ----------------------------------------------------------------------------------


async def test_a_ticket_opens_its_sessions_streams_and_says_how_long_it_lives() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        issued = await house.post("/chat/ticket", json={"log_ids": ["t", "s", "s"]}, token="ada-token")

        assert issued.status == 200
        assert issued.body["log_ids"] == ["s", "t"]
        assert issued.body["expires_in"] == 60.0
        await house.sent("s", token="ada-token")
        for log_id, state in (("s", "running"), ("t", "idle"), ("s", "running")):
            async with house.stream(log_id, f"?ticket={issued.body['ticket']}") as stream:
                assert (await stream.until("snapshot")).json["state"] == state


async def test_a_token_in_the_header_stands_above_a_ticket_in_the_url() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        await house.sent("s", token="ada-token")
        async with house.stream("s", "?ticket=old", token="ada-token") as stream:
            await stream.until("snapshot")


@pytest.mark.parametrize(
    "log_ids", [["a b"], ["events"], [1], [None], [["s"]], ["s", ""], ["x"] * 50 + [{}]], ids=plain
)
async def test_a_ticket_for_ids_outside_the_rule_is_refused(log_ids: list[Any]) -> None:
    async with serving(done) as house:
        answer = await house.post("/chat/ticket", json={"log_ids": log_ids})

        assert (answer.status, answer.code) == (422, "INVALID_REQUEST")


async def test_health_names_the_run_of_the_process() -> None:
    async with serving(done) as one, serving(done) as other:
        first, second = await one.get("/healthz"), await other.get("/healthz")

        assert first.body["status"] == "ok"
        assert first.body["incarnation"] == one.registry.incarnation != second.body["incarnation"]
        assert re.fullmatch(r"\d+\.\d+.*", first.body["version"])
        assert (await one.get("/readyz")).status == 200


@pytest.mark.blocks_the_loop("its lag is shown")
async def test_health_says_how_late_the_loop_was() -> None:
    """G14."""
    noticed = threading.Event()

    async def blocks(turn: Turn) -> None:
        counted = house.registry.loop_lag
        while not house.registry.loop_lag.count > counted.count:
            noticed.wait(0.001)

    async with serving(done) as house:
        assert (await house.get("/healthz")).body["loop_lag"] == {"now": 0, "max": 0, "count": 0}
    async with serving(blocks, slow_loop=0.05) as house:
        await house.sent("s")
        while (lag := (await house.get("/healthz")).body["loop_lag"])["max"] < 0.05:
            pass
        assert lag["count"] >= 1


async def test_a_server_whose_journal_is_down_is_not_ready_and_says_why() -> None:
    journal = SlowJournal()
    async with serving(done, journal=journal) as house:
        assert (await house.get("/readyz")).status == 200
        journal.is_down = True
        answer = await house.get("/readyz")
        assert (answer.status, answer.code) == (503, "JOURNAL_DOWN")
        assert answer.body["detail"] == "the disk is full"
        assert answer.headers["Retry-After"] == "1"
        assert (await house.send("s")).code == "JOURNAL_DOWN"
        assert (await house.get("/healthz")).status == 200
        journal.is_down = False
        assert (await house.get("/readyz")).status == 200
        assert (await house.send("s")).status == 202


async def test_a_draining_server_takes_nothing_more_and_says_when_to_come_back() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        task = await house.sent("s")
        await house.registry.drain()

        for answer in (await house.send("s"), await house.send("new"), await house.get("/readyz"),
                       await house.get("/chat/s/events")):  # fmt: skip
            assert (answer.status, answer.code) == (503, "SHUTTING_DOWN")
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await house.get("/healthz")).status == 200
        turn = (await house.get(f"/chat/s/turns/{task}")).body
        assert (turn["status"], turn["reason"]["code"]) == ("cancelled", "shutdown")


async def test_an_unforeseen_error_is_written_to_the_log_and_to_no_client(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(done) as house:
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "turnkeeper"):
            patch.setattr(house.registry, "ask", _broken)
            answer = await house.get("/chat/s")

        assert (answer.status, answer.code) == (500, "INTERNAL")
        assert "hunter2" not in answer.text
        assert "hunter2" in caplog.text


async def _broken(_query: Any) -> Any:
    raise LookupError("password=hunter2")
