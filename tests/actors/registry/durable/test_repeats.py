"""A send is a repeated one as long as the log has its turn, also when memory has let go of that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.actors.registry.durable.test_in_between import crash
from tests.fakes import ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.model.exceptions import (
    IdempotencyKeyReused,
    JournalDown,
    SessionLost,
    ShuttingDown,
    TooManyTurns,
    TurnIdReused,
)
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry


@pytest.fixture
def journal() -> SlowJournal:
    return SlowJournal()


@asynccontextmanager
async def forgetful(
    journal: SlowJournal, agent: Any = done, **settings: Any
) -> AsyncIterator[SessionRegistry]:
    """A registry that remembers one turn of each session. Of Ada's s1 it has let go of the turn t1."""
    async with opened(done, journal=journal, kept_turns=1) as registry:
        for message, turn_id in (("first", "t1"), ("second", "t2")):
            await (await registry.send("s1", message, user="ada", turn_id=turn_id)).ended()
    journal.asked.clear()
    async with opened(agent, journal=journal, kept_turns=1, **settings) as registry:
        yield registry


# -- What is known ----------------------------------------------------------------------------------


async def test_a_turn_that_only_the_log_has_is_known(journal: SlowJournal) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        again = await registry.send("s1", "first", user="ada", turn_id="t1")
        assert (again.repeated, again.status, again.turn_id) == (True, TurnStatus.COMPLETED, "t1")
        assert await again.result() == "done: first"
        assert [event.name async for event in again.events()] == ["turn.started", "turn.completed"]
        with pytest.raises(TurnIdReused):
            await registry.send("s1", "something else", user="ada", turn_id="t1")
        assert len((await registry.turns("s1", user="ada")).turns) == 2
        assert not agent.runs


async def test_a_key_stands_for_its_turn_as_long_as_the_log_has_that(
    journal: SlowJournal, clock: VirtualClock
) -> None:
    """Let go of by age, by number, and with the whole session, in this process and in the next one."""
    agent = ScriptedAgent()
    agent.release()
    settings: dict[str, Any] = {"kept_turns": 3, "turn_retention": 60.0, "idle_ttl": 300.0}
    async with opened(agent, journal=journal, **settings) as registry:
        first = await registry.send("s1", "book a table", user="ada", key="k1")
        await first.ended()
        await clock.advance(61)
        for text in ("a", "b"):
            await (await registry.send("s1", text, user="ada")).ended()
        assert len((await registry.session("s1", user="ada")).recent) == 2
        assert (await registry.send("s1", "book a table", user="ada", key="k1")).repeated
        for text in ("c", "d"):
            await (await registry.send("s1", text, user="ada")).ended()
        assert (await registry.send("s1", "book a table", user="ada", key="k1")).repeated
        await clock.advance(900)
        assert "s1" not in registry.directory.entries
        again = await registry.send("s1", "book a table", user="ada", key="k1")
        assert (again.repeated, again.turn_id) == (True, first.turn_id)
    async with opened(agent, journal=journal, **settings) as registry:
        assert (await registry.send("s1", "book a table", user="ada", key="k1")).repeated
        with pytest.raises(IdempotencyKeyReused):
            await registry.send("s1", "book two tables", user="ada", key="k1")
    assert len(agent.runs) == 5


async def test_a_turn_that_never_started_is_known_as_well(journal: SlowJournal) -> None:
    async with forgetful(journal) as registry:
        await registry.cancel("s1", "t3", user="ada")
        await registry.send("s1", "third", user="ada", turn_id="t3")
        await (await registry.send("s1", "fourth", user="ada")).ended()
        again = await registry.send("s1", "third", user="ada", turn_id="t3")
        assert (again.repeated, again.status) == (True, TurnStatus.CANCELLED)


async def test_it_is_answered_whatever_else_is_full(journal: SlowJournal) -> None:
    async with forgetful(journal, ScriptedAgent(), max_in_flight=1) as registry:
        await registry.send("s2", "hello", user="ada")
        with pytest.raises(TooManyTurns):
            await registry.send("s1", "third", user="ada", turn_id="t3")
        assert (await registry.send("s1", "first", user="ada", turn_id="t1", if_match="t9")).repeated


async def test_a_closed_session_still_says_which_turn_it_was(journal: SlowJournal) -> None:
    async with forgetful(journal) as registry:
        await registry.close("s1", user="ada")
        assert (await registry.send("s1", "first", user="ada", turn_id="t1")).repeated


# -- When the journal is asked ----------------------------------------------------------------------


async def test_the_journal_is_asked_only_for_what_memory_may_have_let_go_of(journal: SlowJournal) -> None:
    async with opened(done, journal=journal, kept_turns=2) as registry:
        for turn_id in ("t1", "t2"):
            await (await registry.send("s1", "hello", turn_id=turn_id)).ended()
            assert (await registry.send("s1", "hello", turn_id=turn_id)).repeated
        assert journal.asked == []
        await (await registry.send("s1", "hello", turn_id="t3")).ended()
        await (await registry.send("s1", "hello")).ended()
        assert (await registry.send("s1", "hello", turn_id="t3")).repeated
        assert journal.asked == ["t3"]


async def test_in_a_session_that_was_read_it_is_asked_for_each_id_that_is_not_known(
    journal: SlowJournal,
) -> None:
    async with forgetful(journal) as registry:
        assert (await registry.send("s1", "second", user="ada", turn_id="t2")).repeated
        await (await registry.send("s1", "hello", user="ada")).ended()
        assert journal.asked == []
        await registry.send("s1", "hello", user="ada", turn_id="t3")
        assert journal.asked == ["t3"]


async def test_two_tries_that_come_together_start_one_turn(journal: SlowJournal) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        tries = [registry.send("s1", "third", user="ada", turn_id="t3", wait=False) for _ in range(3)]
        sent = await asyncio.gather(*tries)
        assert [receipt.repeated for receipt in sent] == [False, True, True]
        await settle()
        assert len(agent.runs) == 1
        assert journal.asked == ["t3"]


async def test_two_retries_that_come_together_start_nothing(journal: SlowJournal) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        tries = [registry.send("s1", "first", user="ada", turn_id="t1") for _ in range(2)]
        assert [receipt.repeated for receipt in await asyncio.gather(*tries)] == [True, True]
        assert not agent.runs


# -- While it has not answered ----------------------------------------------------------------------


async def test_what_is_sent_behind_it_stays_behind_it(journal: SlowJournal) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        await registry.session("s1", user="ada")
        journal.hold_answers()
        third = asyncio.create_task(registry.send("s1", "third", user="ada", turn_id="t3"))
        await settle()
        fourth = asyncio.create_task(registry.send("s1", "fourth", user="ada"))
        await settle()
        assert not agent.runs
        journal.let_answer()
        assert (await (await third).ended()).superseded_by == (await fourth).turn_id


async def test_a_cancel_reaches_the_coroutine_meanwhile(journal: SlowJournal) -> None:
    """G5: as while an append is on its way."""
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        third = await registry.send("s1", "third", user="ada")
        run = await agent.run()
        journal.hold_answers()
        retrying = asyncio.create_task(registry.send("s1", "first", user="ada", turn_id="t1"))
        await settle()
        cancelling = asyncio.create_task(registry.cancel("s1", third.turn_id, user="ada"))
        await run.cancelled.wait()
        await settle()
        assert not cancelling.done()
        journal.let_answer()
        assert (await cancelling).verdict is Verdict.CANCELLED
        assert (await retrying).repeated
        assert run.cancels == 1


async def test_a_cancel_that_came_before_its_send_counts_however_long_the_answer_takes(
    journal: SlowJournal, clock: VirtualClock
) -> None:
    """G4: the send has come in time, whenever it is decided."""
    agent = ScriptedAgent()
    async with forgetful(journal, agent, early_cancel_ttl=30) as registry:
        await registry.cancel("s1", "t3", user="ada")
        await clock.advance(29)
        journal.hold_answers()
        sending = asyncio.create_task(registry.send("s1", "third", user="ada", turn_id="t3"))
        await clock.advance(60)
        journal.let_answer()
        assert (await (await sending).ended()).status is TurnStatus.CANCELLED
        assert not agent.runs


async def test_a_session_does_not_go_to_sleep_meanwhile(journal: SlowJournal, clock: VirtualClock) -> None:
    async with forgetful(journal, idle_ttl=10) as registry:
        await registry.session("s1", user="ada")
        journal.hold_answers()
        sending = asyncio.create_task(registry.send("s1", "third", user="ada", turn_id="t3"))
        await clock.advance(100)
        await registry.cleanup()
        assert "s1" in registry.directory.entries
        journal.let_answer()
        assert (await (await sending).ended()).status is TurnStatus.COMPLETED


async def test_the_end_of_a_turn_is_decided_when_the_answer_is_there(journal: SlowJournal) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        third = await registry.send("s1", "third", user="ada")
        run = await agent.run()
        journal.hold_answers()
        fourth = asyncio.create_task(registry.send("s1", "fourth", user="ada", turn_id="t4"))
        await settle()
        run.turn.emit("delta", {"text": "still here"})
        run.finish("done")
        await settle()
        journal.let_answer()
        assert await third.result() == "done"
        assert (await fourth).status is TurnStatus.RUNNING


# -- When it cannot answer --------------------------------------------------------------------------


async def test_a_send_is_refused_of_which_the_journal_cannot_say_whether_it_is_a_repeated_one(
    journal: SlowJournal,
) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        await registry.session("s1", user="ada")
        journal.hold_answers()
        retrying = asyncio.create_task(registry.send("s1", "first", user="ada", turn_id="t1"))
        await settle()
        behind = asyncio.create_task(registry.send("s1", "behind", user="ada"))
        await settle()
        journal.is_gone = True
        journal.let_answer()
        with pytest.raises(JournalDown):
            await retrying
        assert (await behind).status is TurnStatus.RUNNING
        assert [run.turn.text for run in agent.runs] == ["behind"]
        journal.is_gone = False
        assert (await registry.send("s1", "first", user="ada", turn_id="t1")).repeated


async def test_what_goes_wrong_inside_is_logged_and_refused_as_well(
    journal: SlowJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: object) -> None:
        raise ValueError("oh no")

    async with forgetful(journal) as registry:
        monkeypatch.setattr(journal, "turn", breaks)
        with pytest.raises(JournalDown, match="could not be read"):
            await registry.send("s1", "first", user="ada", turn_id="t1")
        assert "oh no" in caplog.text


async def test_a_new_turn_that_the_disk_does_not_take_is_refused_and_does_not_run(
    journal: SlowJournal,
) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        journal.is_down = True
        with pytest.raises(JournalDown):
            await registry.send("s1", "third", user="ada", turn_id="t3")
        journal.is_down = False
        assert not (await registry.send("s1", "third", user="ada", turn_id="t3")).repeated
        assert len(agent.runs) == 1


async def test_what_the_disk_does_not_take_is_not_tried_again_and_again_meanwhile(
    journal: SlowJournal, clock: VirtualClock
) -> None:
    agent = ScriptedAgent()
    async with forgetful(journal, agent) as registry:
        third = await registry.send("s1", "third", user="ada")
        run = await agent.run()
        journal.is_down = True
        run.finish("done")
        await settle()
        journal.hold_answers()
        fourth = asyncio.create_task(registry.send("s1", "fourth", user="ada", turn_id="t4"))
        before = len(journal.appends)
        await clock.advance(60)
        assert len(journal.appends) - before < 20
        assert journal.asked == ["t4"]
        journal.is_down = False
        journal.let_answer()
        assert (await fourth).status is TurnStatus.RUNNING
        assert await third.result() == "done"


async def test_a_shutdown_does_not_wait_for_an_answer_that_does_not_come(
    journal: SlowJournal, clock: VirtualClock
) -> None:
    """G10."""
    async with forgetful(journal, shutdown_deadline=2) as registry:
        await registry.session("s1", user="ada")
        journal.hold_answers()
        sends = [
            asyncio.create_task(registry.send("s1", text, user="ada", turn_id=text)) for text in ("a", "b")
        ]
        await settle()
        before = clock.time()
        await registry.stop()
        assert clock.time() - before <= 2
        for sending in sends:
            with pytest.raises(ShuttingDown):
                await sending


async def test_a_send_that_waits_when_its_session_fails_is_refused_and_its_retry_is_known(
    journal: SlowJournal,
) -> None:
    async with forgetful(journal) as registry:
        await registry.session("s1", user="ada")
        journal.hold_answers()
        retrying = asyncio.create_task(registry.send("s1", "first", user="ada", turn_id="t1"))
        await settle()
        crash(registry)
        with pytest.raises(SessionLost):
            await retrying
        journal.let_answer()
        assert (await registry.send("s1", "first", user="ada", turn_id="t1")).repeated
