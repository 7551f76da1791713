"""All readers of one session: who is woken when, and whose stream ends (G8, G9)."""

import asyncio
import sys
from contextlib import aclosing, suppress
from contextvars import ContextVar
from itertools import pairwise

import pytest

from tests.fakes import CountingLoop, Outlet, ScriptedAgent, names, opened, settle, waiting
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.readers import BURST, END_BATCH, FEW, WAKE_BATCH, Readers
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.words import CloseOn, StreamEnd
from turnkeeper.actors.turn.turn import Turn


class Stand:
    """A log with so many readers, without a session around them."""

    def __init__(self, count: int, max_lag: int = 1_000) -> None:
        self.log = EventLog()
        self.loop = CountingLoop()
        self.readers = Readers(self.loop)  # type: ignore[arg-type]
        self.overflows = 0
        self.each = [
            Subscription(
                self.log,
                0,
                [],
                max_lag,
                lambda _: None,
                self._count,
                close_on=CloseOn.SUPERSEDED if n % 2 else CloseOn.CANCELLED,
            )
            for n in range(count)
        ]
        for reader in self.each:
            self.readers.add(reader)

    def _count(self) -> None:
        self.overflows += 1

    def pushing(self) -> list[Outlet]:
        """Give each reader an outlet."""
        outlets = [Outlet() for _ in self.each]
        for reader, outlet in zip(self.each, outlets, strict=True):
            reader.outlet = outlet
        return outlets

    def end(self, end: StreamEnd, *, superseded: bool = False) -> None:
        self.readers.end(self.log.head, end, superseded=superseded)

    def publish(self, count: int = 1) -> None:
        for _ in range(count):
            self.log.append(Event("word", epoch=1, n=self.log.head, text="1"), 10_000, 1 << 30)
            self.readers.published(self.log.head)


async def read_on(reader: Subscription, got: list[int]) -> None:
    while batch := await reader.read():
        got += [event.n for event in batch]


async def test_readers_come_and_go() -> None:
    stand = Stand(2)
    one, other = stand.each
    assert len(stand.readers) == 2
    stand.readers.remove(one)
    assert one not in stand.readers
    assert other in stand.readers
    assert len(stand.readers) == 1


async def test_the_readers_of_a_batch_are_woken_together() -> None:
    stand = Stand(WAKE_BATCH)
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    await settle()
    stand.publish()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(task.done() for task in reading)
    assert stand.loop.calls == 1


@pytest.mark.parametrize("count", [WAKE_BATCH + 1, 2 * WAKE_BATCH + 1])
async def test_many_readers_are_woken_batch_by_batch(count: int) -> None:
    stand = Stand(count)
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    await settle()
    stand.publish()
    woken: list[int] = []
    while not all(task.done() for task in reading):
        await asyncio.sleep(0)
        woken.append(sum(task.done() for task in reading))
    assert max(after - before for before, after in zip([0, *woken], woken, strict=False)) <= WAKE_BATCH


async def test_a_reader_that_was_woken_too_early_for_the_last_event_is_woken_again() -> None:
    """What is published while a pass is under way starts no other pass, and is not missed."""
    stand = Stand(3 * WAKE_BATCH)
    got: list[list[int]] = [[] for _ in stand.each]
    reading = [asyncio.create_task(read_on(*each)) for each in zip(stand.each, got, strict=True)]
    await settle()
    for _ in range(3):
        stand.publish()
        await asyncio.sleep(0)
    await settle()
    assert {tuple(each) for each in got} == {(0, 1, 2)}
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_waking_many_ends_when_all_have_looked_and_begins_anew_with_the_next_event() -> None:
    """G9: else the loop is busy for ever with readers that have nothing to read."""
    stand = Stand(2 * WAKE_BATCH)
    got: list[list[int]] = [[] for _ in stand.each]
    reading = [asyncio.create_task(read_on(*each)) for each in zip(stand.each, got, strict=True)]
    await settle()
    for n in range(3):
        stand.publish()
        await settle()
        assert {each[-1] for each in got} == {n}
        before = stand.loop.calls
        await settle()
        assert stand.loop.calls == before
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_a_reader_that_waits_is_not_woken_for_what_its_outlet_takes() -> None:
    stand = Stand(2)
    outlets = [Outlet(), Outlet()]
    for reader, outlet in zip(stand.each, outlets, strict=True):
        reader.outlet = outlet
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    await settle()
    stand.publish()
    await settle()
    assert [outlet.taken for outlet in outlets] == [["0"], ["0"]]
    outlets[1].shut = True
    stand.publish()
    await settle()
    assert outlets[0].taken == ["0", "1"]
    assert [task.done() for task in reading] == [False, True]
    assert [event.n for event in await reading[1]] == [1]
    stand.end(StreamEnd.SESSION_CLOSED)
    assert names(await reading[0]) == ["close"]


@pytest.mark.parametrize("count", [1, FEW])
async def test_few_readers_get_an_event_in_the_call_that_publishes_it(count: int) -> None:
    stand = Stand(count)
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    outlets = stand.pushing()
    await settle()
    stand.publish()
    assert [outlet.taken for outlet in outlets] == [["0"]] * count
    assert stand.loop.calls == 0
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_more_readers_than_a_few_get_it_in_the_next_pass() -> None:
    stand = Stand(FEW + 1)
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    outlets = stand.pushing()
    await settle()
    stand.publish()
    assert [outlet.taken for outlet in outlets] == [[]] * (FEW + 1)
    await asyncio.sleep(0)
    assert [outlet.taken for outlet in outlets] == [["0"]] * (FEW + 1)
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_the_rest_of_a_burst_is_written_whole_in_the_next_pass() -> None:
    stand = Stand(1)
    reading = asyncio.create_task(stand.each[0].read())
    (outlet,) = stand.pushing()
    await settle()
    stand.publish(4)
    assert outlet.taken == ["0"]
    await asyncio.sleep(0)
    assert outlet.taken == ["0", "1 2 3"]
    stand.loop.now += BURST
    stand.publish()
    assert outlet.taken == ["0", "1 2 3", "4"]
    stand.end(StreamEnd.SESSION_CLOSED)
    await reading


async def test_what_is_published_while_a_pass_is_due_overtakes_nothing() -> None:
    stand = Stand(1)
    reading = asyncio.create_task(stand.each[0].read())
    (outlet,) = stand.pushing()
    await settle()
    stand.publish(2)
    stand.loop.now += BURST
    stand.publish()
    assert outlet.taken == ["0"]
    await asyncio.sleep(0)
    assert outlet.taken == ["0", "1 2"]
    stand.end(StreamEnd.SESSION_CLOSED)
    await reading


async def test_readers_at_two_positions_in_one_pass_get_each_what_they_lack() -> None:
    stand = Stand(2)
    outlets = [Outlet(), Outlet()]
    for reader, outlet in zip(stand.each, outlets, strict=True):
        reader.outlet = outlet
    loop = asyncio.get_running_loop()
    early = asyncio.create_task(stand.each[0].read())
    await settle()
    stand.publish()
    loop.call_soon(stand.publish)
    late = asyncio.create_task(read_on(stand.each[1], got := []))
    loop.call_soon(stand.publish)
    await settle()
    assert (outlets[0].taken, outlets[1].taken, got) == (["0", "1 2"], ["2"], [0, 1])
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(early, late)


@pytest.mark.parametrize("count", [1, WAKE_BATCH + 1])
async def test_a_connection_is_written_to_in_the_context_of_no_turn(count: int) -> None:
    """Else what the connection goes on to do is put down to the turn that happened to publish."""
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    contexts: set[str] = set()

    class Looking(Outlet):
        def write(self, data: bytes) -> bool:
            contexts.add(whose.get())
            return super().write(data)

    stand = Stand(count)
    for reader in stand.each:
        reader.outlet = Looking()
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    await settle()
    whose.set("a turn's")
    stand.publish()
    await settle()
    assert contexts == {"nobody's"}
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_what_cannot_be_encoded_wakes_the_reader_and_harms_no_other() -> None:
    class Broken(Outlet):
        def encode(self, _events: list[Event]) -> bytes:  # type: ignore[override]
            raise UnicodeError

    stand = Stand(2)
    stand.each[0].outlet, stand.each[1].outlet = Broken(), (fine := Outlet())
    reading = [asyncio.create_task(reader.read()) for reader in stand.each]
    await settle()
    stand.publish()
    await settle()
    assert [task.done() for task in reading] == [True, False]
    assert fine.taken == ["0"]
    stand.end(StreamEnd.SESSION_CLOSED)
    await asyncio.gather(*reading)


async def test_waking_many_does_not_wait_for_one_that_does_not_look() -> None:
    """G9: a writer that is stuck in the network has events to read, and does not wait for them."""
    stand = Stand(WAKE_BATCH + 1)
    _stuck, *others = stand.each
    reading = [asyncio.create_task(reader.read()) for reader in others]
    await settle()
    stand.publish()
    await settle()
    assert all(task.done() for task in reading)
    before = stand.loop.calls
    await settle()
    assert stand.loop.calls == before


async def test_a_reader_that_never_looks_is_found_by_a_pass_and_its_stream_ends() -> None:
    """G8: without its doing, so that a writer stuck in the network is freed."""
    stand = Stand(1, max_lag=8)
    stand.publish(9)
    await settle()
    assert stand.each[0].overflowed
    stand.publish(9)
    await settle()
    assert stand.overflows == 1


async def test_a_reader_that_never_looks_may_lag_as_far_as_the_bound() -> None:
    """G8."""
    for max_lag, overflowed in ((8, False), (7, True)):
        stand = Stand(1, max_lag=max_lag)
        stand.publish(8)
        await settle()
        assert stand.each[0].overflowed is overflowed


async def test_all_streams_end_or_those_that_are_to_end_when_a_turn_is_superseded() -> None:
    stand = Stand(4)
    stand.end(StreamEnd.TASK_CANCELLED, superseded=True)
    assert [reader.ended for reader in stand.each] == [False, True, False, True]
    stand.end(StreamEnd.SHUTDOWN)
    last = [waiting(reader)[-1] for reader in stand.each]
    assert names(last) == ["close"] * 4
    assert [event.data for event in last] == [
        "Server shutting down",
        "Task cancelled",
        "Server shutting down",
        "Task cancelled",
    ]


@pytest.mark.parametrize("published", [0, 1], ids=["alone", "with an event"])
async def test_many_streams_are_ended_batch_by_batch(published: int) -> None:
    """G9: an end costs much more than an event, and most often comes with one."""
    stand = Stand(WAKE_BATCH + END_BATCH + 1)
    got: list[list[int]] = [[] for _ in stand.each]
    reading = [asyncio.create_task(read_on(*each)) for each in zip(stand.each, got, strict=True)]
    await settle()
    stand.publish(published)
    stand.end(StreamEnd.SHUTDOWN)
    over: list[int] = [0]
    while over[-1] < len(reading):
        await asyncio.sleep(0)
        over.append(sum(task.done() for task in reading))
    assert max(after - before for before, after in pairwise(over)) <= END_BATCH


async def test_streams_that_end_while_events_are_handed_out_end_in_small_batches() -> None:
    """G9: a pass over very many that has begun with large ones goes on with small ones."""
    stand = Stand(4 * WAKE_BATCH)
    for reader in stand.each:
        reader.outlet = Outlet()
    reading = [asyncio.create_task(read_on(reader, [])) for reader in stand.each]
    await settle()
    stand.publish()
    await asyncio.sleep(0)
    stand.end(StreamEnd.SHUTDOWN)
    over: list[int] = [0]
    while over[-1] < len(reading):
        await asyncio.sleep(0)
        over.append(sum(task.done() for task in reading))
    assert max(after - before for before, after in pairwise(over)) <= END_BATCH


async def test_no_reader_gets_what_is_published_after_its_end_however_late_the_pass_comes_to_it() -> None:
    """G7: all streams of a session end behind the same event, those that look by themselves, too."""
    stand = Stand(3 * END_BATCH)
    got: list[list[int]] = [[] for _ in stand.each]
    half = len(got) // 2
    reading = [asyncio.create_task(read_on(stand.each[n], got[n])) for n in range(half)]
    await settle()
    stand.publish(2)
    stand.end(StreamEnd.TASK_CANCELLED)
    for _ in range(4):
        stand.publish()
        await asyncio.sleep(0)
    for reader in stand.each[half:]:
        assert [event.name for event in waiting(reader)] == ["word", "word", "close"]
    await asyncio.gather(*reading)
    assert {tuple(each) for each in got[:half]} == {(0, 1, 0)}


async def test_two_ends_that_one_pass_brings_are_heeded_in_their_order() -> None:
    stand = Stand(2 * END_BATCH)
    stand.publish()
    stand.end(StreamEnd.TASK_CANCELLED, superseded=True)
    stand.publish()
    stand.end(StreamEnd.SHUTDOWN)
    late = Subscription(stand.log, stand.log.head, [], 10, lambda _: None, lambda: None)
    stand.readers.add(late)
    await settle()
    assert [event.data for event in waiting(stand.each[0]) if event.name == "close"] == [
        "Server shutting down"
    ]
    assert [event.data for event in waiting(stand.each[1]) if event.name == "close"] == ["Task cancelled"]
    assert (late.ended, waiting(late)) == (False, []), "what was due before it came does not concern it"


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


@pytest.mark.parametrize("count", [1, FEW + 1])
async def test_an_event_from_the_end_of_a_deep_stack_leaves_no_reader_waiting_for_ever(count: int) -> None:
    def emit(turn: Turn, depth: int) -> None:
        if depth:
            emit(turn, depth - 1)
        else:
            turn.emit("word")

    async def agent(turn: Turn) -> None:
        for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
            with suppress(RecursionError):
                emit(turn, depth)
            await asyncio.sleep(BURST)

    async def read() -> list[int]:
        async with aclosing(registry.events("s1", close_on="cancelled")) as events:
            return [event.n async for event in events if event.epoch is not None]

    async with opened(agent) as registry:
        reading = [asyncio.create_task(read()) for _ in range(count)]
        await settle()
        receipt = await registry.send("s1", "hello")
        await receipt.ended()
        published = [event.n async for event in receipt.events()]
        await settle()
        await registry.close("s1")
        await settle()
        assert [task.done() and task.result() for task in reading] == [published] * count
        assert published == list(range(len(published)))
