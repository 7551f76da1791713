"""What happens between a decision and its landing: each of these was wrong once, or could be."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.entries import CancelAsked, EarlyCancel
from turnkeeper.actors.model.exceptions import (
    JournalDown,
    SessionLost,
    TooManySessions,
    UnknownSession,
    UnknownTurn,
)
from turnkeeper.actors.model.messages import AwaitTurn, SetTitle, Subscribe
from turnkeeper.actors.model.records import Asker, Reason, SessionId, TurnId
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus
from turnkeeper.actors.registry.durable import history
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn

STOP = Reason(CancelCode.USER_REQUEST, "ada")


def crash(registry: SessionRegistry, session: str = "s1") -> None:
    """Let the session's actor fail at its next message."""
    actor = registry.directory.entries[SessionId(session)].actor
    actor.tell(Subscribe(session, cursor=5))  # type: ignore[arg-type]


# -- Refused sends ----------------------------------------------------------------------------------


async def test_a_first_send_that_was_refused_leaves_no_turn_no_title_and_in_the_end_no_session(
    clock: VirtualClock,
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal, idle_ttl=10) as registry:
        journal.is_down = True
        with pytest.raises(JournalDown):
            await registry.send("s1", "hello")
        assert registry.directory.ledger.in_all.turns == 0
        assert registry.directory.entries[SessionId("s1")].title is None
        await clock.advance(60)
        assert not registry.directory.entries


async def test_a_title_that_was_given_meanwhile_is_that_of_the_session_all_the_same(
    clock: VirtualClock,
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        journal.hold()
        sending = asyncio.create_task(registry.send("s1", "hello"))
        await settle()
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        await settle()
        journal.is_down = True
        journal.let_go()
        for each in (sending, naming):
            with pytest.raises(JournalDown):
                await each
        assert registry.directory.entries[SessionId("s1")].title == "A name"
        journal.is_down = False
        await clock.advance(1)
    async with opened(done, journal=journal) as registry:
        await registry.session("s1")
        assert registry.directory.entries[SessionId("s1")].title == "A name"


async def test_a_title_that_was_given_when_the_first_send_was_refused_is_that_of_the_session(
    clock: VirtualClock,
) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        journal.hold()
        sending = asyncio.create_task(registry.send("s1", "hello", user="ada"))
        await settle()
        journal.is_down = True
        # In one pass: the registry hears of the title, then the session of the refusal, then of the title.
        naming = registry.ref.ask(SetTitle("s1", "A name", Asker("ada")), block=False)
        journal.let_go()
        for each in (sending, naming):
            with pytest.raises(JournalDown):
                await each
        journal.is_down = False
        await clock.advance(10)
        assert registry.directory.entries[SessionId("s1")].title == "A name"
        assert journal._logs[SessionId("s1")].title == "A name"


async def test_a_session_is_named_after_the_first_send_that_was_written() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        journal.is_down = True
        with pytest.raises(JournalDown):
            await registry.send("s1", "refused")
        journal.is_down = False
        await (await registry.send("s1", "written")).ended()
    async with opened(done, journal=journal) as registry:
        assert [each.title for each in (await registry.sessions()).sessions] == ["written"]


async def test_a_title_made_of_a_later_message_is_written() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await (await registry.send("s1", {"no": "text"})).ended()
        await (await registry.send("s1", "a text")).ended()
    async with opened(done, journal=journal) as registry:
        assert [each.title for each in (await registry.sessions()).sessions] == ["a text"]


# -- Decided anew -----------------------------------------------------------------------------------


async def test_a_turn_that_failed_for_what_it_left_fails_also_when_its_end_is_decided_anew(
    clock: VirtualClock,
) -> None:
    journal = SlowJournal()
    go_on = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await go_on.wait()
        turn.context.messages.append({"role": "assistant", "content": object()})

    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        journal.is_down = True
        go_on.set()
        await clock.advance(1)
        journal.is_down = False
        record = await receipt.ended()
        assert record.error is not None
        assert record.error.code == "message_not_json"


async def test_a_title_goes_along_when_another_process_was_first_and_nothing_is_left_to_decide() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await (await registry.send("s1", "hello")).ended()
        journal.hold()
        cancels = [asyncio.create_task(registry.cancel("s1", turn)) for turn in ("t8", "t9")]
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        await settle()
        journal.intrude("s1", EarlyCancel(TurnId("t7"), STOP, 1.0))
        journal.let_go()
        assert (await naming).title == "A name"
        await asyncio.gather(*cancels)


# -- Another process --------------------------------------------------------------------------------


async def test_events_that_land_behind_another_processs_cancel_do_not_hide_it(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.intrude("s1", CancelAsked(receipt.turn_id, STOP, 1.0))
        run.turn.emit("delta", {"text": "hi"})
        await clock.advance(1)
        assert run.cancels == 0
        await registry.cancel("s1", "t9")
        await run.cancelled.wait()
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


# -- The end of a turn ------------------------------------------------------------------------------


async def test_a_turn_that_ends_while_it_is_being_given_up_is_not_held_for_ever(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent(swallows=FOREVER)
    async with opened(agent, journal=journal, cancel_grace=2, idle_ttl=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        cancelling = asyncio.create_task(registry.cancel("s1", receipt.turn_id))
        await settle()
        journal.hold()
        await clock.advance(2.1)
        run.finish("late")
        await settle()
        journal.let_go()
        await cancelling
        record = await registry.turn("s1", receipt.turn_id)
        assert (record.status, record.ended_late is not None) == (TurnStatus.UNRESPONSIVE, True)
        await clock.advance(60)
        assert not registry.directory.entries


async def test_the_end_of_a_turn_is_not_made_up_that_is_written_and_has_not_started_yet() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        with pytest.raises(UnknownTurn):
            await history.answer_about(journal, SessionId("s1"), AwaitTurn("s1", receipt.turn_id))


# -- Shutdown ---------------------------------------------------------------------------------------


async def test_a_shutdown_reaches_the_coroutine_while_an_append_is_on_its_way(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, shutdown_deadline=4) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        await settle()
        draining = asyncio.create_task(registry.drain())
        await settle()
        assert run.cancels == 1
        journal.let_go()
        await draining
        assert (await naming).title == "A name"
        assert (await registry.session("s1")).state is SessionState.CLOSED


async def test_a_registry_that_stops_leaves_no_timer(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=SlowJournal()) as registry:
        await registry.send("s1", "hello")
        (await agent.run()).turn.emit("delta", {"text": "hi"})
    timers: Any = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert not [timer for timer in timers if not timer.cancelled()]


# -- Sessions whose actor has failed ----------------------------------------------------------------


async def test_an_actor_that_replaces_a_failed_one_does_not_number_its_appends_anew() -> None:
    """The journal takes an append whose key it has seen for written, and answers that it has landed."""
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        for session in ("s1", "s2", "s1", "s2"):
            await (await registry.send(session, "hello")).ended()
            crash(registry, session)
            await settle()
    keys = [append.key for append in journal.appends]
    assert keys == [f"{registry.incarnation}-{n}" for n in range(1, len(keys) + 1)]


async def test_a_session_that_failed_before_anything_was_written_begins_anew() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        journal.hold()
        lost = asyncio.create_task(registry.send("s1", "lost"))
        await settle()
        crash(registry)
        await settle()
        with pytest.raises(SessionLost):
            await lost
        again = asyncio.create_task(registry.send("s1", "again"))
        await settle()
        journal.lose()
        journal.let_go()
        assert (await (await again).ended()).status is TurnStatus.COMPLETED


@pytest.mark.parametrize("user", ["ada", "bob"])
async def test_a_failed_session_is_not_forgotten_while_it_waits_to_be_read_again(
    clock: VirtualClock, user: str
) -> None:
    """G8, G10: neither by a sweep, nor to make room for another one of its owner's or of anybody's."""
    journal = SlowJournal()
    few = {"max_sessions": 1, "max_sessions_in_all": 1, "idle_ttl": 10, "early_cancel_ttl": 10}
    async with opened(done, journal=journal, **few) as registry:
        await (await registry.send("s1", "hello", user="ada")).ended()
        journal.hold()
        naming = asyncio.create_task(registry.set_title("s1", "A name", user="ada"))
        await settle()
        crash(registry)
        with pytest.raises(SessionLost):
            await naming
        closing = asyncio.create_task(registry.close("s1", user="ada"))
        await settle()
        with pytest.raises(TooManySessions):
            await registry.send("s2", "hello", user=user)
        await clock.advance(100)
        journal.let_go()
        await settle()
        assert (await closing).state is SessionState.CLOSED


async def test_a_turn_that_was_cut_off_is_seen_to_when_the_journal_can_be_read_again(
    clock: VirtualClock,
) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        found = journal.after_a_kill()
    journal._logs = found._logs
    journal.is_gone = True
    async with opened(done, journal=journal) as registry:
        await clock.advance(1)
        journal.is_gone = False
        await clock.advance(10)
        view = (await registry.sessions()).sessions[0]
        assert view.state is SessionState.IDLE
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.INTERRUPTED


async def test_mail_for_a_session_that_failed_is_refused_where_there_is_no_room_to_read_it_again() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal, max_sessions=1) as registry:
        for session in ("s1", "s2", "s3"):  # without a user there are no bounds
            await (await registry.send(session, "hello")).ended()
        crash(registry)
        with pytest.raises(TooManySessions):
            await registry.session("s1")


async def test_a_shutdown_answers_those_who_wait_for_a_session_that_has_failed() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await (await registry.send("s1", "hello")).ended()
        journal.hold()
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        await settle()
        crash(registry)
        await settle()
        asking = asyncio.create_task(registry.session("s1"))
        await settle()
        await registry.drain()
        for each in (naming, asking):
            with pytest.raises(Exception, match=r"shutting down|failed"):
                await each


async def test_who_waits_for_a_session_that_is_forgotten_hears_that_it_is_unknown() -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await (await registry.send("s1", "hello")).ended()
        journal.hold()
        freeing = asyncio.create_task(registry.close("s1", free=True))
        await settle()
        naming = asyncio.create_task(registry.set_title("s1", "A name"))
        await settle()
        journal.let_go(1)
        await freeing
        with pytest.raises(UnknownSession, match="no session 's1'"):
            await naming
        journal.let_go()
        await settle()
        with pytest.raises(UnknownSession):
            await registry.session("s1")


# -- What a turn may use up -------------------------------------------------------------------------


async def test_a_journal_that_stands_still_makes_no_turn_silent(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, stall_timeout=30, idle_ttl=10_000) as registry:
        journal.hold()
        sending = asyncio.create_task(registry.send("s1", "hello", turn_id="t1"))
        await clock.advance(1000)
        journal.let_go()
        await sending
        journal.hold()
        run = await agent.run()
        for _ in range(5):
            run.turn.emit("word")
            await clock.advance(29)
        assert run.cancels == 0
        await clock.advance(1)
        assert run.cancels == 1
        journal.let_go()
        await settle()
        record = await registry.turn("s1", "t1")
        assert record.reason is not None
        assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.STALLED)


async def test_a_turn_that_exceeds_its_budget_is_cancelled_once_while_nothing_can_be_written(
    clock: VirtualClock,
) -> None:
    cleaned: list[int] = []

    async def agent(turn: Turn) -> None:
        try:
            while True:
                turn.emit("word")
        finally:
            await asyncio.sleep(3)
            cleaned.append(turn.n)

    journal = SlowJournal()
    async with opened(agent, journal=journal, max_events=3) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        journal.hold()
        await clock.advance(100)
        assert cleaned == [3]
        journal.let_go()
        record = await receipt.ended()
        assert record.reason is not None
        assert (record.status, record.reason.code) == (TurnStatus.CANCELLED, CancelCode.BUDGET_EXCEEDED)
        events = [event async for event in registry.turn_events("s1", "t1")]
        assert [event.n for event in events if event.epoch is not None] == [0, 1, 2, 3, 4]


class SlowToRead(SlowJournal):
    """Events are read from it once a test lets them be."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = asyncio.Event()
        self.reads.set()

    async def read(self, *args: Any) -> AsyncIterator[Event]:  # type: ignore[override]
        await self.reads.wait()
        async for event in super().read(*args):
            yield event


async def test_a_reader_who_waits_for_the_journal_is_one(clock: VirtualClock) -> None:
    journal, agent = SlowToRead(), ScriptedAgent()
    settings = {"on_disconnect": "cancel", "abandon_after": 40, "log_events": 3}
    async with opened(agent, journal=journal, **settings) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        for _ in range(10):
            run.turn.emit("word")
        journal.reads.clear()
        following = asyncio.create_task(registry.subscribe("s1", after="0"))
        await clock.advance(1000)
        assert run.cancels == 0
        journal.reads.set()
        (await following).close()
        await clock.advance(39)
        assert run.cancels == 0
        await clock.advance(1)
        assert run.cancels == 1


async def test_after_a_restart_the_time_without_a_reader_begins_anew(clock: VirtualClock) -> None:
    """G11."""
    settings: dict[str, Any] = {"on_disconnect": "cancel", "abandon_after": 40, "attempt_backoff": 0}
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(Agent(agent, on_restart="rerun"), journal=journal, **settings) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        await clock.advance(39)
        left = journal.after_a_kill()
        agent.release()
    again = ScriptedAgent()
    async with opened(Agent(again, on_restart="rerun"), journal=left, **settings) as registry:
        run = await again.run()
        assert run.turn.attempt == 2
        await clock.advance(39)
        assert run.cancels == 0
        await clock.advance(1)
        record = await registry.turn("s1", "t1")
        assert record.reason is not None
        assert (record.status, record.attempt) == (TurnStatus.CANCELLED, 2)
        assert record.reason.code is CancelCode.CLIENT_DISCONNECTED
