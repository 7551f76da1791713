"""Critical sections of a turn: for their end its cancel waits."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.metrics.meter import SECTIONS_CUT_SHORT, SECTIONS_ENTERED, SECTIONS_REFUSED
from turnkeeper.actors.model.exceptions import (
    AgentExited,
    HoldRefused,
    InvalidRequest,
    OutsideTurn,
    SectionReused,
    TurnkeeperError,
    TurnOver,
    WrongThread,
)
from turnkeeper.actors.model.messages import CancelAnswer
from turnkeeper.actors.model.words import CancelCode, SessionState, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn, current


class Step:
    """An agent with one step that must not be interrupted, which goes on when it is let go."""

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self.inside = asyncio.Event()
        self.go_on = asyncio.Event()
        self.log: list[str] = []
        self.turns: list[Turn] = []

    async def __call__(self, turn: Turn) -> str:
        self.turns.append(turn)
        try:
            async with turn.uninterruptible(self.timeout):
                self.inside.set()
                await self.go_on.wait()
                self.log.append("saved")
            self.log.append("beyond")
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return "done"


class Stubborn:
    """An agent that holds on to its section and ignores being cancelled, until it is released."""

    def __init__(self) -> None:
        self.inside = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, turn: Turn) -> None:
        async with turn.uninterruptible():
            self.inside.set()
            while not self.release.is_set():
                with suppress(asyncio.CancelledError):
                    await self.release.wait()


async def cancel(registry: SessionRegistry, **how: Any) -> "asyncio.Task[CancelAnswer]":
    """Ask for it; what it comes to is awaited by the caller."""
    asked = asyncio.create_task(registry.cancel("s1", **how))
    await settle()
    return asked


# -- A cancel waits ----------------------------------------------------------------------------------


async def test_a_cancel_waits_for_the_end_of_the_section_and_is_raised_there(clock: VirtualClock) -> None:
    """G3: its answer comes when the coroutine has returned."""
    step = Step()
    async with opened(step) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        await step.inside.wait()
        asked = await cancel(registry)
        await clock.advance(20)
        assert not asked.done()
        (turn,) = step.turns
        assert turn.cancel_waits
        assert not turn.cancel_requested
        view = await registry.session("s1")
        assert view.state is SessionState.CANCELLING
        assert view.turn is not None
        assert (view.turn.status, view.turn.held) == (TurnStatus.CANCELLING, True)
        assert view.turn.reason is not None
        assert view.turn.reason.code is CancelCode.USER_REQUEST

        step.go_on.set()
        answer = await asked
        assert step.log == ["saved", "cancelled"]
        assert answer.verdict is Verdict.CANCELLED
        assert answer.turn is not None
        record = answer.turn
        assert (record.held, record.status) == (False, TurnStatus.CANCELLED)
        assert record.cancel_requested_at is not None
        assert record.cancel_delivered_at == pytest.approx(record.cancel_requested_at + 20)
        assert not turn.cancel_waits
        assert turn.cancel_requested


async def test_without_a_cancel_a_section_changes_nothing() -> None:
    async def agent(turn: Turn) -> str:
        async with turn.uninterruptible(), turn.uninterruptible(timeout=3):
            await asyncio.sleep(0)
        async with turn.uninterruptible():
            pass
        return "done"

    async with opened(agent) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.COMPLETED
        assert record.cancellation is None
        counters = (await registry.counts()).counters
        assert counters[SECTIONS_ENTERED.name] == 3
        assert not {SECTIONS_REFUSED.name, SECTIONS_CUT_SHORT.name} & set(counters)


@pytest.mark.parametrize(("span", "waits"), [(None, 30), (7, 7), (3600, 30), (0, 0)])
async def test_a_cancel_waits_no_longer_than_the_section_says_and_the_policy_allows(
    clock: VirtualClock, span: float | None, waits: float
) -> None:
    step = Step(span)
    async with opened(step) as registry:
        await registry.send("s1", "hello")
        await step.inside.wait()
        began = clock.elapsed
        answer = await registry.cancel("s1")
        assert clock.elapsed - began == pytest.approx(waits)
        assert answer.verdict is Verdict.CANCELLED
        assert step.log == ["cancelled"]
        assert (await registry.counts()).counters[SECTIONS_CUT_SHORT.name] == 1


async def test_a_section_that_has_had_its_time_puts_nothing_off(clock: VirtualClock) -> None:
    step = Step(5)
    async with opened(step) as registry:
        await registry.send("s1", "hello")
        await step.inside.wait()
        await clock.advance(6)
        began = clock.elapsed
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert clock.elapsed == began


async def test_a_successor_starts_after_at_most_the_hold_and_the_grace(clock: VirtualClock) -> None:
    """G6: the section of a turn that ignores everything is worth its time, and not more."""
    agent, stubborn = ScriptedAgent(), Stubborn()
    async with opened({"default": stubborn, "next": agent}, max_hold=10, cancel_grace=4) as registry:
        first = await registry.send("s1", "hello")
        await settle()
        began = clock.elapsed
        await registry.send("s1", "again", agent="next")
        assert clock.elapsed - began == pytest.approx(14)
        assert (await first.ended()).status is TurnStatus.UNRESPONSIVE
        await agent.run()
        stubborn.release.set()


async def test_a_force_does_not_wait_and_is_for_the_host_and_admins(clock: VirtualClock) -> None:
    step = Step()
    async with opened(step) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        await step.inside.wait()
        with pytest.raises(TurnkeeperError, match="only an admin") as refused:
            await registry.cancel("s1", receipt.turn_id, user="ada", force=True)
        assert refused.value.code == "SCOPE_MISSING"
        waits = await cancel(registry, user="ada")
        await clock.advance(1)
        began = clock.elapsed
        forced = await registry.cancel("s1", force=True)
        assert clock.elapsed == began
        assert forced.verdict is (await waits).verdict is Verdict.CANCELLED
        assert step.log == ["cancelled"]
        assert (await registry.counts()).counters[SECTIONS_CUT_SHORT.name] == 1


async def test_many_turns_are_stopped_by_force_by_an_admin_only(clock: VirtualClock) -> None:
    step = Step()
    async with opened(step) as registry:
        await registry.send("s1", "hello", user="ada")
        await step.inside.wait()
        with pytest.raises(TurnkeeperError, match="only an admin"):
            await registry.cancel_many(all=True, user="ada", force=True)
        waits = await registry.cancel_many(all=True, user="ada", within=1)
        assert [each.verdict for each in waits.results] == [Verdict.REQUESTED]
        forced = await registry.cancel_many(all=True, force=True)
        assert [each.verdict for each in forced.results] == [Verdict.CANCELLED]


# -- Several sections --------------------------------------------------------------------------------


async def test_a_cancel_waits_for_the_last_of_several(clock: VirtualClock) -> None:
    order = list[str]()
    gates = {name: asyncio.Event() for name in "ab"}

    async def agent(turn: Turn) -> None:
        async def part(name: str) -> None:
            async with turn.uninterruptible():
                await gates[name].wait()
                order.append(name)

        try:
            await asyncio.gather(part("a"), part("b"))
        except asyncio.CancelledError:
            order.append("cancelled")
            raise

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        asked = await cancel(registry)
        gates["b"].set()
        await settle()
        assert order == ["b"]
        gates["a"].set()
        assert (await asked).verdict is Verdict.CANCELLED
        assert order == ["b", "a", "cancelled"]


async def test_one_inside_another_ends_no_later_also_in_a_task_that_was_started_there(
    clock: VirtualClock,
) -> None:
    async def agent(turn: Turn) -> None:
        async def below() -> None:
            async with turn.uninterruptible(timeout=25):
                await asyncio.sleep(FOREVER)

        async with turn.uninterruptible(timeout=5):
            task = asyncio.create_task(below())
            await settle()
        await task

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        began = clock.elapsed
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert clock.elapsed - began == pytest.approx(5)


async def test_one_after_another_has_time_of_its_own(clock: VirtualClock) -> None:
    inside = asyncio.Event()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible(timeout=5):
            pass
        async with turn.uninterruptible(timeout=9):
            inside.set()
            await asyncio.sleep(FOREVER)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await inside.wait()
        began = clock.elapsed
        await registry.cancel("s1")
        assert clock.elapsed - began == pytest.approx(9)


# -- While a cancel waits ----------------------------------------------------------------------------


async def test_a_checkpoint_inside_raises_nothing_for_a_cancel_that_waits() -> None:
    log = list[str]()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            while not turn.cancel_waits:
                await turn.checkpoint()
            await turn.checkpoint()
            log.append("hurried")

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
    assert log == ["hurried"]


async def test_what_it_emits_beyond_its_budget_stops_it_at_the_end_of_the_section() -> None:
    """G8: what is beyond the budget is dropped meanwhile."""
    log = list[str]()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            for n in range(100):
                turn.emit("word", n)
            await settle()
            log.append("saved")
        log.append("beyond")

    async with opened(agent, max_events=3) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.CANCELLED
        assert record.reason is not None
        assert record.reason.code is CancelCode.BUDGET_EXCEEDED
        assert record.cancel_delivered_at is not None
    assert log == ["saved"]


async def test_a_task_of_the_turns_that_would_end_the_process_ends_the_turn_after_the_section() -> None:
    log = list[str]()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            turn.end_with(AgentExited("exit 3"))
            await settle()
            log.append("saved")
        log.append("beyond")

    async with opened(agent) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.FAILED
        assert record.error is not None
        assert record.error.code == "system_exit"
    assert log == ["saved"]


async def test_it_waits_for_a_section_no_longer_than_a_cancel_does(clock: VirtualClock) -> None:
    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            turn.end_with(AgentExited("exit 3"))
            await asyncio.Event().wait()

    async with opened(agent, max_hold=3.0) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(3.5)
        assert (await receipt.ended()).status is TurnStatus.FAILED


async def test_an_error_in_the_section_is_not_replaced_by_the_cancel() -> None:
    step, inside = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        async with turn.uninterruptible():
            inside.set()
            await step.wait()
            raise OSError("disk full")

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await inside.wait()
        asked = await cancel(registry)
        step.set()
        answer = await asked
        assert answer.verdict is Verdict.FINISHED_FIRST
        assert answer.turn is not None
        assert answer.turn.error is not None
        assert answer.turn.error.type == "OSError"


async def test_a_shutdown_leaves_a_section_half_of_its_grace(clock: VirtualClock) -> None:
    """G10: the process is gone in time, with a turn that holds and one that ignores everything."""
    step, stubborn = Step(), Stubborn()
    async with opened({"default": step, "stubborn": stubborn}, shutdown_deadline=10) as registry:
        first = await registry.send("s1", "hello")
        second = await registry.send("s2", "hello", agent="stubborn")
        await asyncio.gather(step.inside.wait(), stubborn.inside.wait())
        began = clock.elapsed
        await registry.stop()
        assert clock.elapsed - began <= 10
        assert (await second.ended()).status is TurnStatus.UNRESPONSIVE
        record = await first.ended()
        assert record.status is TurnStatus.CANCELLED
        assert record.cancel_requested_at is not None
        assert record.cancel_delivered_at == pytest.approx(record.cancel_requested_at + 9.5 / 2)
    stubborn.release.set()
    await settle()


# -- Refused, and misused ----------------------------------------------------------------------------


async def test_once_a_cancel_was_delivered_there_is_no_other_section() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        run = await agent.run()
        await registry.cancel("s1", "t1", wait=False)
        await run.cancelled.wait()
        assert await refused_in(run.turn) is HoldRefused
        run.finish()
        await receipt.ended()
        assert (await registry.counts()).counters[SECTIONS_REFUSED.name] == 1


async def refused_in(
    turn: Turn, enter: Callable[[Turn], Any] = Turn.uninterruptible
) -> type[Exception] | None:
    """What entering a section raises in a task of the turn's."""

    async def asks() -> type[Exception] | None:
        current.set(turn)
        try:
            async with enter(turn):
                return None
        except TurnkeeperError as error:
            return type(error)

    return await asyncio.create_task(asks())


async def test_a_turn_is_in_at_most_so_many_at_a_time() -> None:
    held = list[int]()

    async def agent(turn: Turn) -> str | None:
        async def deeper() -> None:
            async with turn.uninterruptible():
                held.append(1)
                await deeper()

        try:
            await deeper()
        except HoldRefused as error:
            return str(error)
        return None

    async with opened(agent) as registry:
        answer = await (await registry.send("s1", "hello")).result()
    assert answer == "at most 32 critical sections of a turn may be entered at a time"
    assert len(held) == 32


async def test_a_turn_that_is_over_has_none() -> None:
    turns = list[Turn]()

    async def agent(turn: Turn) -> None:
        turns.append(turn)

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert await refused_in(turns[0]) is TurnOver


async def test_it_is_for_the_turns_own_tasks_and_for_the_loop() -> None:
    agent = ScriptedAgent()

    def in_thread(turn: Turn) -> None:
        with pytest.raises(WrongThread):
            asyncio.run(enter(turn))

    async def enter(turn: Turn) -> None:
        async with turn.uninterruptible():
            pass

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        turn = (await agent.run()).turn
        with pytest.raises(OutsideTurn):
            await enter(turn)
        await asyncio.to_thread(in_thread, turn)
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED


async def test_a_section_is_entered_once() -> None:
    async def agent(turn: Turn) -> list[str]:
        codes, section = list[str](), turn.uninterruptible()
        async with section:
            with suppress(SectionReused):
                async with section:
                    codes.append("inside")
        with suppress(SectionReused):
            async with section:
                codes.append("again")
        return codes

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello")).result() == []


@pytest.mark.parametrize("span", [-1, float("nan"), float("inf"), "3", True, [1]])
async def test_a_timeout_is_a_number_of_seconds(span: Any) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        with pytest.raises(InvalidRequest) as refused:
            (await agent.run()).turn.uninterruptible(span)
        assert refused.value.field == "timeout"


async def test_a_task_that_is_cancelled_while_it_waits_for_consent_gives_it_back() -> None:
    """Behind other mail the session decides later; the task's own canceller does not wait for that."""
    log = list[str]()

    async def agent(turn: Turn) -> None:
        async def part() -> None:
            async with turn.uninterruptible():
                log.append("inside")

        for _ in itertools.repeat(None, 3):
            task = asyncio.create_task(part())
            assert turn.session is not None
            turn.session.tell(None)  # mail that is in the way
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(FOREVER)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert (await registry.counts()).counters.get(SECTIONS_CUT_SHORT.name) is None
    assert log == []


async def test_a_generator_may_hold_one_while_it_yields() -> None:
    async def agent(turn: Turn) -> AsyncIterator[str]:
        async with turn.uninterruptible():
            yield "saved"
        await asyncio.sleep(FOREVER)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED


async def test_the_section_of_a_turn_is_none_of_the_next_one() -> None:
    step = Step()
    async with opened({"default": step, "done": done}) as registry:
        await registry.send("s1", "hello")
        await step.inside.wait()
        sending = asyncio.create_task(registry.send("s1", "again", agent="done"))
        await settle()
        assert not sending.done()
        step.go_on.set()
        assert await (await sending).result() == "done: again"
