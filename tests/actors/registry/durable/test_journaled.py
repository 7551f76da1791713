"""What a session decides is durable before it is done."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, plain, settle
from turnkeeper.actors.journal.entries import CancelAsked, EarlyCancel
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import InvalidRequest, JournalDown, TurnOver, UnknownSession
from turnkeeper.actors.model.records import Reason, TurnId
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


async def test_what_was_said_is_there_after_a_restart(journal: MemoryJournal) -> None:
    async def agent(turn: Turn) -> str:
        turn.emit("delta", {"text": "hi "})
        turn.emit("delta", {"text": "there"})
        return "done"

    async with opened(agent, journal=journal) as registry:
        first = await registry.send("s1", "hello", user="ada", turn_id="t1")
        await first.ended()
        seen = await registry.messages("s1", user="ada")
        view = await registry.session("s1", user="ada")

    async with opened(agent, journal=journal) as registry:
        again = await registry.messages("s1", user="ada")
        assert again == seen
        assert (await registry.turn("s1", "t1", user="ada")).status is TurnStatus.COMPLETED
        assert (await registry.session("s1", user="ada")).recent == view.recent
        events = [event async for event in registry.turn_events("s1", "t1", user="ada")]
        assert [event.name for event in events] == ["turn.started", "delta", "delta", "turn.completed"]
        retry = await registry.send("s1", "hello", user="ada", turn_id="t1")
        assert retry.repeated
        assert await retry.result() == "done"
        with pytest.raises(UnknownSession):
            await registry.session("s1", user="eve")
        with pytest.raises(UnknownSession):
            await registry.session("s2", user="ada")


async def test_what_a_shutdown_cuts_off_is_there_after_a_restart(journal: MemoryJournal) -> None:
    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "hi"})
        await asyncio.Event().wait()

    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        await settle()
    async with opened(agent, journal=journal) as registry:
        said = (await registry.messages("s1")).messages
        assert [(message["content"], message.get("cut_off")) for message in said] == [
            ("hello", None),
            ("hi", True),
        ]


async def test_a_session_that_is_closed_while_its_turn_ends_leaves_nothing(journal: MemoryJournal) -> None:
    agent = ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        await registry.close("s1")
    async with opened(agent, journal=journal) as registry:
        assert (await registry.messages("s1")).messages == ()


async def test_streams_end_with_the_server_when_a_cancel_and_a_shutdown_are_decided_together() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        reader = await registry.subscribe("s1", close_on="never")
        journal.hold()
        cancelling = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        stopping = asyncio.create_task(registry.stop())
        await settle()
        journal.let_go()
        await asyncio.gather(cancelling, stopping)
        ends = [event.data async for event in reader.events() if event.name == "close"]
        assert ends == ["Task cancelled", "Server shutting down"]


# -- One append on its way --------------------------------------------------------------------------


async def test_a_send_is_answered_and_its_agent_called_when_it_is_durable() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        journal.hold()
        sending = asyncio.create_task(registry.send("s1", "hello"))
        await settle()
        assert not sending.done()
        assert not agent.runs
        journal.let_go()
        await sending
        assert (await agent.run()).turn.text == "hello"


async def test_a_cancel_reaches_the_coroutine_at_once_and_is_answered_when_it_is_durable() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        cancelling = asyncio.create_task(registry.cancel("s1", receipt.turn_id))
        await run.cancelled.wait()
        await settle()
        assert not cancelling.done()
        assert run.cancels == 1
        journal.let_go()
        assert (await cancelling).verdict is Verdict.CANCELLED
        assert run.cancels == 1


async def test_what_comes_while_an_append_is_on_its_way_is_one_more_append() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "first")
        run = await agent.run()
        journal.hold()
        sends = [asyncio.create_task(registry.send("s1", text, wait=False)) for text in ("a", "b", "c")]
        await settle()
        assert len(journal.held) == 1
        journal.let_go(1)
        await settle()
        assert len(journal.held) == 1
        assert run.cancels == 1
        journal.let_go()
        for sending in sends:
            await sending
        assert (await agent.run()).turn.text == "c"


async def test_the_end_of_a_turn_is_said_when_it_is_durable_and_nothing_is_published_after_its_number() -> (
    None
):
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        run.finish("done")
        await settle()
        with pytest.raises(TurnOver):
            run.turn.emit("delta", {"text": "late"})
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.RUNNING
        journal.let_go()
        assert await receipt.result() == "done"


# -- The journal is down ----------------------------------------------------------------------------


async def test_a_send_that_cannot_be_written_is_refused_and_nothing_has_changed() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        journal.is_down = True
        with pytest.raises(JournalDown):
            await registry.send("s1", "hello")
        assert not agent.runs
        journal.is_down = False
        await registry.send("s1", "hello")
        await agent.run()
        assert registry.directory.ledger.in_all.turns == 1


async def test_an_interrupting_send_that_cannot_be_written_leaves_the_turn_in_flight_alone() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        journal.is_down = True
        with pytest.raises(JournalDown):
            await registry.send("s1", "another")
        assert run.cancels == 0


async def test_an_end_that_cannot_be_written_is_written_later(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.emit("delta", {"text": "hi"})
        journal.is_down = True
        run.finish("done")
        await clock.advance(3)
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.RUNNING
        journal.is_down = False
        assert await receipt.result() == "done"
        events = [event async for event in registry.turn_events("s1", receipt.turn_id)]
        assert [event.name for event in events] == ["turn.started", "delta", "turn.completed"]
    async with opened(agent, journal=journal) as registry:
        events = [event async for event in registry.turn_events("s1", receipt.turn_id)]
        assert [event.name for event in events] == ["turn.started", "delta", "turn.completed"]


async def test_a_title_that_waits_behind_what_cannot_be_written_is_written_later(clock: VirtualClock) -> None:
    journal = SlowJournal()
    async with opened(done, journal=journal) as registry:
        await (await registry.send("s1", "hello", turn_id="t1")).ended()
        journal.hold()
        sending = asyncio.create_task(registry.send("s1", "more"))
        await settle()
        naming = asyncio.create_task(registry.set_title("s1", "Pears"))
        retrying = asyncio.create_task(registry.send("s1", "hello", turn_id="t1"))
        await settle()
        journal.is_down = True
        journal.let_go()
        with pytest.raises(JournalDown):
            await sending
        assert (await retrying).repeated
        journal.is_down = False
        await clock.advance(1.0)
        assert (await naming).title == "Pears"


async def test_a_cancel_that_cannot_be_written_says_so_and_still_stops_the_turn(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.is_down = True
        with pytest.raises(JournalDown, match="was asked to stop"):
            await registry.cancel("s1", receipt.turn_id)
        await run.cancelled.wait()
        assert run.cancels == 1
        journal.is_down = False
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


# -- The grace --------------------------------------------------------------------------------------


async def test_a_stalled_disk_does_not_eat_the_grace(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent(swallows=FOREVER)
    async with opened(agent, journal=journal, cancel_grace=4) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.hold()
        cancelling = asyncio.create_task(registry.cancel("s1", receipt.turn_id))
        await clock.advance(10)
        assert run.cancels == 1
        journal.let_go()
        await clock.advance(1.9)
        assert run.cancels == 1
        await clock.advance(0.2)
        assert run.cancels == 2
        assert (await cancelling).verdict is Verdict.UNRESPONSIVE


async def test_a_stalled_disk_does_not_eat_the_time_for_which_an_early_cancel_counts(
    clock: VirtualClock,
) -> None:
    """G4: the send has come in time, whenever it is decided."""
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, early_cancel_ttl=30) as registry:
        await registry.send("s1", "hello", user="ada")
        journal.hold()
        cancelling = asyncio.create_task(registry.cancel("s1", "t1", user="ada"))
        await clock.advance(10)
        sending = asyncio.create_task(registry.send("s1", "late", user="ada", turn_id="t1"))
        await clock.advance(60)
        journal.let_go()
        assert (await (await sending).ended()).status is TurnStatus.CANCELLED
        assert (await cancelling).verdict is Verdict.NOT_RUNNING
        assert len(agent.runs) == 1


async def test_a_stalled_disk_does_not_let_an_early_cancel_stop_what_its_asker_may_not_stop(
    clock: VirtualClock,
) -> None:
    journal = SlowJournal()
    async with opened(Agent(done, who_may_stop="sender"), journal=journal) as registry:
        await (await registry.send("s1", "hello", user="ada")).ended()
        await registry.cancel("s1", "t1", user="ada")
        journal.hold()
        naming = asyncio.create_task(registry.set_title("s1", "A title", user="ada"))
        await settle()
        sending = asyncio.create_task(registry.send("s1", "of the host", turn_id="t1"))
        await clock.advance(1)
        journal.let_go()
        await naming
        assert (await (await sending).ended()).status is TurnStatus.COMPLETED


async def test_a_send_whose_cancel_came_first_is_over_also_when_it_is_decided_anew(
    clock: VirtualClock,
) -> None:
    """G4: another process was first, and that was known late."""
    journal = SlowJournal()
    async with opened(done, journal=journal, early_cancel_ttl=30) as registry:
        await (await registry.send("s1", "hello", user="ada")).ended()
        await registry.cancel("s1", "t1", user="ada")
        journal.hold()
        journal.intrude("s1", EarlyCancel(TurnId("t2"), Reason(CancelCode.USER_REQUEST, "ada"), 0.0))
        sending = asyncio.create_task(registry.send("s1", "late", user="ada", turn_id="t1"))
        await clock.advance(70)
        journal.let_go()
        assert (await (await sending).ended()).status is TurnStatus.CANCELLED


@pytest.mark.parametrize(
    ("stall", "left", "after", "status"),
    [
        (10, 20.0, 19, TurnStatus.CANCELLED),
        (10, 20.0, 21, TurnStatus.COMPLETED),
        (70, 0.0, 1, TurnStatus.COMPLETED),
    ],
)
async def test_an_early_cancel_that_is_answered_late_counts_for_as_long_as_the_answer_says(
    clock: VirtualClock, stall: float, left: float, after: float, status: TurnStatus
) -> None:
    """G4: it counts from when it was decided, however long it took to write that."""
    journal = SlowJournal()
    async with opened(done, journal=journal, early_cancel_ttl=30) as registry:
        await (await registry.send("s1", "hello", user="ada")).ended()
        journal.hold()
        cancelling = asyncio.create_task(registry.cancel("s1", "t1", user="ada"))
        await clock.advance(stall)
        journal.let_go()
        assert (await cancelling).remembered_for == pytest.approx(left)
        await clock.advance(after)
        late = await registry.send("s1", "late", user="ada", turn_id="t1")
        assert (await late.ended()).status is status


# -- Another process --------------------------------------------------------------------------------


async def test_a_cancel_that_another_process_has_written_is_taken_over() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        journal.intrude("s1", CancelAsked(receipt.turn_id, Reason(CancelCode.USER_REQUEST, "ada"), 1.0))
        another = await registry.send("s1", "another", wait=False)
        await run.cancelled.wait()
        record = await receipt.ended()
        assert (record.status, record.superseded_by) == (TurnStatus.CANCELLED, another.turn_id)


# -- What JSON cannot say ---------------------------------------------------------------------------


async def test_a_turn_that_leaves_a_message_which_json_cannot_say_fails_and_keeps_what_was_sent() -> None:
    async def agent(turn: Turn) -> None:
        turn.context.messages.append({"role": "assistant", "content": object()})

    journal = MemoryJournal()
    async with opened(agent, journal=journal) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.error is not None
        assert record.error.code == "message_not_json"
        said = (await registry.messages("s1")).messages
        assert [message["content"] for message in said] == ["hello", ""]


@pytest.mark.parametrize("message", [object(), "\ud800", {"n": float("nan")}], ids=plain)
async def test_a_message_that_json_cannot_say_is_refused(message: Any) -> None:
    async with opened(done, journal=MemoryJournal()) as registry:
        with pytest.raises(InvalidRequest):
            await registry.send("s1", message)


async def test_what_json_cannot_say_fails_a_turn_that_ends_while_its_child_runs_too(
    clock: VirtualClock,
) -> None:
    """Its end comes with a tick, at the end of its grace, and is checked as any other."""

    async def child(_turn: Turn) -> None:
        for _ in range(2):  # it hears the second cancel
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def parent(turn: Turn) -> str:
        turn.context.messages.append({"role": "assistant", "content": object()})
        await turn.begin("s2", "go on", agent="child")
        return "done"

    agents = {"default": Agent(parent, cancel_grace=0.1), "child": Agent(child, cancel_grace=5.0)}
    async with opened(agents, journal=MemoryJournal()) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(10)
        record = await receipt.ended()
        assert record.error is not None
        assert (record.status, record.error.code) == ("failed", "message_not_json")
        said = (await registry.messages("s1")).messages
        assert [message["content"] for message in said] == ["hello", ""]
