"""Sessions that are not in memory are read from the journal when they are asked for."""

import asyncio
import logging
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.journal.contract import Append, Loaded, Tail
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    JournalDown,
    SessionIdTaken,
    SessionLost,
    ShuttingDown,
    TooManySessions,
    UnknownSession,
)
from turnkeeper.actors.model.messages import Close, Recover, Send, TurnEnd
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import SessionState, TurnStatus
from turnkeeper.actors.registry.durable import journaled
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime import AsyncioFuture


class Gate(MemoryJournal):
    """A journal that reads a session when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.reads = 0
        self.error: Exception | None = None

    async def load(self, session_id: SessionId, tail: Tail) -> Loaded | None:
        self.reads += 1
        await self.open_gate.wait()
        if self.error is not None:
            raise self.error
        return await super().load(session_id, tail)


async def said(registry: SessionRegistry, session: str = "s1", **who: Any) -> list[Any]:
    """What the user has said."""
    messages = (await registry.messages(session, **who)).messages
    return [message["content"] for message in messages if message["role"] == "user"]


async def one_turn(registry: SessionRegistry, session: str = "s1", text: str = "hello", **who: Any) -> str:
    receipt = await registry.send(session, text, **who)
    await receipt.ended()
    return receipt.turn_id


def count_reads(journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch) -> list[SessionId]:
    """The sessions that are read from now on."""
    reads, load = list[SessionId](), journal.load

    async def counted(session_id: SessionId, tail: Tail) -> Loaded | None:
        reads.append(session_id)
        assert len(reads) < 100, "it is read without end"
        return await load(session_id, tail)

    monkeypatch.setattr(journal, "load", counted)
    return reads


async def test_messages_about_a_session_wait_until_it_is_read_and_keep_their_order() -> None:
    journal = Gate()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
    async with opened(done, journal=journal) as registry:
        journal.open_gate.clear()
        journal.reads = 0
        asked = [asyncio.create_task(registry.session("s1")) for _ in range(3)]
        sending = asyncio.create_task(registry.send("s1", "again"))
        await settle()
        assert (journal.reads, sending.done()) == (1, False)
        journal.open_gate.set()
        views = await asyncio.gather(*asked)
        assert [len(view.recent) for view in views] == [1, 1, 1]
        await (await sending).ended()
        assert await said(registry) == ["hello", "again"]


async def test_a_session_that_sleeps_is_in_the_journal_and_nowhere_else(clock: VirtualClock) -> None:
    journal = MemoryJournal()
    async with opened(done, journal=journal, idle_ttl=10) as registry:
        turn_id = await one_turn(registry)
        await clock.advance(60)
        assert not registry.directory.entries
        assert registry.directory.ledger.in_all.kept == 0
        assert len(registry.directory.ledger) == 0
        assert (await registry.turn("s1", turn_id)).status is TurnStatus.COMPLETED
        await one_turn(registry, text="again")
        assert await said(registry) == ["hello", "again"]


async def test_what_only_looks_at_a_session_does_not_wake_it_and_leaves_it_in_memory_for_a_while(
    clock: VirtualClock,
) -> None:
    async with opened(done, journal=MemoryJournal(), idle_ttl=10) as registry:
        await one_turn(registry)
        await clock.advance(60)
        assert await said(registry) == ["hello"]
        assert registry.directory.entries[SessionId("s1")].actor is None
        await clock.advance(120)
        assert not registry.directory.entries


async def test_a_session_that_was_closed_is_forgotten_for_good(clock: VirtualClock) -> None:
    journal = MemoryJournal()
    async with opened(done, journal=journal, idle_ttl=10) as registry:
        await one_turn(registry, user="ada")
        await registry.close("s1", user="ada")
        await clock.advance(120)
        await one_turn(registry, user="eve")
        assert await said(registry, user="eve") == ["hello"]


async def test_a_session_that_is_freed_is_forgotten_at_once() -> None:
    async with opened(done, journal=MemoryJournal()) as registry:
        await one_turn(registry, user="ada")
        await registry.close("s1", free=True)
        await one_turn(registry, text="mine", user="eve")
        assert await said(registry, user="eve") == ["mine"]


class Frees(AsyncioFuture[TurnEnd]):
    """Where the end of a turn goes: its session is freed then."""

    def __init__(self, registry: SessionRegistry, session: str) -> None:
        self._registry, self._session = registry, session

    def set(self, value: TurnEnd | None = None) -> None:
        self._registry.ref.tell_if_alive(Close(self._session, free=True))


class Slow(MemoryJournal):
    """A journal that takes its time to write and to forget, and can do nothing once it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self._writing = set[asyncio.Task[None]]()

    def append(self, append: Append) -> None:
        task = asyncio.create_task(self._write(append))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, append: Append) -> None:
        await settle()
        super().append(append)

    async def forget(self, session_id: SessionId) -> None:
        await settle()
        if self.closed:
            raise JournalDown("the journal is closed")
        await super().forget(session_id)

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.mark.parametrize("drains", [True, False])
async def test_a_session_that_is_freed_when_a_shutdown_ends_its_turn_is_forgotten_before_that_is_over(
    drains: bool, caplog: pytest.LogCaptureFixture
) -> None:
    journal, agent = Slow(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        for session in ("s1", "s2", "s3"):
            freed = None if session == "s3" else Frees(registry, session)
            await registry.ask(Send(session, "hello", ended_to=freed))
            await agent.run()
        if drains:
            await registry.drain()
        await registry.stop()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    left = await journal.sessions(state=SessionState.CLOSED), await journal.sessions()
    assert [each.session_id for page in left for each in page.sessions] == ["s3"]


@pytest.mark.parametrize("drains", [True, False])
async def test_what_cannot_be_forgotten_keeps_no_shutdown_beyond_its_deadline(
    clock: VirtualClock, drains: bool
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal, shutdown_deadline=5) as registry:
        await one_turn(registry)
        if drains:
            await registry.drain()
            await clock.advance(60)
        journal.hold()
        freeing = asyncio.create_task(registry.close("s1", free=True))
        await settle()
        before = clock.elapsed
        await registry.stop()
        assert clock.elapsed - before == pytest.approx(5)
        with pytest.raises(ShuttingDown):
            await freeing


async def test_a_session_belongs_to_its_owner_after_a_restart() -> None:
    journal = MemoryJournal()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry, user="ada")
    async with opened(done, journal=journal) as registry:
        with pytest.raises(SessionIdTaken):
            await registry.send("s1", "mine", user="eve")
        with pytest.raises(UnknownSession):
            await registry.messages("s1", user="eve")


async def test_a_journal_that_cannot_be_read_is_said_and_the_next_message_tries_again() -> None:
    journal = Gate()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
    async with opened(done, journal=journal) as registry:
        journal.error = OSError("no such device")
        with pytest.raises(JournalDown):
            await registry.session("s1")
        journal.error = None
        assert len((await registry.session("s1")).recent) == 1


async def test_what_is_no_id_is_refused_as_anywhere() -> None:
    async with opened(done, journal=MemoryJournal()) as registry:
        with pytest.raises(InvalidRequest):
            await registry.session("no id")


async def test_sessions_that_are_read_count_as_those_in_memory_and_make_way_for_each_other() -> None:
    journal, agent = MemoryJournal(), ScriptedAgent()
    async with opened(done, journal=journal) as registry:
        for number in range(3):
            await one_turn(registry, f"s{number}", user="ada")
    async with opened(agent, journal=journal, max_sessions=2) as registry:
        for number in range(3):
            assert await said(registry, f"s{number}", user="ada") == ["hello"]
            assert registry.directory.ledger.number_of_sessions("ada") <= 2
        for number in range(2):
            await registry.send(f"s{number}", "hello", user="ada")
        with pytest.raises(TooManySessions):
            await registry.send("s2", "hello", user="ada")


async def test_a_session_whose_actor_failed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
        step = journaled.step

        def fail(*args: Any) -> Any:
            monkeypatch.setattr(journaled, "step", step)
            raise ZeroDivisionError("a bug of ours")

        monkeypatch.setattr(journaled, "step", fail)
        with pytest.raises(SessionLost):
            await registry.send("s1", "lost")
        await one_turn(registry, text="again")
        assert await said(registry) == ["hello", "again"]


async def test_a_session_that_fails_each_time_it_is_read_is_read_again_after_a_while_only(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    """G10: those who ask for it are answered, and the others have the loop to themselves."""
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        log = journal.after_a_kill()
    reads = count_reads(log, monkeypatch)
    step = journaled.step

    def fail(state: Any, message: Any, *args: Any) -> Any:
        if isinstance(message, Recover):
            raise ZeroDivisionError("a bug of ours")
        return step(state, message, *args)

    with monkeypatch.context() as patched:
        patched.setattr(journaled, "step", fail)
        async with opened(agent, journal=log) as registry:
            await settle()
            assert len(reads) == 2
            with pytest.raises(SessionLost):
                await registry.turn("s1", receipt.turn_id)
            await clock.advance(60)
            assert 5 < len(reads) < 20
            patched.undo()
            await clock.advance(10)
            assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.INTERRUPTED


async def test_titles_and_last_activity_are_there_after_a_restart() -> None:
    journal = MemoryJournal()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry, text="How are you?")
        await one_turn(registry, "s2", text="Named")
        await registry.set_title("s2", "A name")
        before = await registry.sessions()
    async with opened(done, journal=journal) as registry:
        assert await registry.sessions() == before
        assert [each.title for each in before.sessions] == ["A name", "How are you?"]
        assert [each.title for each in (await registry.sessions(q="name")).sessions] == ["A name"]


async def test_a_shutdown_answers_those_who_wait_for_a_session_to_be_read() -> None:
    journal = Gate()
    async with opened(done, journal=journal) as registry:
        journal.open_gate.clear()
        asking = asyncio.create_task(registry.session("s1"))
        await settle()
    with pytest.raises(Exception, match="shutting down"):
        await asking


async def test_what_asks_about_a_session_that_was_cut_off_waits_until_that_is_seen_to() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        log = journal.after_a_kill()
    async with opened(agent, journal=log) as registry:
        log.hold()
        asking = asyncio.create_task(registry.turn("s1", receipt.turn_id))
        await settle()
        assert not asking.done()
        log.let_go()
        assert (await asking).status is TurnStatus.INTERRUPTED


async def test_a_title_given_while_a_session_is_read_again_is_shown_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await one_turn(registry)
        step = journaled.step

        def fail(*args: Any) -> Any:
            monkeypatch.setattr(journaled, "step", step)
            raise ZeroDivisionError("a bug of ours")

        monkeypatch.setattr(journaled, "step", fail)
        sending = asyncio.create_task(registry.send("s1", "lost"))
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        with pytest.raises(SessionLost):
            await sending
        await naming
        await settle()
        entry = registry.directory.entries[SessionId("s1")]
        assert entry.title == journal._logs[SessionId("s1")].title == "A name"
