"""What a session publishes, and who reads it: where reading starts, and how streams end (G3, G7, G8)."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    ScriptedAgent,
    VirtualClock,
    chatty,
    done,
    names,
    opened,
    plain,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.metrics.meter import GAPS
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.messages import Subscribe
from turnkeeper.actors.model.words import CancelCode, CloseOn
from turnkeeper.actors.turn.turn import Turn

MANY = 10_000


def numbers(events: list[Event]) -> list[int]:
    return [event.n for event in events]


# -- Where reading starts ---------------------------------------------------------------------------


async def followed(registry: Any, cursor: str | None) -> list[Event]:
    """What a new reader finds waiting."""
    stream = await registry.subscribe("s1", after=cursor)
    events = waiting(stream)
    stream.close()
    return events


async def test_without_a_cursor_a_reader_gets_a_snapshot_and_the_turn_in_flight_from_its_start() -> None:
    """G7."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        assert (await followed(registry, None))[0].data == {
            "session": "s1",
            "state": "idle",
            "turn": None,
            "queue": [],
            "cursor": "0",
        }
        await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        run.turn.emit("word", 1)
        await registry.send("s1", "two", turn_id="t2", wait=False)
        events = await followed(registry, None)
        assert names(events) == ["snapshot", "turn.started", "word", "turn.queued"]
        assert [event.id is None for event in events] == [True, False, False, True]
        snapshot = events[0].data
        assert (snapshot["state"], snapshot["turn"]["status"]) == ("cancelling", "cancelling")
        assert snapshot["turn"]["task_id"] == "t1"
        assert [turn["task_id"] for turn in snapshot["queue"]] == ["t2"]


async def test_a_reader_that_comes_after_the_end_learns_it_from_the_snapshot() -> None:
    async with opened(done) as registry:
        receipt = await registry.send("s1", "hello")
        await receipt.ended()
        events = await followed(registry, None)
        assert names(events) == ["snapshot"]
        assert events[0].data["turn"]["status"] == "completed"


async def test_a_valid_cursor_is_continued_from_and_zero_is_the_beginning() -> None:
    """G7."""
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "3")
        await receipt.ended()
        assert numbers(await followed(registry, f"{receipt.epoch}-1")) == [2, 3, 4]
        assert await followed(registry, f"{receipt.epoch}-4") == []
        assert numbers(await followed(registry, "0")) == [0, 1, 2, 3, 4]


BAD = ["", "x", "-1", "1", "-1--1", "9" * 5_000, "\ud800", "\n", "1-1; drop", "99999999999999-0"]


@pytest.mark.parametrize("cursor", BAD, ids=[repr(each)[:20] for each in BAD])
async def test_a_cursor_that_cannot_be_continued_from_is_a_gap_and_a_snapshot(cursor: str) -> None:
    """G7: or an explicit gap."""
    async with opened(done) as registry:
        receipt = await registry.send("s1", "hello")
        await receipt.ended()
        events = await followed(registry, cursor)
        assert names(events) == ["gap", "snapshot"]
        assert [event.id for event in events] == [None, None]
        assert events[0].data["min_available"] == f"{receipt.epoch}-0"
        assert registry.meter.counts()[GAPS.name] == 1


async def test_a_cursor_that_was_trimmed_is_a_gap_and_reading_goes_on_with_what_is_kept() -> None:
    """G7, G8."""
    async with opened(chatty, log_events=10) as registry:
        receipt = await registry.send("s1", "100")
        await receipt.ended()
        events = await followed(registry, f"{receipt.epoch}-3")
        assert names(events[:2]) == ["gap", "snapshot"]
        assert events[0].data == {"since": f"{receipt.epoch}-3", "min_available": f"{receipt.epoch}-92"}
        assert numbers(events[2:]) == list(range(92, 102))


async def test_a_late_reader_of_a_turn_whose_beginning_was_trimmed_gets_a_gap_and_reads_on_from_there() -> (
    None
):
    """G7: or an explicit gap. G8."""
    agent = ScriptedAgent()
    async with opened(agent, log_events=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        for n in range(20):
            run.turn.emit("word", n)
        late = await registry.subscribe("s1")
        events = waiting(late)
        assert names(events[:2]) == ["gap", "snapshot"]
        assert events[0].data == {"since": None, "min_available": f"{receipt.epoch}-11"}
        assert events[1].data["cursor"] == f"{receipt.epoch}-10"
        assert numbers(events[2:]) == list(range(11, 21))
        run.turn.emit("word", 20)
        assert numbers(waiting(late)) == [21]
        late.close()


@pytest.mark.parametrize("cursor", [0, 1.5, b"0", ["0"], {}], ids=plain)
async def test_a_cursor_that_is_no_text_is_refused(cursor: Any) -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.subscribe("s1", after=cursor)
        assert caught.value.field == "cursor"
        assert (await registry.counts()).sessions == 0


async def test_nothing_falls_between_replay_and_live() -> None:
    """G7: a reader that comes and goes at any moment sees every event once and in order."""

    async def agent(turn: Turn) -> None:
        for n in range(300):
            turn.emit("word", n)
            await asyncio.sleep(0)

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        seen: list[Event] = []
        cursor = "0"
        while not seen or seen[-1].name != "turn.completed":
            stream = await registry.subscribe("s1", after=cursor)
            for _ in range(2):
                seen += await stream.read()
                if seen[-1].name == "turn.completed":
                    break
            stream.close()
            cursor = str(seen[-1].id)
        assert numbers(seen) == list(range(302))
        assert {event.epoch for event in seen} == {receipt.epoch}


# -- How streams end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("swallows", "ends", "text"),
    [
        (0, "cancel", ["turn.cancelled", "Task cancelled"]),
        (1, "finish", ["turn.completed", "Task finished"]),
        (1, "fail", ["turn.failed", "Task finished"]),
        (FOREVER, "never", ["turn.unresponsive", "Task unresponsive"]),
    ],
)
@pytest.mark.parametrize("code", [None, CancelCode.ADMIN])
async def test_a_cancel_ends_the_streams_first_the_terminal_event_then_the_truth(
    clock: VirtualClock, swallows: float, ends: str, text: list[str], code: CancelCode | None
) -> None:
    """G3."""
    agent = ScriptedAgent(swallows)
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello")
        run = await agent.run()
        cancelling = asyncio.create_task(registry.cancel("s1", code=code))
        await run.cancelled.wait()
        if ends == "finish":
            run.finish()
        elif ends == "fail":
            run.fail(KeyError())
        events = await read_to_end(stream)
        assert [events[-2].name, events[-1].data] == text
        assert (events[-1].name, events[-1].id) == ("close", None)
        await cancelling


async def test_a_cancel_that_is_no_users_stop_leaves_the_streams_open() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        for code in (CancelCode.POLICY, CancelCode.CLIENT_DISCONNECTED):
            await registry.send("s1", "hello")
            await agent.run()
            await registry.cancel("s1", code=code)
            assert names(waiting(stream))[-1] == "turn.cancelled"
        assert not stream.ended
        stream.close()


async def test_on_supersede_streams_stay_open_unless_their_reader_asked_otherwise() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stays = await registry.subscribe("s1")
        leaves = await registry.subscribe("s1", close_on="superseded")
        await registry.send("s1", "one")
        await agent.run()
        await registry.send("s1", "two")
        await agent.run()
        events = await read_to_end(leaves)
        assert names(events)[-2:] == ["turn.cancelled", "close"]
        assert events[-1].data == "Task cancelled"
        assert events[-2].data["reason"]["code"] == "superseded"
        assert names(waiting(stays))[-3:] == ["turn.queued", "turn.cancelled", "turn.started"]
        assert not stays.ended
        stays.close()


@pytest.mark.parametrize(
    ("swallows", "name", "text"),
    [(1, "turn.completed", "Task finished"), (FOREVER, "turn.unresponsive", "Task unresponsive")],
)
async def test_a_superseded_turn_that_was_not_cancelled_closes_with_the_truth(
    clock: VirtualClock, swallows: float, name: str, text: str
) -> None:
    """G3."""
    agent = ScriptedAgent(swallows)
    async with opened(agent) as registry:
        leaves = await registry.subscribe("s1", close_on="superseded")
        await registry.send("s1", "one")
        run = await agent.run()
        sending = asyncio.create_task(registry.send("s1", "two"))
        await run.cancelled.wait()
        if swallows == 1:
            run.finish()
        events = await read_to_end(leaves)
        assert (events[-2].name, events[-1].data) == (name, text)
        await sending


async def test_a_waiting_turn_that_is_superseded_closes_no_stream_yet() -> None:
    """G3: the turn that the stream is about still settles."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        leaves = await registry.subscribe("s1", close_on="superseded")
        await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        for n in (2, 3):
            await registry.send("s1", str(n), wait=False)
        assert not leaves.ended
        run.finish()
        events = await read_to_end(leaves)
        assert names(events)[-2:] == ["turn.completed", "close"]
        assert events[-2].data["task_id"] == "t1"


async def test_a_stream_that_is_to_stay_open_outlives_stops_and_ends_with_its_session() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1", close_on="never")
        for _ in range(2):
            await registry.send("s1", "hello")
            await agent.run()
            await registry.cancel("s1")
            told = waiting(stream)[-3:]
            assert names(told) == ["turn.started", "turn.cancelled", "close"]
            assert told[-1].data == "Task cancelled"
        for _ in range(2):
            await registry.send("s1", "again")
            await agent.run()
        assert names(waiting(stream)) == ["turn.started", "turn.queued", "turn.cancelled", "turn.started"]
        await registry.close("s1")
        events = await read_to_end(stream)
        assert names(events) == ["turn.cancelled", "close", "close"]
        assert [event.data for event in events[1:]] == ["Task cancelled", "Session closed"]
        assert (await registry.counts()).subscribers == 0


@pytest.mark.parametrize("close_on", CloseOn)
async def test_a_close_of_a_running_session_ends_every_stream(close_on: CloseOn) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream = await registry.subscribe("s1", close_on=close_on)
        await registry.send("s1", "hello")
        await agent.run()
        await registry.close("s1")
        last = [event.data for event in await read_to_end(stream) if event.name == "close"]
        assert last == ["Task cancelled", *["Session closed"] * (close_on is CloseOn.NEVER)]


async def test_the_old_word_for_it_is_an_alias_and_not_for_anything_else() -> None:
    async with opened(done) as registry:
        stream = await registry.subscribe("s1", close_on_superseded=True)
        assert stream._closes.close_on is CloseOn.SUPERSEDED
        stream.close()
        stream = await registry.subscribe("s1", close_on="superseded", close_on_superseded=True)
        assert stream._closes.close_on is CloseOn.SUPERSEDED
        stream.close()
        for more in ({"close_on": "never", "close_on_superseded": True}, {"close_on": "always"}):
            with pytest.raises(InvalidRequest) as caught:
                await registry.subscribe("s1", **more)
            assert caught.value.field == "close_on"


async def test_a_word_that_is_none_is_refused_by_the_registry_too() -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.follow(Subscribe("s1", close_on="always"))  # type: ignore[arg-type]
        assert caught.value.field == "close_on"
        assert (await registry.counts()).sessions == 0


async def test_events_may_be_followed_past_a_stop() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        seen: list[str] = []

        async def follow() -> None:
            async with aclosing(registry.events("s1", close_on="never")) as events:
                seen.extend([event.name async for event in events])

        following = asyncio.create_task(follow())
        await settle()
        for _ in range(2):
            await registry.send("s1", "hello")
            await agent.run()
            await registry.cancel("s1")
        await registry.close("s1")
        await following
        assert seen == ["snapshot", *["turn.started", "turn.cancelled", "close"] * 2, "close"]


async def test_a_reader_comes_back_to_a_closed_session_for_what_is_left_and_then_for_nothing() -> None:
    """G7."""
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "1")
        await receipt.ended()
        await registry.close("s1")
        back = await registry.subscribe("s1", after=f"{receipt.epoch}-1")
        assert not back.spent
        assert names(await read_to_end(back)) == ["turn.completed", "close"]
        last = await registry.subscribe("s1", after=f"{receipt.epoch}-2")
        assert last.spent
        assert names(await read_to_end(last)) == ["close"]


@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "asleep"])
async def test_a_cursor_that_a_closed_session_does_not_know_is_led_to_one_that_it_knows(asleep: bool) -> None:
    """G7: or an explicit gap. Else a reader with a cursor of another run would come back for ever."""
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "1")
        await receipt.ended()
        await registry.close("s1")
        if asleep:
            assert await registry.cleanup() == ("s1",)
        back = await registry.subscribe("s1", after="99999999999999-0")
        assert not back.spent
        events = await read_to_end(back)
        assert names(events)[:2] == ["gap", "snapshot"]
        assert events[-2].id == f"{receipt.epoch}-2"
        last = await registry.subscribe("s1", after=events[-2].id)
        assert last.spent
        last.close()


async def test_a_stream_of_a_closed_session_gets_a_close_and_ends() -> None:
    async with opened(done) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello")
        await registry.close("s1")
        assert [event.data for event in await read_to_end(stream)][-1] == "Session closed"
        late = await registry.subscribe("s1")
        events = await read_to_end(late)
        assert names(events) == ["snapshot", "close"]
        assert events[0].data["state"] == "closed"


async def test_subscribers_are_counted_until_they_leave() -> None:
    async with opened(done) as registry:
        streams = [await registry.subscribe("s1")]
        await registry.send("s1", "hello")
        streams += [await registry.subscribe(session) for session in ("s1", "s2")]
        assert (await registry.counts()).subscribers == 3
        assert (await registry.session("s1")).subscribers == 2
        for stream in streams:
            stream.close()
            stream.close()
        await settle()
        assert (await registry.counts()).subscribers == 0


# -- Readers that leave -----------------------------------------------------------------------------


async def test_a_reader_that_leaves_silences_no_other() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        streams = [await registry.subscribe("s1") for _ in range(3)]
        reading = {n: asyncio.create_task(read_to_end(streams[n])) for n in (0, 2)}
        await settle()
        streams[1].close()
        await settle()
        assert (await registry.session("s1")).subscribers == 2
        run.turn.emit("word", 1)
        await settle()
        await registry.cancel("s1")
        for n in (0, 2):
            said = names(await reading[n])
            assert said == ["snapshot", "turn.started", "word", "turn.cancelled", "close"]


async def test_a_reader_that_leaves_twice_at_once_is_let_go_of_once() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        stream, other = await registry.subscribe("s1"), await registry.subscribe("s1")
        await registry.send("s1", "hello")
        run = await agent.run()
        stream.close()
        stream.close()
        await settle()
        assert not run.cancelled.is_set(), "its session failed"
        assert (await registry.session("s1")).subscribers == 1
        other.close()
