"""Several sessions followed over HTTP on one stream (G7, G8, G10, G12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, done, plain
from tests.web.fakes_web import House, Stream, by_token, serving, until


@asynccontextmanager
async def several(
    house: House, query: str = "", *, last: str | None = None, token: str | None = None
) -> AsyncIterator[Stream]:
    headers = {**house._headers(None, token), **({"Last-Event-ID": last} if last is not None else {})}
    async with house.client.get(house.url(f"/chat/events{query}"), headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


def told(stream: Stream) -> list[tuple[str, str]]:
    return [(each.json["log_id"], each.event) for each in stream.seen]


def data_of(stream: Stream, session: str, event: str) -> list[Any]:
    return [
        each.json["data"] for each in stream.seen if (each.json["log_id"], each.event) == (session, event)
    ]


async def test_an_eventsource_goes_on_in_every_session_with_nothing_but_its_last_id() -> None:
    """G7."""
    agent = ScriptedAgent()
    async with serving(agent) as house:
        async with several(house, "?log_ids=a,b,c") as first:
            for _ in range(3):
                await first.until("snapshot")
            for session in ("a", "b"):
                await house.sent(session)
                (await agent.run()).turn.emit("word", f"{session}1")
                await first.until("word")
            last = first.seen[-1].last_event_id
        for run, session in zip(agent.runs, ("a", "b"), strict=True):
            run.turn.emit("word", f"{session}2")
        await house.sent("c")
        (await agent.run()).turn.emit("word", "c1")
        async with several(house, "?log_ids=a,b,c", last=last) as second:
            for _ in range(3):
                await second.until("word")
        assert [data_of(second, session, "word") for session in "abc"] == [["a2"], ["b2"], ["c1"]]
        assert ("c", "turn.started") in told(second)
        assert "turn.started" not in [event for session, event in told(second) if session != "c"]


async def test_sessions_are_added_and_dropped_while_the_stream_is_open_and_a_reconnect_knows() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        async with several(house, "?log_ids=a,b&stream=page") as stream:
            await stream.until("snapshot")
            await stream.until("snapshot")
            changed = await house.patch("/chat/events?stream=page", json={"add": ["c"], "drop": ["a"]})
            assert changed.body == {"status": "ok", "stream": "page", "log_ids": ["b", "c"]}
            assert (await stream.until("snapshot")).json["log_id"] == "c"
            for session in ("a", "b", "c"):
                await house.sent(session)
                await agent.run()
            while len([each for each in stream.seen if each.event == "turn.started"]) < 2:
                await stream.next()
            last = stream.seen[-1].last_event_id
            assert ("a", "turn.started") not in told(stream)
        for run in agent.runs:
            run.turn.emit("word", run.turn.session_id)
        async with several(house, "?log_ids=a,b&stream=page", last=last) as again:
            assert {(await again.until("word")).json["data"] for _ in range(2)} == {"b", "c"}
            assert (await house.patch("/chat/events?stream=page", json={})).body["log_ids"] == ["b", "c"]
        await until(lambda: _gone(house))
        assert (await house.patch("/chat/events?stream=page", json={"add": ["a"]})).code == "UNKNOWN_STREAM"


async def _gone(house: House) -> bool:
    return (await house.registry.counts()).subscribers == 0


async def test_a_stream_that_comes_back_under_its_name_takes_the_place_of_the_older_one() -> None:
    async with serving(done) as house, several(house, "?log_ids=a&stream=page") as older:
        await older.until("snapshot")
        async with several(house, "?log_ids=b&stream=page") as newer:
            await newer.until("snapshot")
            assert await older.rest() == []
            assert (await house.patch("/chat/events?stream=page", json={})).body["log_ids"] == ["b"]


async def test_a_stream_is_its_owners_and_of_anothers_session_nothing_is_learned() -> None:
    """G12."""
    async with serving(chatty, authenticate=by_token) as house:
        await house.sent("bobs", "2", token="bob-token")
        async with several(house, "?log_ids=bobs,unknown&stream=page", token="ada-token") as stream:
            theirs, unknown = await stream.until("snapshot"), await stream.until("snapshot")
            assert {**theirs.json["data"], "session": ""} == {**unknown.json["data"], "session": ""}
            for token, code in (("bob-token", "UNKNOWN_STREAM"), ("", "UNAUTHORIZED")):
                assert (
                    await house.patch("/chat/events?stream=page", json={"add": ["x"]}, token=token)
                ).code == code
            await house.sent("bobs", "2", token="bob-token")
            await house.sent("unknown", "1", token="ada-token")
            await stream.until("turn.completed")
            assert {session for session, event in told(stream) if event != "snapshot"} == {"unknown"}


async def test_a_ticket_opens_the_sessions_that_it_names_and_no_other() -> None:
    async with serving(done, authenticate=by_token) as house:
        issued = await house.post("/chat/ticket", json={"log_ids": ["a", "b"]}, token="ada-token")
        ticket = issued.body["ticket"]
        async with several(house, f"?log_ids=a,b&ticket={ticket}", token="") as stream:
            await stream.until("snapshot")
        for query, headers in (("log_ids=a,c", {}), ("log_ids=a", {"Last-Event-ID": "c=0"})):
            answer = await house.get(f"/chat/events?{query}&ticket={ticket}", token="", headers=headers)
            assert answer.code == "UNAUTHORIZED"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?log_ids=a,,b", "log_id"),
        ("?log_ids=events", "log_id"),
        ("?log_ids=a/b", "log_id"),
        ("?log_ids=" + ",".join(f"s{n}" for n in range(33)), "log_ids"),
        ("?log_ids=" + ",".join(f"{n}" + "x" * 190 for n in range(20)), "log_ids"),
        ("?log_ids=a&last_event_id=7-1", "last_event_id"),
        ("?log_ids=a&last_event_id=a", "last_event_id"),
        ("?log_ids=a&last_event_id=%2F%3D1-1", "log_id"),
        ("?log_ids=a&last_event_id=" + ",".join(f"s{n}%3D0" for n in range(40)), "log_ids"),
        ("?log_ids=a&stream=", "stream"),
        ("?log_ids=a&stream=a%20b", "stream"),
    ],
    ids=plain,
)
async def test_what_a_stream_cannot_follow_is_refused_before_it_begins(query: str, field: str) -> None:
    async with serving(done) as house:
        answer = await house.get(f"/chat/events{query}")
        code = "STREAM_TOO_WIDE" if field == "log_ids" else "INVALID_REQUEST"
        assert (answer.status, answer.code, answer.body["field"]) == (422, code, field)
        assert await _gone(house)


@pytest.mark.parametrize(
    "body", ["x", [], 7, {"add": "a"}, {"add": [1]}, {"add": ["a/b"]}, {"drop": None}, {"put": []}], ids=plain
)
async def test_a_change_that_is_none_is_refused(body: Any) -> None:
    async with serving(done) as house, several(house, "?log_ids=a&stream=page") as stream:
        await stream.until("snapshot")
        assert (await house.patch("/chat/events?stream=page", json=body)).status == 422
        assert (await house.patch("/chat/events?stream=page", json={})).body["log_ids"] == ["a"]


async def test_each_session_counts_as_a_stream_and_what_is_refused_changes_nothing() -> None:
    """G8."""
    async with serving(done, authenticate=by_token, max_streams=2) as house:
        ada = {"token": "ada-token"}
        assert (await house.get("/chat/events?log_ids=a,b,c", **ada)).code == "TOO_MANY_STREAMS"
        async with several(house, "?log_ids=a&stream=page", **ada) as stream:
            await stream.until("snapshot")
            refused = await house.patch("/chat/events?stream=page", json={"add": ["b", "c"]}, **ada)
            assert refused.code == "TOO_MANY_STREAMS"
            assert (await house.patch("/chat/events?stream=page", json={}, **ada)).body["log_ids"] == ["a"]


async def test_what_one_session_has_lost_is_a_gap_of_that_session() -> None:
    """G7."""
    async with serving(chatty, log_events=5) as house:
        receipts = {session: await house.registry.send(session, "9") for session in ("a", "b")}
        for receipt in receipts.values():
            await receipt.ended()
        last = f"a={receipts['a'].epoch}-1,b={receipts['b'].epoch}-9"
        async with several(house, "?log_ids=a,b", last=last) as stream:
            while len([each for each in stream.seen if each.event == "turn.completed"]) < 2:
                await stream.next()
        assert [event for session, event in told(stream) if session == "a"][:3] == ["gap", "snapshot", "word"]
        assert [event for session, event in told(stream) if session == "b"] == ["turn.completed"]


async def test_at_shutdown_every_session_is_told_and_then_the_stream_ends_also_one_that_is_empty() -> None:
    """G10."""
    agent = ScriptedAgent()
    async with (
        serving(agent) as house,
        several(house, "?log_ids=a") as stream,
        several(house, "?stream=page") as empty,
    ):
        await house.sent("a")
        await stream.until("turn.started")
        stopping = asyncio.create_task(house.runner.cleanup())
        await stream.rest()
        await empty.rest()
        await stopping
        assert told(stream)[1:] == [
            ("a", "turn.started"),
            ("a", "turn.cancelled"),
            ("a", "close"),
            (None, "close"),
        ]
        assert [each.json for each in empty.seen] == [{"log_id": None, "data": "Server shutting down"}]
