"""Many turns stopped with one request, over HTTP (G3, G4, G8, G12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, settle
from tests.web.fakes_web import Answer, House, by_token, serving
from turnkeeper.web.http.body import MAX_FILTERED

PATH = "/chat/cancel_send_tasks"
ADA, BOB, ROOT = "ada-token", "bob-token", "root-token"


@asynccontextmanager
async def busy(
    agents: Any = None, sessions: tuple[tuple[str, str], ...] = (("a", ADA), ("b", BOB)), **settings: Any
) -> AsyncIterator[House]:
    """A server with a turn in each of these sessions of these users."""
    async with serving(agents or ScriptedAgent(), authenticate=by_token, token=ADA, **settings) as house:
        for session, token in sessions:
            await house.sent(session, token=token, task_id=f"t-{session}")
        yield house


async def stop(house: House, query: str = "", *, token: str = ROOT, **filters: Any) -> Answer:
    return await house.post(f"{PATH}{query}", json=filters, token=token)


def verdicts(answer: Answer) -> dict[str, str | None]:
    assert answer.status in (200, 202), answer.text
    return {each["task_id"]: each["verdict"] for each in answer.body["results"]}


async def test_an_admin_stops_all_turns_and_each_has_its_verdict() -> None:
    """G3."""
    async with busy() as house:
        answer = await stop(house, all=True)
        assert answer.status == 200
        body = answer.body
        assert body.keys() == {
            "status", "matched", "cancelled", "truncated", "dry_run", "as_of", "results",
        }  # fmt: skip
        assert (body["status"], body["matched"], body["cancelled"], body["truncated"]) == ("ok", 2, 2, 0)
        first, second = body["results"]
        assert first.pop("settled_after_ms") >= 0
        assert first == {
            "log_id": "a",
            "task_id": "t-a",
            "user": "ada",
            "agent": "default",
            "task_status": "running",
            "verdict": "cancelled",
            "cleared": [],
        }
        assert (second["log_id"], second["user"], second["verdict"]) == ("b", "bob", "cancelled")
        turn = (await house.get("/chat/a/turns/t-a")).body
        assert (turn["status"], turn["reason"]["code"], turn["by"]) == ("cancelled", "admin", "root")


async def test_a_user_stops_their_own_turns_only() -> None:
    """G12."""
    async with busy() as house:
        assert verdicts(await stop(house, token=ADA, user="bob")) == {}
        assert verdicts(await stop(house, token=ADA, log_ids=["b", "unknown"])) == {}
        assert verdicts(await stop(house, token=ADA, all=True)) == {"t-a": "cancelled"}
        assert verdicts(await stop(house, user="bob")) == {"t-b": "cancelled"}


async def test_filters_are_combined_and_a_dry_run_only_says_which() -> None:
    agents = {"default": ScriptedAgent(), "coder": ScriptedAgent()}
    async with busy(agents) as house:
        await house.sent("c", task_id="t-c", agent="coder", multitask_strategy="reject")

        async def found(**filters: Any) -> set[str]:
            answer = await stop(house, dry_run=True, **filters)
            assert answer.status == 200
            assert answer.body["dry_run"]
            assert set(verdicts(answer).values()) <= {None}
            return set(verdicts(answer))

        assert await found(all=True) == {"t-a", "t-b", "t-c"}
        assert await found(user="ada") == {"t-a", "t-c"}
        assert await found(user="ada", agent="coder") == {"t-c"}
        assert await found(user="bob", agent="coder") == set()
        assert await found(strategy="interrupt", log_ids=["a", "c"]) == {"t-a"}
        assert await found(turns=[{"log_id": "a", "task_id": "t-a"}, {"log_id": "c", "task_id": "x"}]) == {
            "t-a"
        }
        assert await found(state="running") == {"t-a", "t-b", "t-c"}
        assert await found(state="queued") == set()
        assert await found(older_than=3600) == set()
        assert await found(older_than=0, user=None) == {"t-a", "t-b", "t-c"}
        assert (await house.registry.counts()).turns_in_flight == 3


@pytest.mark.parametrize(
    ("filters", "code", "field"),
    [
        ({}, "INVALID_REQUEST", "all"),
        ({"all": False}, "INVALID_REQUEST", "all"),
        ({"all": 1}, "INVALID_REQUEST", "all"),
        ({"user": None, "log_ids": None}, "INVALID_REQUEST", "all"),
        ({"dry_run": True}, "INVALID_REQUEST", "all"),
        ({"limit": 5, "as_of": 1.0}, "INVALID_REQUEST", "all"),
        ({"log_ids": []}, "INVALID_REQUEST", "log_ids"),
        ({"log_ids": ["s"] * (MAX_FILTERED + 1)}, "INVALID_REQUEST", "log_ids"),
        ({"log_ids": ["a/b"]}, "INVALID_REQUEST", "log_id"),
        ({"turns": []}, "INVALID_REQUEST", "turns"),
        ({"turns": [{"log_id": "a"}]}, "INVALID_REQUEST", "turns"),
        ({"turns": [{"log_id": "a", "task_id": "t 1"}]}, "INVALID_REQUEST", "task_id"),
        ({"turns": ["a"]}, "INVALID_REQUEST", "turns"),
        ({"log_ids": "a"}, "INVALID_REQUEST", "log_ids"),
        ({"user": 1}, "INVALID_REQUEST", "user"),
        ({"agent": "nobody"}, "UNKNOWN_AGENT", "agent"),
        ({"state": "completed"}, "INVALID_REQUEST", "state"),
        ({"strategy": "queue"}, "INVALID_REQUEST", "strategy"),
        ({"older_than": -1}, "INVALID_REQUEST", "older_than"),
        ({"older_than": "10m"}, "INVALID_REQUEST", "older_than"),
        ({"all": True, "limit": 0}, "INVALID_REQUEST", "limit"),
        ({"all": True, "limit": 10_001}, "INVALID_REQUEST", "limit"),
        ({"all": True, "as_of": "now"}, "INVALID_REQUEST", "as_of"),
        ({"all": True, "dry_run": "no"}, "INVALID_REQUEST", "dry_run"),
        ({"all": True, "queue": "drop"}, "INVALID_REQUEST", "queue"),
        ({"all": True, "users": ["ada"]}, "INVALID_REQUEST", "users"),
    ],
)
async def test_a_request_that_does_not_say_clearly_what_to_stop_stops_nothing(
    filters: dict[str, Any], code: str, field: str | None
) -> None:
    async with busy() as house:
        answer = await stop(house, **filters)
        assert (answer.status, answer.code) == (422, code)
        assert answer.body.get("field") == field
        assert (await house.registry.counts()).turns_in_flight == 2


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"all", b"true"])
async def test_a_body_that_is_no_object_stops_nothing(body: bytes) -> None:
    async with busy() as house:
        answer = await house.post(PATH, data=body, token=ROOT)
        assert answer.status == 422
        assert answer.code == "INVALID_JSON" or answer.body["detail"] == "the body must be an object"
        assert (await house.registry.counts()).turns_in_flight == 2


async def test_turns_that_wait_and_do_not_match_go_on_or_are_cleared_as_is_said() -> None:
    agent = ScriptedAgent()
    async with busy(agent) as house:
        for number in (1, 2):
            task = f"w{number}"
            await house.sent("a", task_id=task, multitask_strategy="enqueue", query="?wait=false")
        kept = await stop(house, state="running", user="ada")
        assert verdicts(kept) == {"t-a": "cancelled"}
        assert (await house.get("/chat/a/turns/w1")).body["status"] == "running"
        cleared = await stop(house, state="running", user="ada", queue="clear")
        assert [(each["task_id"], each["cleared"]) for each in cleared.body["results"]] == [("w1", ["w2"])]
        assert (await house.get("/chat/a/turns/w2")).body["status"] == "cancelled"
        assert len(agent.runs) == 3


async def test_what_has_not_settled_in_time_is_requested() -> None:
    """G3."""
    stubborn = ScriptedAgent(swallows=FOREVER)
    async with busy(
        {"default": ScriptedAgent(), "stubborn": stubborn}, margin=-59.9, cancel_grace=60
    ) as house:
        await house.sent("c", task_id="t-c", agent="stubborn")
        answer = await stop(house, all=True)
        assert answer.status == 202
        assert verdicts(answer) == {"t-a": "cancelled", "t-b": "cancelled", "t-c": "requested"}
        assert answer.body["cancelled"] == 2


async def test_it_can_be_asked_for_without_waiting() -> None:
    async with busy(ScriptedAgent(swallows=FOREVER)) as house:
        answer = await stop(house, "?wait=false", all=True)
        assert answer.status == 202
        assert set(verdicts(answer).values()) == {"requested"}


async def test_what_is_more_than_the_limit_is_told_and_left_alone() -> None:
    """G8."""
    async with busy() as house:
        answer = await stop(house, all=True, limit=1)
        assert (answer.body["matched"], answer.body["truncated"], len(answer.body["results"])) == (2, 1, 1)
        again = await stop(house, all=True, limit=1, as_of=answer.body["as_of"])
        assert (again.body["matched"], again.body["truncated"], again.body["cancelled"]) == (1, 0, 1)


async def test_an_asker_who_goes_away_leaves_nothing_behind() -> None:
    agent = ScriptedAgent(swallows=1)
    async with busy(agent) as house:
        for run in agent.runs:
            run.turn.emit("delta", {"text": "hello"})
        asking = asyncio.create_task(stop(house, all=True))
        for run in agent.runs:
            await run.cancelled.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        for run in agent.runs:
            run.finish()
            await run.ended.wait()
        await settle()
        actor: Any = house.registry.ref._actor
        assert not actor._bulk._going_on
        assert (await house.registry.counts()).turns_in_flight == 0


async def test_without_a_token_nothing_is_stopped() -> None:
    """G12."""
    async with busy() as house:
        answer = await house.post(PATH, json={"all": True}, token="")
        assert answer.status == 401
        assert (await house.registry.counts()).turns_in_flight == 2
