"""Journeys over real HTTP: what a person with curl, a browser's EventSource or a thread lives to see."""

import asyncio
import json
import re
from typing import Any

import pytest
import yarl

from tests.fakes import FOREVER, ScriptedAgent, chatty, settle
from tests.web.fakes_web import PATIENCE, House, Message, Stream, serving, until
from turnkeeper.actors.model.messages import Cancel, CancelAnswer
from turnkeeper.actors.model.words import Verdict
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.agents.builtin import echo

ID = re.compile(r"(\d{13,})-(\d+)")


def numbers(ids: list[str]) -> list[tuple[int, int]]:
    """The ids as epoch and n."""
    matches = [ID.fullmatch(each) for each in ids]
    assert all(matches), ids
    return [(int(match[1]), int(match[2])) for match in matches if match]


async def test_open_send_stream_list_stop_and_hear_the_truth() -> None:
    async with serving(echo) as house:
        async with house.stream("s1") as stream:
            snapshot = await stream.next()
            assert (snapshot.event, snapshot.json["state"], snapshot.own_id) == ("snapshot", "idle", None)

            task = await house.sent("s1", "one two three four five six seven eight nine ten")
            await stream.until("turn.started")
            words = [(await stream.until("delta")).json["text"] for _ in range(2)]
            assert words == ["one ", "two "]

            assert set((await house.get("/chat/active_send_tasks")).body["active_tasks"]) == {"s1"}
            assert (await house.get("/chat/s1/active_tasks")).body["active_tasks"]["router_tasks"] == [task]

            stopped = await house.post(f"/chat/s1/{task}/cancel")
            assert (stopped.status, stopped.body["verdict"]) == (200, "cancelled")

            *_, terminal, close = await stream.rest()
            assert terminal.event == "turn.cancelled"
            assert terminal.json.items() >= {"task_id": task, "status": "cancelled", "by": "local"}.items()
            assert terminal.json["reason"]["code"] == "user_request"
            assert (close.event, close.data, close.own_id) == ("close", "Task cancelled", None)

            ids = numbers(stream.ids)
            assert ids == [(ids[0][0], n) for n in range(len(ids))], "numbered without a hole"

        assert (await house.get("/chat/active_send_tasks")).body["active_tasks"] == {}
        assert (await house.get("/chat/s1/active_tasks")).body["active_tasks"] == {}
        assert (await house.get(f"/chat/s1/turns/{task}")).body["status"] == "cancelled"


async def test_the_last_bytes_of_a_stopped_stream_are_exactly_those_existing_clients_wait_for() -> None:
    async with serving(ScriptedAgent()) as house:
        await house.sent("s")
        async with house.client.get(house.url("/chat/s/events")) as response:
            await response.content.readuntil(b"event: turn.started\n")
            await house.post("/chat/s/cancel_send_task")
            rest = await response.content.read()

    frames = rest.decode().rstrip("\n").split("\n\n")
    assert "event: turn.cancelled" in frames[-3]
    assert frames[-2:] == ["retry: 20", "event: close\ndata: Task cancelled"]


@pytest.mark.parametrize(
    ("swallows", "finish", "text", "event"),
    [
        (1, True, "Task finished", "turn.completed"),
        (FOREVER, False, "Task unresponsive", "turn.unresponsive"),
    ],
)
async def test_a_stop_that_came_to_something_else_closes_with_that(
    swallows: float, finish: bool, text: str, event: str
) -> None:
    agent = ScriptedAgent(swallows=swallows)
    async with serving(agent, cancel_grace=0.1 if not finish else 5.0) as house:
        await house.sent("s")
        run = await agent.run()
        async with house.stream("s") as stream:
            await stream.until("turn.started")
            asked = asyncio.create_task(house.post("/chat/s/cancel_send_task"))
            await run.cancelled.wait()
            if finish:
                run.finish()
            await asked
            *_, terminal, close = await stream.rest()
            assert terminal.event == event
            assert (close.event, close.data) == ("close", text)


async def test_two_quick_sends_run_one_after_the_other_and_the_first_is_answered_superseded() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, house.stream("s") as stream:
        answers = await asyncio.gather(*(house.send("s", f"m{n}") for n in range(2)))
        first, second = sorted(answers, key=lambda answer: answer.body["superseded"] is not None)

        assert second.body["superseded"]["task_id"] == first.body["task_id"]
        assert second.body["superseded"]["verdict"] == "cancelled"
        ended = await stream.until("turn.cancelled")
        started = await stream.until("turn.started")
        assert ended.json["task_id"] == first.body["task_id"]
        assert ended.json["superseded_by"] == started.json["task_id"] == second.body["task_id"]
        assert ended.json["reason"]["code"] == "superseded"
        assert agent.most_at_once == 1


async def test_many_sends_at_once_leave_one_turn_and_a_truth_for_each() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, house.stream("s") as stream:
        answers = await asyncio.gather(*(house.send("s", f"m{n}") for n in range(20)))

        assert {answer.status for answer in answers} == {202}
        assert agent.most_at_once == 1
        session = (await house.get("/chat/s")).body
        assert session["state"] == "running"
        tasks = {answer.body["task_id"] for answer in answers}
        over = {turn["task_id"]: turn["status"] for turn in session["recent_turns"]}
        assert tasks == {session["turn"]["task_id"], *over}
        assert set(over.values()) == {"cancelled"}
        await house.post("/chat/s/cancel_send_task")
        await stream.rest()
        ids = numbers(stream.ids)
        assert ids == sorted(set(ids)), "no duplicate, and in order"
        terminal = [m for m in stream.seen if m.event in ("turn.cancelled", "turn.completed")]
        assert sorted(m.json["task_id"] for m in terminal) == sorted(tasks), "one ending each"


async def test_a_late_stop_that_names_a_finished_turn_gets_the_truth_and_spares_its_successor() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, house.stream("s") as stream:
        first = await house.sent("s")
        (await agent.run()).finish("done")
        await stream.until("turn.completed")
        second = await house.sent("s")

        late = await house.post(f"/chat/s/{first}/cancel")

        assert (late.status, late.body["verdict"]) == (200, "finished_first")
        assert late.body["turn"].items() >= {"task_id": first, "status": "completed"}.items()
        assert (await house.get(f"/chat/s/turns/{second}")).body["status"] == "running"
        assert not (await agent.run()).turn.cancel_requested


async def test_a_stubborn_turn_is_quarantined_its_session_goes_on_and_its_late_end_is_noted() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, cancel_grace=0.1) as house, house.stream("s") as stream:
        first = await house.sent("s")
        stubborn = await agent.run()
        answer = await house.send("s", "go on")

        assert answer.body["superseded"].items() >= {"task_id": first, "verdict": "unresponsive"}.items()
        assert (await stream.until("turn.unresponsive")).json["task_id"] == first
        assert (await stream.until("turn.started")).json["task_id"] == answer.body["task_id"]
        session = (await house.get("/chat/s")).body
        assert session["state"] == "running"
        assert [turn["task_id"] for turn in session["unresponsive_turns"]] == [first]
        again = await house.post(f"/chat/s/{first}/cancel")
        assert (again.body["verdict"], again.body["status"]) == ("unresponsive", "error")

        seen = len(stream.seen)
        stubborn.finish("late")
        await stubborn.ended.wait()
        await settle()
        turn = (await house.get(f"/chat/s/turns/{first}")).body
        assert turn["status"] == "unresponsive"
        assert turn["ended_late"]["outcome"] == "completed"
        assert turn["timeline"][-1]["step"] == "ended_late"
        assert (await house.get("/chat/s")).body["unresponsive_turns"] == []
        await house.post("/chat/s/cancel_send_task?wait=false")
        assert [message.event for message in stream.seen[seen:] if first in message.data] == []


async def test_a_service_in_another_thread_stops_a_turn() -> None:
    async with serving(ScriptedAgent()) as house, house.stream("s") as stream:
        await house.sent("s")
        await stream.until("turn.started")

        def stop() -> CancelAnswer:
            answer: CancelAnswer = house.registry.ref.ask(Cancel("s"), timeout=60)
            return answer

        answer = await asyncio.to_thread(stop)

        assert answer.verdict is Verdict.CANCELLED
        assert [message.event for message in await stream.rest()][-2:] == ["turn.cancelled", "close"]


@pytest.fixture(autouse=True)
async def _executor_closed() -> Any:
    yield
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_an_agent_that_stops_its_own_session_is_stopped() -> None:
    async def agent(turn: Turn) -> None:
        from turnkeeper.actors.registry.front import open_registry

        await open_registry().cancel(turn.session_id, wait=False)
        await asyncio.Event().wait()

    async with serving(agent) as house, house.stream("s") as stream:
        await house.sent("s")
        events = await stream.rest()
        assert [message.event for message in events][-2:] == ["turn.cancelled", "close"]


# -- Coming back --------------------------------------------------------------------------------------


async def emit(house: House, agent: ScriptedAgent, count: int) -> None:
    turn = agent.last.turn
    for _ in range(count):
        turn.emit("delta", turn.n)


async def take(stream: Stream, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        message = await stream.next()
        if message.own_id is not None:
            found.append(message)
    return found


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_reader_that_comes_back_in_the_middle_of_a_turn_sees_every_event_once(how: str) -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s")
        run = await agent.run()
        seen: list[str] = []
        last: str | None = None
        for _ in range(5):
            await emit(house, agent, 7)
            headers = {"Last-Event-ID": last} if last and how == "header" else {}
            query = f"?last_event_id={last}" if last and how == "query" else ""
            async with house.stream("s", query, headers=headers) as stream:
                await emit(house, agent, 3)
                seen += [str(message.own_id) for message in await take(stream, 4)]
                last = seen[-1]
                await emit(house, agent, 2)
        run.finish()
        async with house.stream("s", headers={"Last-Event-ID": str(last)}) as stream:
            await stream.until("turn.completed")
            seen += stream.ids
            assert "snapshot" not in stream.names

        assert seen == [f"{run.turn.epoch}-{n}" for n in range(5 * 12 + 2)]


async def test_the_header_is_newer_than_the_url_of_a_reader_that_reconnects() -> None:
    async with serving(chatty) as house:
        async with house.stream("s") as stream:
            await house.sent("s", "9")
            await stream.until("turn.completed")
        ids = stream.ids

        async def first(query: str, headers: dict[str, str]) -> str | None:
            async with house.stream("s", query, headers=headers) as again:
                return (await again.next()).own_id

        assert await first(f"?last_event_id={ids[2]}", {"Last-Event-ID": ids[6]}) == ids[7]
        assert await first(f"?last_event_id={ids[2]}", {}) == ids[3]
        assert await first(f"?last_event_id={ids[2]}", {"Last-Event-ID": ""}) == ids[3], (
            "an empty one says nothing"
        )


async def test_without_a_cursor_comes_the_snapshot_and_then_the_current_turn_from_its_start() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s")
        (await agent.run()).finish()
        await house.sent("s")
        run = await agent.run()
        await emit(house, agent, 3)
        async with house.stream("s") as stream:
            assert (await stream.next()).event == "snapshot"
            assert [m.own_id for m in await take(stream, 4)] == [f"{run.turn.epoch}-{n}" for n in range(4)]


@pytest.mark.parametrize("cursor", ["0", "-"])
async def test_zero_is_the_beginning_of_what_is_kept(cursor: str) -> None:
    async with serving(chatty) as house:
        async with house.stream("s") as stream:
            await house.sent("s", "3")
            await stream.until("turn.completed")
        async with house.stream("s", headers={"Last-Event-ID": cursor}) as again:
            await again.until("turn.completed")
            assert again.names == ["turn.started", "word", "word", "word", "turn.completed"]
            assert again.ids == stream.ids


ODD = {
    "malformed": "abc",
    "negative": "-1--1",
    "negative n": "1700000000000--1",
    "half": "1700000000000-",
    "no n": "1700000000000",
    "huge": "9" * 400 + "-1",
    "huge n": "1700000000000-" + "9" * 400,
    "future": "9999999999999999-0",
    "past": "1-0",
    "other digits": "\u0661\u0667-\u0660",
    "spaces": "1700000000000 - 0",
    "sql": "1' OR '1'='1",
    "long": "x" * 4000,
    "float": "1.5-2",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_cursor_that_means_nothing_here_gets_a_gap_and_a_snapshot(name: str, how: str) -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s")
        run = await agent.run()
        await emit(house, agent, 2)
        query = ""
        headers = {}
        if how == "query":
            query = "?" + str(yarl.URL("http://x").with_query({"last_event_id": ODD[name]}).raw_query_string)
        else:
            headers = {"Last-Event-ID": ODD[name]}
        async with house.stream("s", query, headers=headers) as stream:
            gap, snapshot = await stream.next(), await stream.next()
            assert gap.event == "gap"
            assert gap.own_id is None
            assert gap.json["min_available"] == f"{run.turn.epoch}-0"
            assert gap.json["since"] == ODD[name][: max(100, len(gap.json["since"]))]
            assert snapshot.event == "snapshot"
            assert snapshot.json["turn"]["task_id"] == run.turn.turn_id
            assert [m.own_id for m in await take(stream, 3)] == [f"{run.turn.epoch}-{n}" for n in range(3)]


@pytest.mark.parametrize("cursor", [b"\xff\xfe", b"\xed\xa0\x80", b"1700000000000-\xc3"])
async def test_a_cursor_that_is_not_even_text_is_a_gap_as_well(cursor: bytes) -> None:
    async with serving(ScriptedAgent()) as house:
        for request in (
            b"GET /chat/s/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + cursor + b"\r\n\r\n",
            b"GET /chat/s/events?last_event_id="
            + b"".join(b"%%%02X" % byte for byte in cursor)
            + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                assert b" 200 " in await reader.readline()
                await reader.readuntil(b"event: gap\n")
                await reader.readuntil(b"event: snapshot\n")
            writer.close()


async def test_a_cursor_older_than_what_is_kept_is_a_gap_that_says_what_there_is() -> None:
    agent = ScriptedAgent()
    async with serving(agent, log_events=10) as house:
        await house.sent("s")
        run = await agent.run()
        epoch = run.turn.epoch
        await emit(house, agent, 50)
        async with house.stream("s", headers={"Last-Event-ID": f"{epoch}-5"}) as stream:
            gap, snapshot = await stream.next(), await stream.next()
            assert (gap.event, snapshot.event) == ("gap", "snapshot")
            assert gap.json == {"since": f"{epoch}-5", "min_available": f"{epoch}-41"}
            assert [m.own_id for m in await take(stream, 10)] == [f"{epoch}-{n}" for n in range(41, 51)]
        async with house.stream("s", headers={"Last-Event-ID": f"{epoch}-45"}) as stream:
            assert (await stream.next()).own_id == f"{epoch}-46"


async def test_a_future_number_of_the_turn_in_flight_is_a_gap_and_hides_nothing_that_comes() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        await house.sent("s")
        run = await agent.run()
        async with house.stream("s", headers={"Last-Event-ID": f"{run.turn.epoch}-99"}) as stream:
            assert (await stream.next()).event == "gap"
            await emit(house, agent, 1)
            assert (await stream.until("delta")).own_id == f"{run.turn.epoch}-1"


async def test_the_last_turns_end_can_be_had_again_as_long_as_the_session_is_known() -> None:
    async with serving(chatty, heartbeat=0.06) as house:
        async with house.stream("s") as stream:
            await house.sent("s", "5")
            terminal = await stream.until("turn.completed")
        await until(lambda: _slept(house))
        async with house.stream("s", headers={"Last-Event-ID": stream.ids[0]}) as again:
            assert (await again.until("turn.completed")).own_id == terminal.own_id


async def _slept(house: House) -> bool:
    return "s" in (await house.post("/chat/cleanup_completed_tasks")).body["cleaned_up"]


async def test_a_session_that_restarts_after_a_stop_numbers_on() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house:
        epochs: list[int] = []
        for _ in range(3):
            await house.sent("s")
            async with house.stream("s") as stream:
                await stream.until("turn.started")
                await house.post("/chat/s/cancel_send_task")
                await stream.rest()
            epochs.append(numbers(stream.ids)[0][0])
        assert epochs == sorted(set(epochs))


async def test_a_stream_opened_before_the_first_send_belongs_to_its_session() -> None:
    async with serving(chatty) as house, house.stream("new") as stream:
        assert (await stream.next()).json["state"] == "idle"
        assert (await house.get("/chat/new")).code == "UNKNOWN_SESSION"
        await house.sent("new", json.dumps(2))
        await stream.until("turn.completed")
        assert (await house.get("/chat/new")).body["subscribers"] == 1
