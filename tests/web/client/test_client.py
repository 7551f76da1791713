import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import ScriptedAgent
from tests.web.command.terminal import answering, relay
from tests.web.fakes_web import PATIENCE, by_token, serving
from turnkeeper.actors.model.words import CloseOn
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import Refused, Unreachable
from turnkeeper.web.client.sse_parser import StreamEvent

# -- Asking -----------------------------------------------------------------------------------------


async def test_send_list_cancel_and_look_up_a_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, Client(house.url("")) as client:
        sent = await client.send("s", "t1", "hello")
        assert (sent["task_id"], sent["task_status"]) == ("t1", "running")
        assert (await client.active())["s"]["task_id"] == "t1"
        assert (await client.cancel("s", "t1"))["verdict"] == "cancelled"
        assert (await client.cancel("s", "nope"))["verdict"] == "not_running"
        assert (await client.cancel("s"))["verdict"] == "not_running"
        assert (await client.turn("s", "t1"))["status"] == "cancelled"
        assert await client.cleanup() == ["s"]


async def test_who_waits_is_listed_behind_those_in_flight_until_there_is_a_slot() -> None:
    async with (
        serving(ScriptedAgent(), on_cap="wait", max_in_flight_in_all=1) as house,
        Client(house.url("")) as client,
    ):
        await client.send("a", "t1", "hello")
        await client.send("b", "t2", "hello")
        busy = await client.busy()
        assert [(name, each["active"], each["task_id"]) for name, each in busy.items()] == [
            ("a", True, "t1"),
            ("b", False, "t2"),
        ]
        assert [*await client.active()] == ["a"]
        assert (await client.admission())["now"]["waiting"] == 1
        changed = await client.set_admission(max_in_flight_in_all=2, users={"ada": {"max_in_flight": 1}})
        assert (changed["now"]["waiting"], changed["users"]) == (0, {"ada": {"max_in_flight": 1}})
        with pytest.raises(Refused):
            await client.set_admission(max_in_flight_in_all=0)


async def test_a_session_is_looked_up_with_its_turns() -> None:
    async with serving(ScriptedAgent()) as house, Client(house.url("")) as client:
        await client.send("s", "t1", "hello")
        found = await client.session("s")
        assert (found["state"], found["turn"]["task_id"]) == ("running", "t1")


async def test_sessions_are_listed_page_by_page_and_given_titles() -> None:
    async with serving(ScriptedAgent()) as house, Client(house.url("")) as client:
        for number in range(5):
            await client.send(f"s{number}", "t1", f"message {number}")
        named = await client.set_title("s1", "My chat")
        assert (named["log_id"], named["title"]) == ("s1", "My chat")
        for most, listed in ((None, 5), (2, 2), (3, 3), (5, 5), (6, 5)):
            found = [each["log_id"] for each in await client.sessions(most, page=2)]
            assert found == ["s4", "s3", "s2", "s1", "s0"][:listed]
        assert [each["log_id"] for each in await client.sessions(q="MY", state="running", user=None)] == [
            "s1"
        ]
        assert await client.sessions(state="closed") == []


# -- Following --------------------------------------------------------------------------------------


async def three(turn: Turn) -> None:
    """Say the first word, and the other two when the test says so."""
    for word in ("one", "two", "three"):
        turn.emit("delta", {"text": word})


async def test_events_come_once_and_in_order_over_a_lost_connection() -> None:
    agent = ScriptedAgent()
    notices: list[str] = []
    async with serving(agent) as house, relay(house.port) as between, Client(between.url) as client:
        names: list[str] = []
        ids: list[str] = []
        async with aclosing(client.events("s", notice=notices.append)) as events:
            async for event in events:
                names.append(event.name)
                ids += [event.id] if event.id else []
                match event.name:
                    case "snapshot":
                        await house.sent("s")
                    case "turn.started":
                        (await agent.run()).turn.emit("delta", {"text": "one"})
                    case "delta" if names.count("delta") == 1:
                        between.cut()
                        agent.last.turn.emit("delta", {"text": "two"})
                    case "delta":
                        await house.post("/chat/s/cancel_send_task")
                    case _:
                        pass

    assert names == ["snapshot", "turn.started", "delta", "delta", "turn.cancelled", "close"]
    assert [each.partition("-")[2] for each in ids] == ["0", "1", "2", "3"]
    assert notices[-1] == "connected again"


async def test_what_is_kept_comes_and_then_the_end_although_the_turn_goes_on() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, Client(house.url("")) as client:
        await client.send("s", "t1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "one"})
        kept = [event async for event in client.kept("s")]
        assert [event.name for event in kept] == ["turn.started", "delta"]
        assert [event.name async for event in client.kept("s", kept[0].id or "")] == ["delta"]
        assert [event.name async for event in client.kept("s", kept[1].id or "")] == []


async def test_a_connection_lost_before_all_that_is_kept_has_come_is_an_error() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with (
        answering(head + b"1d\r\nevent: one\ndata: {}\nid: 1-0\n\n\r\n") as (url, _),
        Client(url) as client,
    ):
        kept = client.kept("s")
        assert (await anext(kept)).name == "one"
        with pytest.raises(Unreachable):
            await anext(kept)


@pytest.mark.parametrize("turns_before", [0, 1, 50])
async def test_what_happened_while_the_connection_was_lost_is_not_missed_before_the_first_id(
    turns_before: int,
) -> None:
    async with serving(three) as house, relay(house.port) as between, Client(between.url) as client:
        for _ in range(turns_before):
            # So fast that their epochs run ahead of the clock.
            await (await house.registry.send("s", "before")).ended()
        async with aclosing(client.events("s", notice=lambda _: None)) as events:
            assert (await anext(events)).name == "snapshot"
            between.cut()
            task = await house.sent("s", "meanwhile")
            started = await anext(events)
            assert (started.name, started.data["task_id"]) == ("turn.started", task)
            assert [(await anext(events)).data["text"] for _ in range(3)] == ["one", "two", "three"]


class Counting(Client):
    """A client that counts the streams that it opens."""

    streams = 0

    def stream(self, *path: str, **how: Any) -> AsyncGenerator[StreamEvent, None]:
        self.streams += 1
        return super().stream(*path, **how)


@pytest.mark.parametrize("setting", CloseOn)
async def test_events_may_go_on_after_a_cancel_on_the_same_stream_whatever_the_server_is_set_to(
    setting: CloseOn,
) -> None:
    agent = ScriptedAgent()
    async with serving(agent, close_on=setting) as house, Counting(house.url("")) as client:
        names: list[str] = []
        following = client.events("s", close_on=CloseOn.NEVER, notice=pytest.fail)
        async with aclosing(following) as events:
            async for event in events:
                names.append(event.name)
                match event.name:
                    case "snapshot":
                        await house.sent("s")
                    case "turn.started":
                        await house.post("/chat/s/cancel_send_task")
                    case "close" if names.count("close") == 1:
                        await house.sent("s")
                    case "close" if names.count("close") == 2:
                        await house.delete("/chat/s")
                    case _:
                        pass

    turn = ["turn.started", "turn.cancelled", "close"]
    assert names == ["snapshot", *turn, *turn, "close"]
    assert client.streams == 1


async def test_the_events_of_one_turn_come_once_and_in_order_over_a_lost_connection() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, relay(house.port) as between, Client(between.url) as client:
        await client.send("s", "t1", "hello")
        run = await agent.run()
        events: list[StreamEvent] = []
        async with aclosing(client.turn_events("s", "t1", notice=lambda _: None)) as following:
            async for event in following:
                events.append(event)
                if event.name == "turn.started":
                    between.cut()
                    run.turn.emit("delta", {"text": "one"})
                    run.finish("done")
        assert [event.name for event in events] == ["turn.started", "delta", "turn.completed", "close"]
        last = events[2].id
        rest = [event async for event in client.turn_events("s", "t1", last, notice=pytest.fail)]
        assert [(event.name, event.text) for event in rest] == [("close", "Task finished")]
        kept = [event.name async for event in client.kept("s", "0", "t1")]
        assert kept == ["turn.started", "delta", "turn.completed", "close"]


async def test_a_turn_that_is_not_kept_from_there_on_is_refused_as_such() -> None:
    async with serving(three, log_events=2) as house, Client(house.url("")) as client:
        await house.sent("s", task_id="t1")
        await (await house.registry.send("s", "next")).ended()
        for task, code in (("t1", "EVENTS_LOST"), ("t2", "UNKNOWN_TURN")):
            with pytest.raises(Refused) as refused:
                await anext(client.turn_events("s", task, notice=pytest.fail))
            assert refused.value.code == code


@pytest.mark.parametrize("setting", CloseOn)
async def test_events_end_with_a_cancel_whatever_the_server_is_set_to(setting: CloseOn) -> None:
    async with serving(ScriptedAgent(), close_on=setting) as house, Counting(house.url("")) as client:
        async with aclosing(client.events("s", notice=pytest.fail)) as events:
            assert (await anext(events)).name == "snapshot"
            await house.sent("s")
            await house.post("/chat/s/cancel_send_task")
            assert [event.name async for event in events] == ["turn.started", "turn.cancelled", "close"]
        assert client.streams == 1


async def test_a_closed_session_with_nothing_after_the_cursor_ends_as_one_that_is_closed_now() -> None:
    async with serving(three) as house, Counting(house.url("")) as client:
        receipt = await house.registry.send("s", "hello")
        await receipt.ended()
        await house.delete("/chat/s")
        cursor = f"{receipt.epoch}-4"
        async with aclosing(client.events("s", cursor, close_on=CloseOn.NEVER, notice=pytest.fail)) as events:
            assert [(event.name, event.data) async for event in events] == [("close", "Session closed")]
        assert client.streams == 1


async def test_a_server_whose_connections_are_cut_is_reported_once_and_then_given_up() -> None:
    for patience in (0.3, 3.0, 30.0):  # the first moment of its absence may already be later than that
        notices: list[str] = []
        async with (
            serving(three) as house,
            relay(house.port) as between,
            Client(between.url, patience=patience) as client,
            aclosing(client.events("s", notice=notices.append)) as events,
        ):
            await anext(events)
            between.open = False
            between.cut()
            with pytest.raises(Unreachable):
                await anext(events)
        if notices:
            break
    assert len(notices) == 1
    assert notices[0].endswith("; trying again")


async def test_a_stream_that_is_refused_is_not_tried_again() -> None:
    async with serving(three, authenticate=by_token) as house, Client(house.url(""), "x") as client:
        with pytest.raises(Refused):
            await anext(client.events("s", notice=lambda _: None))


async def test_a_server_that_was_started_anew_is_reported() -> None:
    notices: list[str] = []
    async with (
        serving(three) as first,
        relay(first.port) as between,
        Client(between.url) as client,
        aclosing(client.events("s", notice=notices.append)) as events,
    ):
        await anext(events)
        async with serving(three) as second:
            between.target = second.port
            between.cut()
            await second.sent("s", "hello")
            async with asyncio.timeout(PATIENCE):
                assert (await anext(events)).name == "turn.started"

    assert "the server has been restarted" in notices
