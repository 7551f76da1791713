"""What memory has dropped is read from the journal, and memory goes on behind it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, VirtualClock, chatty, names, opened, settle, waiting
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics.meter import GAPS, SUBSCRIBER_OVERFLOW, Counter
from turnkeeper.actors.model.exceptions import EventsLost, JournalDown, TooManyStreams, UnknownTurn
from turnkeeper.actors.model.records import Epoch, SessionId
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent

MANY = 37


class Gate(SlowJournal):
    """A journal whose events can be read when a test lets them, one at a time in between."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reads = 0
        self.unreadable = False

    async def read(
        self, session_id: SessionId, after: tuple[Epoch, int] | None
    ) -> AsyncGenerator[Event, None]:
        self.reads += 1
        await self.gate.wait()
        if self.unreadable:
            raise JournalDown("the disk is gone")
        async for event in super().read(session_id, after):
            await asyncio.sleep(0)
            yield event


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events if event.id is not None]


async def all_of(registry: SessionRegistry, after: str = "0") -> tuple[list[Event], int]:
    """All that a reader gets that comes back with its last id when it is ended, and how often it came."""
    found: list[Event] = []
    for came in range(1, 100):
        stream = await registry.subscribe("s1", after=after)
        events = waiting(stream)
        stream.close()
        found += events
        if not stream.overflowed:
            return found, came
        after = ids(events)[-1]
    raise AssertionError("it never comes to an end")


async def counted(registry: SessionRegistry, *counters: Counter) -> list[int]:
    counts = (await registry.counts()).counters
    return [counts.get(counter.name, 0) for counter in counters]


async def told(registry: SessionRegistry, count: int = MANY, turn_id: str = "t1") -> list[str]:
    """The ids of a turn's events, once it has ended."""
    receipt = await registry.send("s1", str(count), turn_id=turn_id)
    await receipt.ended()
    return [f"{receipt.epoch}-{n}" for n in range(count + 2)]


async def of_turn(registry: SessionRegistry, turn_id: str = "t1", after: str | None = None) -> list[Event]:
    return [event async for event in registry.turn_events("s1", turn_id, after=after)]


# -- A session ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_events", [1, 2, 5, 10, 38, 100])
async def test_a_reader_from_the_beginning_gets_everything_once(log_events: int) -> None:
    async with opened(chatty, journal=MemoryJournal(), log_events=log_events) as registry:
        expected = await told(registry) + await told(registry, 3, "t2")
        events, came = await all_of(registry)
        assert ids(events) == expected
        assert "gap" not in names(events)
        assert (came > 2) == (log_events <= 10)
        assert await counted(registry, GAPS, SUBSCRIBER_OVERFLOW) == [0, 0]


async def test_a_reader_goes_on_from_every_id_that_was_ever_given() -> None:
    async with opened(chatty, journal=MemoryJournal(), log_events=10) as registry:
        expected = await told(registry) + await told(registry, 3, "t2")
        for number, seen in enumerate(expected):
            events, _ = await all_of(registry, seen)
            assert ids(events) == expected[number + 1 :]
            assert "gap" not in names(events)


async def test_everything_is_there_after_a_restart() -> None:
    journal = MemoryJournal()
    async with opened(chatty, journal=journal) as registry:
        expected = await told(registry)
    async with opened(chatty, journal=journal, log_events=5) as registry:
        events, _ = await all_of(registry)
        assert ids(events) == expected


async def test_an_id_that_was_never_given_is_a_gap_as_before() -> None:
    async with opened(chatty, journal=MemoryJournal(), log_events=10) as registry:
        first, second = await told(registry), await told(registry, 3, "t2")
        epoch = int(first[0].split("-")[0])
        for never in (f"{epoch}-9999", f"{epoch - 1}-0", "1-1", f"{second[0].split('-')[0]}-99"):
            stream = await registry.subscribe("s1", after=never)
            assert names(waiting(stream))[:2] == ["gap", "snapshot"], never
            stream.close()
        assert await counted(registry, GAPS) == [4]


async def test_without_a_journal_what_was_dropped_is_a_gap() -> None:
    async with opened(chatty, log_events=10) as registry:
        expected = await told(registry)
        stream = await registry.subscribe("s1", after=expected[3])
        assert names(waiting(stream))[:2] == ["gap", "snapshot"]
        stream.close()


async def test_memory_is_trimmed_while_the_journal_is_read_and_nothing_is_left_out(
    clock: VirtualClock,
) -> None:
    journal, agent = Gate(), ScriptedAgent()
    async with opened(agent, journal=journal, log_events=10) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        for n in range(20):
            run.turn.emit("word", n)
        await clock.advance(1.0)
        journal.gate.clear()
        asked = asyncio.create_task(registry.subscribe("s1", after="0"))
        await settle()
        for n in range(20, 40):
            run.turn.emit("word", n)
        await clock.advance(1.0)
        journal.gate.set()
        stream = await asked
        first = waiting(stream)
        stream.close()
        assert stream.overflowed
        rest, _ = await all_of(registry, ids(first)[-1])
        assert [event.n for event in (*first, *rest)] == list(range(41))


async def test_what_memory_has_dropped_and_the_journal_has_not_yet_is_waited_for(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, log_events=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        for n in range(20):
            run.turn.emit("word", n)
        stream = asyncio.create_task(registry.subscribe("s1", after=f"{receipt.epoch}-0"))
        of_turn = asyncio.create_task(
            anext(registry.turn_events("s1", receipt.turn_id, after=f"{receipt.epoch}-4"))
        )
        await clock.advance(5.0)
        assert not stream.done()
        assert not of_turn.done()
        journal.let_go()
        await clock.advance(1.0)
        events = waiting(await stream)
        (await stream).close()
        assert [event.n for event in events] == list(range(1, 21))[: len(events)]
        assert (await of_turn).n == 5


async def test_a_reader_whose_next_event_cannot_be_written_is_refused(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, log_events=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        for hold in (False, True):
            journal.is_down = not hold
            if hold:
                journal.hold()
            for n in range(20):
                run.turn.emit("word", n)
            with pytest.raises(JournalDown):
                await registry.subscribe("s1", after=f"{receipt.epoch}-0")
        journal.is_down = False
        journal.let_go()
        assert (await registry.counts()).subscribers == 0


async def test_a_stream_of_what_cannot_be_read_is_refused() -> None:
    journal = Gate()
    async with opened(chatty, journal=journal, log_events=10, max_streams=1) as registry:
        await told(registry)
        journal.unreadable = True
        with pytest.raises(JournalDown):
            await registry.subscribe("s1", after="0", user="local")
        with pytest.raises(JournalDown):
            await of_turn(registry)
        journal.unreadable = False
        assert (await registry.counts()).subscribers == 0


# -- Quotas, and askers that go away ------------------------------------------------------------------


async def test_a_reader_that_waits_for_the_journal_counts_as_a_stream_and_leaves_nothing_behind() -> None:
    journal = Gate()
    async with opened(chatty, journal=journal, log_events=10, max_streams=1) as registry:
        receipt = await registry.send("s1", str(MANY), user="ada")
        await receipt.ended()
        journal.gate.clear()
        asked = asyncio.create_task(registry.subscribe("s1", after="0", user="ada"))
        await settle()
        with pytest.raises(TooManyStreams):
            await registry.subscribe("s1", user="ada")
        asked.cancel()
        journal.gate.set()
        await settle(300)
        assert (await registry.counts()).subscribers == 0
        stream = await registry.subscribe("s1", after="0", user="ada")
        assert (await registry.counts()).subscribers == 1
        stream.close()


async def test_a_session_does_not_go_to_sleep_under_a_reader_that_waits(clock: VirtualClock) -> None:
    journal = Gate()
    async with opened(chatty, journal=journal, log_events=10, idle_ttl=10) as registry:
        expected = await told(registry)
        journal.gate.clear()
        asked = asyncio.create_task(registry.subscribe("s1", after="0"))
        await clock.advance(100)
        journal.gate.set()
        stream = await asked
        assert ids(waiting(stream)) == expected[:10]
        stream.close()


async def test_a_reader_that_waits_when_the_registry_stops_is_refused() -> None:
    journal = Gate()
    async with opened(chatty, journal=journal, log_events=10) as registry:
        await told(registry)
        journal.gate.clear()
        asked = asyncio.create_task(registry.subscribe("s1", after="0"))
        await settle()
    journal.gate.set()
    with pytest.raises(Exception, match="shut"):
        await asked


# -- A turn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_events", [1, 5, 10, 38, 100])
async def test_a_turn_is_followed_from_its_beginning_and_from_each_of_its_ids(log_events: int) -> None:
    async with opened(chatty, journal=MemoryJournal(), log_events=log_events, kept_turns=1) as registry:
        expected = await told(registry)
        others = [await told(registry, 3, f"t{number}") for number in (2, 3)]
        assert ids(await of_turn(registry)) == expected
        assert ids(await of_turn(registry, "t2")) == others[0]
        for number, seen in enumerate(expected):
            assert ids(await of_turn(registry, after=seen)) == expected[number + 1 :]
        assert ids(await of_turn(registry, after=others[0][1])) == []
        assert ids(await of_turn(registry, "t2", after=expected[5])) == others[0]
        assert await counted(registry, GAPS, SUBSCRIBER_OVERFLOW) == [0, 0]


async def test_a_turn_that_goes_on_is_followed_from_what_was_dropped_to_its_end(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=MemoryJournal(), log_events=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        for n in range(25):
            run.turn.emit("word", n)
        following = asyncio.create_task(of_turn(registry, receipt.turn_id))
        for n in range(25, 50):
            run.turn.emit("word", n)
            await clock.advance(0.1)
        run.finish()
        assert [event.n for event in await following] == list(range(52))


async def test_a_turn_that_never_started_and_is_not_remembered_is_followed_to_its_end() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, journal=MemoryJournal(), kept_turns=1) as registry:
        await registry.send("s1", "1")
        run = await agent.run()
        await registry.send("s1", "2", turn_id="t2", wait=False)
        await registry.send("s1", "3", turn_id="t3", wait=False)
        run.finish()
        (await agent.run()).finish()
        await settle()
        await registry.send("s1", "4", turn_id="t4")
        await registry.cancel("s1")
        assert names(await of_turn(registry, "t2")) == ["turn.cancelled"]
        with pytest.raises(UnknownTurn):
            await of_turn(registry, "unknown")


async def test_an_id_that_a_turn_never_had_is_lost_at_once(clock: VirtualClock) -> None:
    async with opened(chatty, journal=MemoryJournal(), log_events=10) as registry:
        expected = await told(registry)
        epoch = expected[0].split("-")[0]
        for number in range(2):
            with pytest.raises(EventsLost):
                await of_turn(registry, after=f"{epoch}-9999")
            assert await counted(registry, GAPS) == [number + 1]
            await told(registry, MANY, f"later{number}")
        assert clock.elapsed < 1.0


async def test_all_attempts_of_a_turn_are_followed_past_what_memory_keeps(clock: VirtualClock) -> None:
    """It is cut off by a kill twice, and its third attempt ends."""
    journal: MemoryJournal = SlowJournal()
    for attempt in range(3):
        scripted = ScriptedAgent()
        agent = Agent(scripted, on_restart="rerun")
        async with opened(agent, journal=journal, log_events=5) as registry:
            if attempt == 0:
                await registry.send("s1", "hello", turn_id="t1")
            await clock.advance(60.0)
            run = await scripted.run()
            for n in range(12):
                run.turn.emit("word", n)
            await clock.advance(1.0)
            if attempt < 2:
                assert isinstance(journal, SlowJournal)
                run.turn.emit("lost")
                left = journal.after_a_kill()
            else:
                run.finish()
                await settle()
                events = await of_turn(registry)
                everything, _ = await all_of(registry)
                epoch = everything[0].epoch
                assert (everything[12].n, everything[13].name) == (12, "turn.interrupted")
                assert ids(await of_turn(registry, after=f"{epoch}-13")) == ids(everything[13:])
                assert ids((await all_of(registry, f"{epoch}-13"))[0]) == ids(everything[13:])
            scripted.release()
            await settle()
        if attempt < 2:
            slow = SlowJournal()
            slow._logs = left._logs
            journal = slow
    assert names(events) == 2 * ["turn.started", *12 * ["word"], "turn.interrupted"] + [
        "turn.started",
        *12 * ["word"],
        "turn.completed",
    ]
    assert ids(events) == ids(everything)
