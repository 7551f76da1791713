"""What the journal has too much of is forgotten, beside the loop, and nothing that is in memory (G8)."""

import asyncio
from collections.abc import Set as AbstractSet
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.actors.registry.durable.test_loading import Gate, one_turn
from tests.fakes import ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.journal.contract import History, Loaded, Tail
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics.meter import HISTORY_FORGOTTEN
from turnkeeper.actors.model.exceptions import JournalDown, SessionLost, UnknownSession
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.registry.durable.retention import InMemory
from turnkeeper.actors.registry.front import SessionRegistry


def later() -> MemoryJournal:
    """A journal that lists what was active by whatever moment the virtual clock has run on to."""
    return MemoryJournal(clock=lambda: 1e12)


class Pruned(MemoryJournal):
    """A journal that notes each time that it is pruned, and takes as long as a test lets it."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.asked: list[History] = []
        self.in_use: AbstractSet[SessionId] = frozenset()
        self.seconds = seconds
        self.error: Exception | None = None

    async def prune(self, history: History, in_use: AbstractSet[SessionId]) -> int:
        self.asked.append(history)
        self.in_use = in_use
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return await super().prune(history, in_use)


async def kept(registry: SessionRegistry) -> list[str]:
    return [each.session_id for each in (await registry.sessions()).sessions]


async def forgotten(registry: SessionRegistry) -> int:
    return (await registry.counts()).counters.get(HISTORY_FORGOTTEN.name, 0)


async def test_the_sessions_that_were_idle_longest_are_forgotten_and_counted(clock: VirtualClock) -> None:
    async with opened(done, journal=later(), idle_ttl=10, history_sessions=2) as registry:
        for name in ("s1", "s2", "s3", "s4"):
            await one_turn(registry, name)
            await clock.advance(1)
        await clock.advance(60)
        assert await kept(registry) == ["s4", "s3"]
        assert await forgotten(registry) == 2
        with pytest.raises(UnknownSession):
            await registry.session("s1")


async def test_what_the_settings_say_of_the_history_is_what_is_kept(clock: VirtualClock) -> None:
    journal = Pruned()
    settings = {
        "history_age": 1e9,
        "history_sessions": 3,
        "history_bytes": 4,
        "history_bytes_in_all": 5,
    }
    async with opened(done, journal=journal, idle_ttl=10, **settings):
        await clock.advance(10)
    assert journal.asked[0] == History(age=1e9, sessions=3, bytes=4, bytes_in_all=5)


async def test_a_session_that_is_in_memory_is_not_forgotten(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=later(), idle_ttl=10, history_sessions=1) as registry:
        for name in ("s1", "s2", "s3"):
            await registry.send(name, "hello")
            await agent.run()
            await clock.advance(1)
        await clock.advance(60)
        assert sorted(await kept(registry)) == ["s1", "s2", "s3"]


async def test_a_session_that_is_being_read_counts_as_one_in_use() -> None:
    journal = Gate()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
    pruned = Pruned()
    pruned._logs = journal._logs
    gate = asyncio.Event()

    async def load(session_id: SessionId, tail: Tail) -> Loaded | None:
        await gate.wait()
        return await MemoryJournal.load(pruned, session_id, tail)

    pruned.load = load  # type: ignore[method-assign]
    async with opened(done, journal=pruned, idle_ttl=0.1, history_bytes=1) as registry:
        asking = asyncio.create_task(registry.session("s1"))
        while not pruned.asked:
            await asyncio.sleep(0)
        assert "s1" in pruned.in_use
        assert (list(pruned.in_use), len(pruned.in_use)) == (["s1"], 1)
        gate.set()
        assert (await asking).session_id == "s1"


async def test_one_pass_goes_on_at_a_time_and_a_long_one_is_followed_by_a_long_pause(
    clock: VirtualClock,
) -> None:
    journal = Pruned(seconds=50)
    async with opened(done, journal=journal, idle_ttl=10):
        await clock.advance(40)
        assert len(journal.asked) == 1
        await clock.advance(50 + 90 * 50)
        assert len(journal.asked) == 1, "it took long"
        await clock.advance(15 * 50)
        assert len(journal.asked) == 2


@pytest.mark.parametrize("error", [JournalDown("the disk is full"), ValueError("a fault")])
async def test_a_pass_that_fails_is_followed_by_others(clock: VirtualClock, error: Exception) -> None:
    journal = Pruned()
    journal.error = error
    async with opened(done, journal=journal, idle_ttl=10) as registry:
        await clock.advance(10)
        assert journal.asked
        passes, journal.error = len(journal.asked), None
        await one_turn(registry)
        await clock.advance(10)
        assert len(journal.asked) > passes


async def test_a_pass_is_broken_off_by_a_shutdown(clock: VirtualClock) -> None:
    journal = Pruned(seconds=1_000_000)
    async with opened(done, journal=journal, idle_ttl=10):
        await clock.advance(10)
        assert journal.asked
    assert [task for task in asyncio.all_tasks() if "_prune" in repr(task)] == []


async def test_a_session_whose_log_is_gone_fails_and_is_opened_anew() -> None:
    """However it came to that: it does not append to a log that is not there for ever."""
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
        await journal.forget(SessionId("s1"))
        with pytest.raises(SessionLost):
            await registry.send("s1", "again")
        await settle()
        await one_turn(registry)
        assert len((await registry.session("s1")).recent) == 1


def test_what_is_in_memory_is_asked_for_in_each_moment() -> None:
    known: dict[SessionId, Any] = {SessionId("s1"): 1}
    reading: dict[SessionId, Any] = {}
    in_memory = InMemory(known.keys(), reading.keys())
    assert (list(in_memory), len(in_memory), "s1" in in_memory) == (["s1"], 1, True)
    known.clear()
    reading[SessionId("s2")] = 1
    assert (list(in_memory), "s1" in in_memory, "s2" in in_memory) == (["s2"], False, True)
