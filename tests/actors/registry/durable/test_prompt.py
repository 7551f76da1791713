"""What does not wait for the journal: cancels (`test_journaled`), and critical sections."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, VirtualClock, opened, settle
from turnkeeper.actors.journal.entries import CancelAsked
from turnkeeper.actors.metrics.meter import SECTIONS_CUT_SHORT
from turnkeeper.actors.model.exceptions import HoldRefused, JournalDown
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.records import Reason, TurnId
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


class Stepper:
    """An agent that enters its section, leaves it, and returns when a test lets it."""

    def __init__(self, *, swallows: bool = False) -> None:
        self.swallows = swallows
        self.enter, self.leave, self.end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.log: list[str] = []
        self.turns: list[Turn] = []

    async def __call__(self, turn: Turn) -> str:
        self.turns.append(turn)
        if len(self.turns) > 1:
            return "next"
        try:
            await self._wait(self.enter)
            try:
                async with turn.uninterruptible():
                    self.log.append("in")
                    await self.leave.wait()
                    self.log.append("saved")
                self.log.append("out")
            except HoldRefused:
                self.log.append("refused")
            await self.end.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return "done"

    async def _wait(self, event: asyncio.Event) -> None:
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                self.log.append("cancelled")
                if not self.swallows:
                    raise

    async def goes_in(self) -> None:
        self.enter.set()
        await settle()

    async def goes_out(self) -> None:
        self.leave.set()
        await settle()


async def asked_to_stop(registry: SessionRegistry, **how: Any) -> "asyncio.Task[CancelAnswer]":
    asked = asyncio.create_task(registry.cancel("s1", **how))
    await settle()
    return asked


async def something_on_its_way(registry: SessionRegistry, journal: SlowJournal) -> "asyncio.Task[Any]":
    """The session appends the send of a turn that waits, and the disk takes its time."""
    journal.hold()
    sending = asyncio.create_task(registry.send("s1", "later", strategy="enqueue", wait=False))
    await settle()
    assert journal.held
    return sending


async def test_a_section_is_entered_and_left_while_an_append_is_on_its_way() -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        sending = await something_on_its_way(registry, journal)
        await agent.goes_in()
        await agent.goes_out()
        assert agent.log == ["in", "saved", "out"]
        journal.let_go()
        await sending
        agent.end.set()
        assert await receipt.result() == "done"


@pytest.mark.parametrize("lands", [True, False], ids=["lands", "does not land"])
async def test_a_section_that_began_meanwhile_holds_a_cancel_whatever_becomes_of_the_append(
    lands: bool,
) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        sending = await something_on_its_way(registry, journal)
        await agent.goes_in()
        journal.is_down = not lands
        journal.let_go()
        with suppress(JournalDown):
            await sending
        journal.is_down = False
        stopping = await asked_to_stop(registry)
        assert agent.log == ["in"]
        await agent.goes_out()
        assert agent.log == ["in", "saved", "cancelled"]
        assert (await stopping).verdict is Verdict.CANCELLED


@pytest.mark.parametrize("lands", [True, False], ids=["lands", "does not land"])
async def test_a_cancel_that_waits_is_delivered_at_the_sections_end_before_it_is_written(
    lands: bool, clock: VirtualClock
) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.goes_in()
        journal.hold()
        stopping = await asked_to_stop(registry)
        assert agent.turns[0].cancel_waits
        assert agent.log == ["in"]
        await agent.goes_out()
        assert agent.log == ["in", "saved", "cancelled"]
        journal.is_down = not lands
        journal.let_go()
        if not lands:
            with pytest.raises(JournalDown, match="was asked to stop"):
                await stopping
            journal.is_down = False
        record = await receipt.ended()
        assert record.status is TurnStatus.CANCELLED
        assert (await registry.counts()).counters.get(SECTIONS_CUT_SHORT.name) is None


async def test_a_cancel_that_waits_is_delivered_in_time_though_nothing_can_be_written(
    clock: VirtualClock,
) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal, max_hold=8) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.goes_in()
        journal.is_down = True
        with pytest.raises(JournalDown, match="was asked to stop"):
            await registry.cancel("s1")
        await clock.advance(7.9)
        assert agent.log == ["in"]
        await clock.advance(0.2)
        assert agent.log == ["in", "cancelled"]
        journal.is_down = False
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


async def test_sections_work_with_a_journal_that_is_down_for_minutes(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        journal.is_down = True
        agent.turns[0].emit("delta", {"text": "not written"})
        await clock.advance(180)
        await agent.goes_in()
        assert agent.log == ["in"]
        await clock.advance(20)
        with pytest.raises(JournalDown, match="was asked to stop"):
            await registry.cancel("s1")
        assert agent.log == ["in"]
        await agent.goes_out()
        assert agent.log == ["in", "saved", "cancelled"]
        journal.is_down = False
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


async def test_once_a_cancel_was_delivered_a_section_is_refused_though_it_is_not_written() -> None:
    journal, agent = SlowJournal(), Stepper(swallows=True)
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        journal.hold()
        stopping = await asked_to_stop(registry)
        assert agent.log == ["cancelled"]
        await agent.goes_in()
        assert agent.log == ["cancelled", "refused"]
        agent.end.set()
        journal.let_go()
        assert (await stopping).verdict is Verdict.FINISHED_FIRST
        await receipt.ended()


async def test_force_reaches_the_coroutine_at_once(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        await agent.goes_in()
        journal.hold()
        waits = await asked_to_stop(registry)
        forced = await asked_to_stop(registry, force=True)
        assert agent.log == ["in", "cancelled"]
        journal.let_go()
        assert (await waits).verdict is (await forced).verdict is Verdict.CANCELLED


# -- A send that supersedes the turn waits for its entry ----------------------------------------------


async def superseding(registry: SessionRegistry, journal: SlowJournal) -> "asyncio.Task[Any]":
    journal.hold()
    sending = asyncio.create_task(registry.send("s1", "again"))
    await settle()
    return sending


async def test_a_section_waits_for_a_send_on_its_way_that_would_cancel_the_turn() -> None:
    """The cancel comes first, and the turn ends as it does without a journal."""
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        sending = await superseding(registry, journal)
        await agent.goes_in()
        assert agent.log == []
        journal.let_go()
        assert await (await sending).result() == "next"
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
        assert agent.log == ["cancelled"]


async def test_a_section_that_has_waited_is_granted_when_the_send_is_not_written() -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        sending = await superseding(registry, journal)
        await agent.goes_in()
        journal.is_down = True
        journal.let_go()
        with pytest.raises(JournalDown):
            await sending
        await settle()
        assert agent.log == ["in"]
        journal.is_down = False
        await agent.goes_out()
        agent.end.set()
        assert await receipt.result() == "done"


async def test_a_task_that_gives_up_waiting_for_its_section_has_none(clock: VirtualClock) -> None:
    journal, log = SlowJournal(), list[str]()

    async def agent(turn: Turn) -> str:
        if log:
            return "next"
        log.append("began")
        await settle(20)
        with suppress(TimeoutError):
            async with asyncio.timeout(1), turn.uninterruptible():
                log.append("in")
        await asyncio.sleep(FOREVER)
        return "done"

    async with opened(agent, journal=journal) as registry:
        await registry.send("s1", "hello")
        sending = await superseding(registry, journal)
        await clock.advance(2)
        journal.is_down = True
        journal.let_go()
        with pytest.raises(JournalDown):
            await sending
        journal.is_down = False
        began = clock.elapsed
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert clock.elapsed == began
    assert log == ["began"]


@pytest.mark.parametrize("lands", [True, False], ids=["lands", "does not land"])
async def test_a_turn_that_leaves_its_section_is_untouched_by_a_send_that_is_not_written(lands: bool) -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.goes_in()
        sending = await superseding(registry, journal)
        await agent.goes_out()
        assert agent.log == ["in", "saved", "out"]
        journal.is_down = not lands
        journal.let_go()
        if lands:
            assert await (await sending).result() == "next"
            assert agent.log == ["in", "saved", "out", "cancelled"]
        else:
            with pytest.raises(JournalDown):
                await sending
            journal.is_down = False
            agent.end.set()
            assert await receipt.result() == "done"


# -- Others, and the end -----------------------------------------------------------------------------


async def test_a_cancel_that_another_process_has_written_waits_for_the_section() -> None:
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.goes_in()
        sending = await something_on_its_way(registry, journal)
        turn_id = TurnId(receipt.turn_id)
        journal.intrude("s1", CancelAsked(turn_id, Reason(CancelCode.USER_REQUEST), 0.0))
        journal.let_go()
        await sending
        await settle()
        assert agent.log == ["in"]
        await agent.goes_out()
        assert agent.log == ["in", "saved", "cancelled"]
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


async def test_a_turn_that_has_returned_has_no_section_though_its_end_is_not_written() -> None:
    journal, log = SlowJournal(), list[str]()

    async def agent(turn: Turn) -> str:
        if tasks:
            return "next"

        async def later() -> None:
            await settle()
            try:
                async with turn.uninterruptible():
                    log.append("in")
            except HoldRefused:
                log.append("refused")

        tasks.append(asyncio.create_task(later()))
        await settle(2)
        return "done"

    tasks = list[asyncio.Task[None]]()
    async with opened(agent, journal=journal) as registry:
        receipt = await registry.send("s1", "hello")
        await something_on_its_way(registry, journal)
        await tasks[0]
        assert log == ["refused"]
        journal.let_go()
        await receipt.ended()


async def test_a_shutdown_without_a_journal_leaves_a_section_half_of_its_grace(clock: VirtualClock) -> None:
    """G10."""
    journal, agent = SlowJournal(), Stepper()
    async with opened(agent, journal=journal, shutdown_deadline=10) as registry:
        await registry.send("s1", "hello")
        await agent.goes_in()
        journal.is_down = True
        stopping = asyncio.create_task(registry.stop())
        await clock.advance(4.7)
        assert agent.log == ["in"]
        await clock.advance(0.1)
        assert agent.log == ["in", "cancelled"]
        began = clock.elapsed
        await stopping
        assert clock.elapsed - began <= 5.3
