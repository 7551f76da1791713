"""One turn followed over HTTP, from its first event to its last (G7, G8, G12)."""

import asyncio
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, done, plain
from tests.web.fakes_web import Stream, by_token, serving, until

MANY = 1_200


def numbers(stream: Stream) -> list[str]:
    return [each.partition("-")[2] for each in stream.ids]


async def test_a_turn_is_followed_from_its_first_event_to_its_close_whenever_its_follower_comes() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s", task_id="t1")
        run = await agent.run()
        run.turn.emit("word", 1)
        async with house.stream("s/turns/t1") as stream:
            await stream.until("word")
            run.turn.emit("word", 2)
            await stream.until("word")
            run.finish("here")
            await stream.rest()
        async with house.stream("s/turns/t1") as late:
            await late.rest()
        for each in (stream, late):
            assert each.names == ["turn.started", "word", "word", "turn.completed", "close"]
            assert numbers(each) == ["0", "1", "2", "3"]
            assert each.seen[-1].data == "Task finished"
        assert late.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert late.response.headers["Cache-Control"] == "no-cache, no-transform"


async def test_a_client_that_reads_more_slowly_than_the_agent_speaks_gets_every_event() -> None:
    """221 of 1,200 events came, and then the end."""
    agent = ScriptedAgent()
    async with serving(agent, subscriber_buffer=16) as house:
        await house.sent("s", task_id="t1")
        run = await agent.run()
        async with house.stream("s/turns/t1") as stream:
            await stream.until("turn.started")
            for n in range(MANY):
                run.turn.emit("delta", {"text": "x" * 100, "n": n})
                if n % 50 == 0:
                    await asyncio.sleep(0)
            run.finish()
            await stream.rest()
        assert numbers(stream) == [str(n) for n in range(MANY + 2)]
        assert stream.names[-2:] == ["turn.completed", "close"]


@pytest.mark.parametrize("way", ["header", "query"])
async def test_an_eventsource_goes_on_after_its_last_event_and_stops_when_nothing_is_left(way: str) -> None:
    """WHATWG HTML 9.2.3: after 204 an EventSource does not connect again."""

    def at(cursor: str) -> Any:
        return (
            {"headers": {"Last-Event-ID": cursor}}
            if way == "header"
            else {"query": f"?last_event_id={cursor}"}
        )

    async with serving(chatty) as house:
        receipt = await house.registry.send("s", "2", turn_id="t1")
        await receipt.ended()
        await (await house.registry.send("s", "2", turn_id="t2")).ended()
        async with house.stream("s/turns/t1", **at(f"{receipt.epoch}-1")) as stream:
            await stream.rest()
        assert numbers(stream) == ["2", "3"]
        options = at(stream.ids[-1])
        path = "/chat/s/turns/t1/events" + options.pop("query", "")
        answer = await house.get(path, **options)
        assert (answer.status, answer.text, answer.headers["Cache-Control"]) == (204, "", "no-store")
        assert (await house.registry.counts()).subscribers == 0


async def test_a_turn_whose_events_are_gone_is_refused_before_anything_is_streamed() -> None:
    """The stream of a trimmed turn began with event 1056, without a word."""
    async with serving(chatty, log_events=10) as house:
        receipt = await house.registry.send("s", str(MANY), turn_id="t1")
        await receipt.ended()
        for query in (
            "",
            "?last_event_id=0",
            f"?last_event_id={receipt.epoch}-5",
            f"?last_event_id={receipt.epoch}-9999",
        ):
            answer = await house.get(f"/chat/s/turns/t1/events{query}")
            assert (answer.status, answer.code) == (410, "EVENTS_LOST"), query
        async with house.stream("s/turns/t1", f"?last_event_id={receipt.epoch}-{MANY - 2}") as stream:
            await stream.rest()
        assert len(stream.ids) == 3


async def test_a_turn_that_waits_is_followed_from_its_start_and_one_that_never_starts_to_its_end() -> None:
    agent = ScriptedAgent(swallows=1)
    async with serving(agent) as house:
        await house.sent("s", task_id="t1")
        first = await agent.run()
        await house.send("s", task_id="t2", query="?wait=false")
        async with house.stream("s/turns/t2") as dropped:
            await house.send("s", task_id="t3", query="?wait=false")
            await dropped.rest()
            async with house.stream("s/turns/t3") as waiting:
                first.finish()
                (await agent.run()).finish()
                await waiting.rest()
        assert dropped.names == ["turn.cancelled", "close"]
        assert (dropped.ids, dropped.seen[0].json["task_id"]) == ([], "t2")
        assert waiting.names == ["turn.started", "turn.completed", "close"]


@pytest.mark.parametrize("cursor", ["x", "1-", "-1-1", "1-2-3", "%00", "1" * 60, "%C3%A9-1"], ids=plain)
async def test_a_cursor_that_is_no_id_is_refused_as_such(cursor: str) -> None:
    async with serving(done) as house:
        await house.sent("s", task_id="t1")
        answer = await house.get(f"/chat/s/turns/t1/events?last_event_id={cursor}")
        assert (answer.status, answer.code) == (422, "INVALID_REQUEST")
        assert answer.body["field"] == "last_event_id"
        assert answer.body["detail"].startswith("last_event_id must be")


async def test_turns_that_are_not_known_and_those_of_others_are_refused_alike() -> None:
    async with serving(done, authenticate=by_token) as house:
        await house.sent("s", task_id="t1", token="ada-token")
        for log_id, task_id, token, code in (
            ("s", "t9", "ada-token", "UNKNOWN_TURN"),
            ("s9", "t1", "ada-token", "UNKNOWN_SESSION"),
            ("s", "t1", "bob-token", "UNKNOWN_SESSION"),
            ("s", "t1", "", "UNAUTHORIZED"),
        ):
            answer = await house.get(f"/chat/{log_id}/turns/{task_id}/events", token=token)
            assert answer.code == code
        assert (await house.get("/chat/s/turns/events/events", token="ada-token")).code == "INVALID_REQUEST"


async def test_a_ticket_for_the_session_is_one_for_its_turns() -> None:
    async with serving(done, authenticate=by_token) as house:
        await house.sent("s", task_id="t1", token="ada-token")
        issued = await house.post("/chat/ticket", json={"log_ids": ["s"]}, token="ada-token")
        async with house.stream("s/turns/t1", f"?ticket={issued.body['ticket']}", token="") as stream:
            await stream.rest()
        assert stream.names == ["turn.started", "turn.completed", "close"]


async def test_a_quiet_turn_gets_comments_and_may_be_left_to_itself() -> None:
    agent = ScriptedAgent()
    async with serving(agent, heartbeat=0.05) as house:
        await house.sent("s", task_id="t1")
        run = await agent.run()
        async with house.stream("s/turns/t1") as stream:
            await stream.comment()
            await stream.comment()
        await until(lambda: _unread(house))
        assert not run.turn.cancel_requested


async def _unread(house: Any) -> bool:
    return (await house.registry.counts()).subscribers == 0


async def test_what_is_kept_of_a_turn_in_flight_comes_and_then_the_end_of_the_stream() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s", task_id="t1")
        (await agent.run()).turn.emit("word", 1)
        async with house.stream("s/turns/t1", "?follow=false") as stream:
            await stream.rest()
        assert stream.names == ["turn.started", "word"]


async def test_at_shutdown_the_stream_of_a_turn_ends_with_its_end() -> None:
    """G10."""
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s", task_id="t1")
        await agent.run()
        async with house.stream("s/turns/t1") as stream:
            await stream.until("turn.started")
            draining = asyncio.create_task(house.registry.drain())
            await stream.rest()
            await draining
        assert stream.names == ["turn.started", "turn.cancelled", "close"]
        assert stream.seen[1].json["reason"]["code"] == "shutdown"
