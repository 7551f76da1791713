"""One reader of one session: where it stands in the log, and how it is woken (G7, G8, G9)."""

import asyncio

import pytest

from tests.fakes import Outlet, chatty, names, opened, read_to_end, settle, waiting
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.subscription import BATCH, Subscription
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.actors.turn.turn import Turn

MANY = 10_000


class Desk:
    """A log with one reader, without a session around them."""

    def __init__(
        self,
        max_lag: int = 8,
        written: int = 0,
        prelude: list[Event] | None = None,
        close_on: CloseOn = CloseOn.CANCELLED,
    ) -> None:
        self.log = EventLog()
        self.gone: list[Subscription] = []
        self.overflows = 0
        for _ in range(written):
            self.write()
        self.reader = Subscription(
            self.log, 0, prelude or [], max_lag, self.gone.append, self._count, close_on=close_on
        )

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
    desk.reader.end(StreamEnd.TASK_CANCELLED)
    desk.reader.end(StreamEnd.SESSION_CLOSED)
    events = await read_to_end(desk.reader)
    assert names(events) == ["word", "word", "close"]
    assert (events[-1].data, events[-1].id) == ("Task cancelled", None)
    assert await desk.reader.read() == []


async def test_nothing_that_is_published_after_the_end_comes_before_the_close() -> None:
    """G2: the stream ends with what it ended for, although its reader is late."""
    desk = Desk(max_lag=8)
    desk.write(2)
    desk.reader.end(StreamEnd.TASK_CANCELLED)
    desk.write(100)
    assert names(await read_to_end(desk.reader)) == ["word", "word", "close"]
    assert desk.overflows == 0


async def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    for end in (lambda desk: desk.reader.end(StreamEnd.SHUTDOWN), lambda desk: desk.reader.close()):
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


# -- A stream that stays open -----------------------------------------------------------------------


async def test_a_reader_that_stays_gets_a_close_where_each_cancelled_turn_ended_and_reads_on() -> None:
    """G7: each `close` stands behind what was published before it, and before what came after."""
    desk = Desk(max_lag=100, close_on=CloseOn.NEVER)
    for end in (StreamEnd.TASK_CANCELLED, StreamEnd.TASK_FINISHED, StreamEnd.TASK_UNRESPONSIVE):
        desk.write(2)
        desk.reader.end(end)
    desk.write()
    events = waiting(desk.reader)
    assert [event.data if event.name == "close" else event.n for event in events] == [
        0, 1, "Task cancelled", 2, 3, "Task finished", 4, 5, "Task unresponsive", 6,
    ]  # fmt: skip
    assert (desk.reader.ended, desk.reader.ending) == (False, None)


async def test_a_reader_that_stays_and_waits_is_woken_by_a_close() -> None:
    desk = Desk(close_on=CloseOn.NEVER)
    for _ in range(2):
        reading = asyncio.create_task(desk.reader.read())
        await settle()
        desk.reader.end(StreamEnd.TASK_CANCELLED)
        assert names(await reading) == ["close"]


async def test_a_reader_that_stays_ends_with_its_session_after_all_that_was_due() -> None:
    desk = Desk(close_on=CloseOn.NEVER)
    desk.write()
    desk.reader.end(StreamEnd.TASK_CANCELLED)
    desk.reader.end(StreamEnd.SESSION_CLOSED)
    desk.write()
    events = await read_to_end(desk.reader)
    assert [event.data for event in events[1:]] == ["Task cancelled", "Session closed"]
    assert names(events) == ["word", "close", "close"]


async def test_a_reader_that_stays_and_does_not_read_holds_no_more_than_its_buffer() -> None:
    """G8."""
    desk = Desk(max_lag=8, close_on=CloseOn.NEVER)
    for _ in range(9):
        desk.write()
        desk.reader.end(StreamEnd.TASK_CANCELLED)
    assert await desk.reader.read() == []
    assert (desk.reader.overflowed, desk.overflows) == (True, 1)
    assert desk.reader.take() == []


async def test_a_supersede_closes_the_stream_of_a_reader_that_asked_for_it_and_of_no_other() -> None:
    for close_on in CloseOn:
        desk = Desk(close_on=close_on)
        desk.reader.end(StreamEnd.TASK_CANCELLED, superseded=True)
        assert desk.reader.ended is (close_on is CloseOn.SUPERSEDED)
        assert names(waiting(desk.reader)) == ["close"] * (close_on is CloseOn.SUPERSEDED)


async def test_a_close_is_had_although_the_log_has_dropped_all_that_was_read_before_it() -> None:
    desk = Desk(max_lag=100)
    desk.write(2)
    assert len(desk.reader.take()) == 2
    desk.reader.end(StreamEnd.TASK_CANCELLED)
    for n in range(10):
        desk.log.append(Event("word", epoch=2, n=n, text="1"), 3, 1 << 30)
    assert names(await read_to_end(desk.reader)) == ["close"]
    assert desk.overflows == 0


# -- Coming back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", StreamEnd)
async def test_a_reader_is_invited_back_exactly_where_its_session_goes_on(end: StreamEnd) -> None:
    desk = Desk()
    assert not desk.reader.invites_back
    desk.reader.end(end)
    assert desk.reader.invites_back is (end.startswith("Task "))
    desk.reader.overflow()
    assert not desk.reader.invites_back


@pytest.mark.parametrize("end", StreamEnd)
async def test_a_reader_has_had_all_when_its_session_is_closed_and_no_event_with_an_id_is_left(
    end: StreamEnd,
) -> None:
    desk = Desk(written=2)
    assert not desk.reader.spent
    desk.reader.take()
    desk.log.append(Event("turn.cancelled", text="{}"), MANY, 1 << 30)
    assert not desk.reader.spent
    desk.reader.end(end)
    assert desk.reader.spent is (end is StreamEnd.SESSION_CLOSED)


async def test_a_reader_of_a_closed_session_with_an_event_left_has_not_had_all() -> None:
    desk = Desk(written=2)
    desk.reader.end(StreamEnd.SESSION_CLOSED)
    assert not desk.reader.spent


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
    desk.reader.end(StreamEnd.TASK_CANCELLED)
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


@pytest.mark.parametrize(("count", "kept"), [(9, MANY), (3, 2)], ids=["beyond the bound", "trimmed away"])
async def test_a_reader_that_waits_and_falls_too_far_behind_in_one_pass_ends(count: int, kept: int) -> None:
    """G7, G8: its outlet is given nothing with a hole in it."""
    desk = Desk(max_lag=8)
    desk.reader.outlet = outlet = Outlet()
    reading = asyncio.create_task(desk.reader.read())
    await settle()
    for n in range(count):
        desk.log.append(Event("word", epoch=1, n=n, text="1"), kept, 1 << 30)
    desk.reader.published(desk.log.head, {})
    assert await reading == []
    assert (desk.reader.overflowed, outlet.taken) == (True, [])


async def test_a_reader_that_has_closed_holds_on_to_no_connection() -> None:
    desk = Desk()
    desk.reader.outlet, desk.reader.on_overflow = Outlet(), lambda: None
    desk.reader.close()
    assert (desk.reader.outlet, desk.reader.on_overflow) == (None, None)


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


async def test_a_reader_that_ends_here_gets_what_is_there_and_no_more() -> None:
    """Without a `close`, and without being told that it lags."""
    async with opened(chatty, subscriber_buffer=1) as registry:
        receipt = await registry.send("s1", "1000")
        await receipt.ended()
        reader = await registry.subscribe("s1", after="0")
        reader.end_here()
        await (await registry.send("s1", "5")).ended()
        events = await read_to_end(reader)
        assert numbers(events) == list(range(1_002))
        assert {event.epoch for event in events} == {receipt.epoch}
        assert not reader.overflowed


async def test_a_reader_that_waits_is_woken_when_it_ends_here() -> None:
    async with opened(chatty) as registry:
        reader = await registry.subscribe("s1")
        assert names(await reader.read()) == ["snapshot"]
        reading = asyncio.create_task(reader.read())
        await settle()
        reader.end_here()
        assert await reading == []
        reader.close()


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
