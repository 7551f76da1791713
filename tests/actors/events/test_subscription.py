"""One reader of one session: where it stands in the log, and how it is woken (G7, G8, G9)."""

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
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.readers import WAKE_BATCH
from turnkeeper.actors.events.subscription import BATCH, Subscription
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.records import CancelCode
from turnkeeper.actors.turn.turn import Turn

MANY = 10_000


class Desk:
    """A log with one reader, without a session around them."""

    def __init__(self, max_lag: int = 8, written: int = 0, prelude: list[Event] | None = None) -> None:
        self.log = EventLog()
        self.gone: list[Subscription] = []
        self.overflows = 0
        for _ in range(written):
            self.write()
        self.reader = Subscription(self.log, 0, prelude or [], max_lag, self.gone.append, self._count)

    def _count(self) -> None:
        self.overflows += 1

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            self.log.append(Event("word", epoch=1, n=self.log.head, text="1"), MANY, 1 << 30)


def numbers(events: list[Event]) -> list[int]:
    return [event.n for event in events]


# -- Reading ----------------------------------------------------------------------------------------


async def test_a_reader_gets_what_waits_all_at_once() -> None:
    desk = Desk()
    desk.write(3)
    assert numbers(await desk.reader.read()) == [0, 1, 2]


async def test_a_reader_waits_until_it_is_woken_and_something_is_there() -> None:
    desk = Desk()
    reading = asyncio.create_task(desk.reader.read())
    await settle()
    assert desk.reader.parked
    desk.reader.wake()
    await settle()
    assert desk.reader.parked
    desk.write()
    desk.reader.wake()
    assert numbers(await reading) == [0]
    assert not desk.reader.parked


async def test_a_reader_that_is_poked_looks_up_and_loses_nothing() -> None:
    desk = Desk()
    reading = asyncio.create_task(desk.reader.read())
    await settle()
    desk.reader.poke()
    assert await reading == []
    assert not desk.reader.ended
    desk.write()
    assert numbers(await desk.reader.read()) == [0]


async def test_giving_up_a_read_loses_nothing() -> None:
    """G7."""
    desk = Desk()
    for woken in (False, True):
        reading = asyncio.create_task(desk.reader.read())
        await settle()
        if woken:
            desk.write()
            desk.reader.wake()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert numbers(await desk.reader.read()) == [0]


async def test_a_long_replay_is_handed_out_in_batches_and_is_no_lag() -> None:
    """G8: what was there before the reader came does not count against its buffer."""
    desk = Desk(max_lag=8, written=BATCH * 2 + 5)
    assert desk.reader.lag == 0
    sizes = [len(await desk.reader.read()) for _ in range(3)]
    assert sizes == [BATCH, BATCH, 5]
    assert desk.overflows == 0


async def test_a_reader_that_ends_gets_what_was_there_and_then_the_reason() -> None:
    desk = Desk()
    desk.write(2)
    desk.reader.end("Task cancelled")
    desk.reader.end("something else")
    events = await read_to_end(desk.reader)
    assert names(events) == ["word", "word", "close"]
    assert (events[-1].data, events[-1].id) == ("Task cancelled", None)
    assert await desk.reader.read() == []


async def test_nothing_that_is_published_after_the_end_comes_before_the_close() -> None:
    """G2: the stream ends with what it ended for, although its reader is late."""
    desk = Desk(max_lag=8)
    desk.write(2)
    desk.reader.end("Task cancelled")
    desk.write(100)
    assert names(await read_to_end(desk.reader)) == ["word", "word", "close"]
    assert desk.overflows == 0


async def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    for end in (lambda desk: desk.reader.end("x"), lambda desk: desk.reader.close()):
        desk = Desk()
        reading = asyncio.create_task(desk.reader.read())
        await settle()
        end(desk)
        await reading


async def test_a_reader_may_close_more_than_once() -> None:
    desk = Desk()
    desk.reader.close()
    desk.reader.close()
    assert desk.gone[0] is desk.reader
    assert await desk.reader.read() == []


# -- Lagging behind ---------------------------------------------------------------------------------


async def test_at_the_bound_a_reader_still_gets_everything_and_beyond_it_its_stream_ends() -> None:
    """G8."""
    desk = Desk(max_lag=8)
    desk.write(8)
    assert len(await desk.reader.read()) == 8
    desk.write(9)
    assert await desk.reader.read() == []
    assert (desk.reader.overflowed, desk.reader.ended, desk.overflows) == (True, True, 1)
    desk.reader.overflow()
    assert desk.overflows == 1


async def test_a_reader_that_overflows_gets_no_close_because_it_is_to_come_back() -> None:
    desk = Desk(max_lag=8)
    freed: list[bool] = []
    desk.reader.on_overflow = lambda: freed.append(True)
    desk.reader.end("Task cancelled")
    desk.reader.overflow()
    assert await read_to_end(desk.reader) == []
    assert freed == [True]


async def test_a_reader_whose_place_was_trimmed_away_ends_instead_of_skipping() -> None:
    """G7: never a silent hole."""
    log = EventLog()
    for n in range(20):
        log.append(Event("word", epoch=1, n=n, text="1"), 20, 1 << 30)
    ends: list[bool] = []
    reader = Subscription(log, 0, [], 100, lambda _: None, lambda: ends.append(True))
    log.append(Event("word", epoch=1, n=20, text="1"), 5, 1 << 30)
    assert await reader.read() == []
    assert ends == [True]


@pytest.mark.parametrize("reads", [True, False], ids=["reads late", "never reads"])
async def test_a_slow_reader_is_ended_woken_and_counted_and_can_come_back_with_its_cursor(
    reads: bool,
) -> None:
    """G7, G8."""
    async with opened(chatty) as registry:
        slow = await registry.subscribe("s1")
        fast = await registry.subscribe("s1")
        freed: list[bool] = []
        slow.on_overflow = lambda: freed.append(True)
        receipt = await registry.send("s1", "1000")
        await receipt.ended()
        if reads:
            assert names(await slow.read()) == ["snapshot"] or slow.overflowed
            assert await slow.read() == []
        assert slow.overflowed
        assert freed == [True]
        waiting(fast)
        assert (await registry.counts()).counters["sse_overflow_total"] == 2
        slow.close()
        fast.close()
        back = await registry.subscribe("s1", after=f"{receipt.epoch}-10")
        events = waiting(back)
        back.close()
        assert numbers(events) == list(range(11, 1_002))
        assert events[-1].name == "turn.completed"


async def test_a_reader_that_keeps_up_gets_everything_however_much_it_is() -> None:
    """G7."""

    async def agent(turn: Turn) -> None:
        for n in range(3_000):
            turn.emit("word", n)
            if n % 100 == 0:
                await asyncio.sleep(0)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        reading = asyncio.create_task(read_to_end(stream))
        await (await registry.send("s1", "hello")).ended()
        await registry.close("s1")
        events = [event for event in await reading if event.id is not None]
        assert numbers(events) == list(range(3_002))


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
        told = events[0].data
        assert (told["state"], told["turn"]["status"]) == ("cancelling", "cancelling")
        assert told["turn"]["task_id"] == "t1"
        assert [turn["task_id"] for turn in told["queue"]] == ["t2"]


async def test_a_reader_that_comes_after_the_end_is_told_by_the_snapshot() -> None:
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


async def test_a_cursor_that_was_trimmed_is_a_gap_and_reading_goes_on_with_what_is_kept() -> None:
    """G7, G8."""
    async with opened(chatty, log_events=10) as registry:
        receipt = await registry.send("s1", "100")
        await receipt.ended()
        events = await followed(registry, f"{receipt.epoch}-3")
        assert names(events[:2]) == ["gap", "snapshot"]
        assert events[0].data == {"since": f"{receipt.epoch}-3", "min_available": f"{receipt.epoch}-92"}
        assert numbers(events[2:]) == list(range(92, 102))


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


async def test_a_cancel_that_nobody_pressed_stop_for_leaves_the_streams_open() -> None:
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
        leaves = await registry.subscribe("s1", close_on_superseded=True)
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
        leaves = await registry.subscribe("s1", close_on_superseded=True)
        await registry.send("s1", "one")
        run = await agent.run()
        sending = asyncio.create_task(registry.send("s1", "two"))
        await run.cancelled.wait()
        if swallows == 1:
            run.finish()
        events = await read_to_end(leaves)
        assert (events[-2].name, events[-1].data) == (name, text)
        await sending


async def test_a_waiting_turn_that_is_superseded_closes_nobodys_stream_yet() -> None:
    """G3: the turn that the stream is about still settles."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        leaves = await registry.subscribe("s1", close_on_superseded=True)
        await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        for n in (2, 3):
            await registry.send("s1", str(n), wait=False)
        assert not leaves.ended
        run.finish()
        events = await read_to_end(leaves)
        assert names(events)[-2:] == ["turn.completed", "close"]
        assert events[-2].data["task_id"] == "t1"


async def test_a_stream_of_a_closed_session_is_told_so_and_ends() -> None:
    async with opened(done) as registry:
        stream = await registry.subscribe("s1")
        await registry.close("s1")
        assert [event.data for event in await read_to_end(stream)][-1] == "Session closed"
        late = await registry.subscribe("s1")
        events = await read_to_end(late)
        assert names(events) == ["snapshot", "close"]
        assert events[0].data["state"] == "closed"


async def test_subscribers_are_counted_until_they_leave() -> None:
    async with opened(done) as registry:
        streams = [await registry.subscribe(session) for session in ("s1", "s1", "s2")]
        assert (await registry.counts()).subscribers == 3
        assert (await registry.session("s1")).subscribers == 2
        for stream in streams:
            stream.close()
            stream.close()
        await settle()
        assert (await registry.counts()).subscribers == 0


# -- Many readers -----------------------------------------------------------------------------------


async def test_a_thousand_readers_are_woken_in_batches_and_all_get_everything() -> None:
    """G9."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        streams = [await registry.subscribe("s1") for _ in range(1_000)]
        got: list[list[str]] = [[] for _ in streams]

        async def follow(n: int) -> None:
            async with aclosing(streams[n].events()) as events:
                async for event in events:
                    got[n].append(event.name)
            streams[n].close()

        readers = [asyncio.create_task(follow(n)) for n in range(len(streams))]
        await registry.send("s1", "hello")
        run = await agent.run()
        await settle()
        assert {tuple(each) for each in got} == {("snapshot", "turn.started")}
        run.turn.emit("word", 1)
        awake: list[int] = []
        while not awake or awake[-1] < len(streams):
            await asyncio.sleep(0)
            awake.append(sum("word" in each for each in got))
            run.turn.emit("more", len(awake)) if len(awake) == 2 else None
        steps = [after - before for before, after in zip([0, *awake], awake, strict=False)]
        assert max(steps) <= WAKE_BATCH
        assert len(awake) >= len(streams) // WAKE_BATCH
        await settle()
        assert {each[-1] for each in got} == {"more"}
        await registry.cancel("s1")
        await asyncio.gather(*readers)
        expected = ["snapshot", "turn.started", "word", "more", "turn.cancelled", "close"]
        assert all(each == expected for each in got)
