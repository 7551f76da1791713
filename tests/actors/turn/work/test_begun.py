"""What a turn has begun keeps it from its end, and climbs the grace ladder with it."""

import asyncio
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, opened, settle
from turnkeeper.actors.model.records import StillRunning
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.work.begun import Begun, Counted


class Things:
    """Something that turns begin, and that ends when the test says so, or when it is stopped often enough."""

    def __init__(self, begun: Begun, counted_as: Counted | None, stubborn: bool) -> None:
        self.counted_as = counted_as
        self.running = 1
        self.stops: list[bool] = []
        self.settled = 0
        self._begun = begun
        self._stubborn = stubborn
        begun.kinds.append(self)

    def stop(self, *, again: bool) -> None:
        """Note that, and end soon unless it is stubborn."""
        self.stops.append(again)
        if not self._stubborn:
            asyncio.get_running_loop().call_soon(self.end)

    def end(self) -> None:
        """It has ended."""
        if self.running:
            self.running = 0
            self._begun.one_ended()

    def settle(self) -> None:
        """Note that."""
        self.settled += 1


class Beginner:
    """An agent that begins one thing, and then does as a scripted one does."""

    def __init__(self, counted_as: Counted | None = "processes", stubborn: bool = False) -> None:
        self.scripted = ScriptedAgent()
        self.things: Things | None = None
        self._how: Any = (counted_as, stubborn)

    async def __call__(self, turn: Turn) -> Any:
        self.things = Things(turn.made_own.made_begun, *self._how)
        return await self.scripted(turn)

    async def begun(self) -> tuple[Any, Things]:
        """Its run, and what that has begun."""
        run = await self.scripted.run()
        assert self.things is not None
        return run, self.things


async def test_what_has_ended_before_the_coroutine_keeps_it_from_nothing() -> None:
    agent = Beginner()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        things.end()
        run.finish("done")
        assert await receipt.result() == "done"
        assert (things.stops, things.settled) == ([], 1)


async def test_what_a_turn_leaves_running_is_stopped_before_its_end() -> None:
    """G13."""
    agent = Beginner(stubborn=True)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        run.finish("done")
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.RUNNING
        assert things.stops == [False]
        assert run.turn.cancel_requested
        things.end()
        end = await receipt.ended()
        assert (end.status, end.still_running) == (TurnStatus.COMPLETED, None)
        assert await receipt.result() == "done"


async def test_a_stop_that_comes_meanwhile_finds_that_the_turn_has_finished_first() -> None:
    agent = Beginner(stubborn=True)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run, things = await agent.begun()
        run.finish("done")
        await settle()
        stopping = asyncio.ensure_future(registry.cancel("s1"))
        await settle()
        things.end()
        assert (await stopping).verdict is Verdict.FINISHED_FIRST


async def test_a_cancellation_of_the_coroutines_own_stays_one_if_a_stop_comes_meanwhile() -> None:
    agent = Beginner(stubborn=True)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        run.fail(asyncio.CancelledError())
        await settle()
        stopping = asyncio.ensure_future(registry.cancel("s1"))
        await settle()
        things.end()
        assert (await stopping).verdict is Verdict.FINISHED_FIRST
        end = await receipt.ended()
        assert end.error is not None
        assert (end.status, end.error.code) == (TurnStatus.FAILED, "spontaneous_cancel")
        assert end.error.type == "CancelledError"


async def test_a_stop_is_answered_when_what_the_turn_has_begun_has_ended() -> None:
    """G3, G13."""
    agent = Beginner(stubborn=True)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        stopping = asyncio.ensure_future(registry.cancel("s1"))
        await settle()
        assert run.ended.is_set()
        assert not stopping.done()
        assert things.stops == [False]
        seen = await registry.turn("s1", receipt.turn_id)
        assert (seen.status, seen.still_running) == (TurnStatus.CANCELLING, StillRunning(processes=1))
        things.end()
        answer = await stopping
        assert answer.turn is not None
        assert (answer.verdict, answer.turn.still_running) == (Verdict.CANCELLED, None)


async def test_it_is_stopped_by_force_at_half_of_the_grace(clock: VirtualClock) -> None:
    """G6, G13: nothing more is begun from then on."""
    agent = Beginner(stubborn=True)
    async with opened(agent, cancel_grace=2) as registry:
        await registry.send("s1", "hello")
        run, things = await agent.begun()
        stopping = asyncio.ensure_future(registry.cancel("s1"))
        await clock.advance(0.9)
        assert (things.stops, run.turn.made_own.made_begun.closed) == ([False], False)
        await clock.advance(0.2)
        assert (things.stops, run.turn.made_own.made_begun.closed) == ([False, True], True)
        things.end()
        assert (await stopping).verdict is Verdict.CANCELLED


@pytest.mark.parametrize("returns", [False, True])
async def test_a_turn_is_given_up_for_what_outlasts_its_grace(returns: bool, clock: VirtualClock) -> None:
    """G6, G13: also where it has returned; its record says what runs, and its end is noted when it comes."""
    agent = Beginner(stubborn=True)
    async with opened(agent, cancel_grace=2, idle_ttl=10) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        if returns:
            run.finish("done")
            end = await receipt.ended()
        else:
            answer = await registry.cancel("s1")
            assert answer.turn is not None
            end = answer.turn
        assert (end.status, end.still_running) == (TurnStatus.UNRESPONSIVE, StillRunning(processes=1))
        assert things.stops == [False, True]
        successor = await registry.send("s1", "next")
        (await agent.scripted.run()).finish("next")
        first = things
        assert agent.things is not None
        agent.things.end()
        assert await successor.result() == "next"
        await clock.advance(30)
        assert (await registry.session("s1")).quarantined  # it does not go to sleep
        first.end()
        await settle()
        record = await registry.turn("s1", receipt.turn_id)
        assert record.ended_late is not None
        wanted = TurnStatus.COMPLETED if returns else TurnStatus.CANCELLED
        assert (record.ended_late.outcome, first.settled) == (wanted, 1)
        assert (await registry.counts()).counters.get("stale_reports_total") is None


async def test_a_send_is_answered_what_runs_on_of_the_turn_whose_place_it_took(clock: VirtualClock) -> None:
    """G3, G13."""
    agent = Beginner(stubborn=True)
    async with opened(agent, cancel_grace=2) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
        receipt = await registry.send("s1", "next")
        before = receipt.superseded
        assert before is not None
        assert (before.verdict, before.still_running) == (Verdict.UNRESPONSIVE, StillRunning(processes=1))
        things.end()
        (await agent.begun())[1].end()
        await settle()


async def test_what_runs_of_a_quarantined_turn_whose_coroutine_has_ended_keeps_it_quarantined(
    clock: VirtualClock,
) -> None:
    agent = Beginner(stubborn=True)
    agent.scripted.swallows = FOREVER
    async with opened(agent, cancel_grace=2) as registry:
        receipt = await registry.send("s1", "hello")
        run, things = await agent.begun()
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        run.finish("late")
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).ended_late is None
        things.end()
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).ended_late is not None
        assert (await registry.counts()).counters.get("stale_reports_total") is None


async def test_a_turn_is_not_given_up_for_what_is_not_counted(clock: VirtualClock) -> None:
    """It ends at the end of the ladder, as its coroutine has."""
    agent = Beginner(counted_as=None, stubborn=True)
    async with opened(agent, cancel_grace=2) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
        answer = await registry.cancel("s1")
        assert answer.turn is not None
        assert (answer.verdict, answer.turn.still_running) == (Verdict.CANCELLED, None)
        assert clock.elapsed == pytest.approx(2)
        assert things.stops == [False, True]


async def test_at_a_shutdown_everything_is_stopped(clock: VirtualClock) -> None:
    """G10."""
    agent = Beginner(stubborn=True)
    async with opened(agent, shutdown_deadline=2) as registry:
        await registry.send("s1", "hello")
        _, things = await agent.begun()
    assert things.stops[:2] == [False, True]
