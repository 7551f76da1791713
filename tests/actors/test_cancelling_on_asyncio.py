"""What goes wrong when one cancels on asyncio, and that it does not go wrong here.

One test for each hazard that was reproduced before any of this was written; the docstring names the hazard.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, names, opened, settle, waiting
from turnkeeper.actors.model.exceptions import TurnFailed, WaitsForItself
from turnkeeper.actors.model.messages import Cancel, Send
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn


async def test_a_turn_cancelled_before_its_first_step_still_ends_properly() -> None:
    """A task cancelled before its first step runs neither its body nor its ``finally``."""
    ran: list[str] = []

    async def agent(turn: Turn) -> None:
        try:
            ran.append("body")
        finally:
            ran.append("finally")

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        sending = registry.ask(Send("s1", "hello"))
        answer = await registry.cancel("s1")
        assert (await sending).status is TurnStatus.RUNNING
        assert (answer.verdict, ran) == (Verdict.CANCELLED, [])
        assert names(waiting(stream)) == ["snapshot", "turn.started", "turn.cancelled", "close"]
        stream.close()
        assert (await registry.session("s1")).state == "idle"


async def test_a_coroutine_that_swallows_its_cancel_and_returns_has_finished_first() -> None:
    """A coroutine that swallows its cancel ends normally, and its task says that it was not cancelled."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        cancelling = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        run.finish("result")
        assert (await cancelling).verdict is Verdict.FINISHED_FIRST
        assert await receipt.result() == "result"
        assert (await receipt.ended()).cancel_requested_at is not None


async def test_an_error_in_a_task_group_after_a_swallowed_cancel_is_reported_as_it_was_raised() -> None:
    """Swallowing without ``uncancel`` may turn a later TaskGroup error into a CancelledError (3.13)."""
    begun = asyncio.Event()

    async def fail() -> None:
        raise KeyError

    async def agent(turn: Turn) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        await begun.wait()
        assert (await registry.cancel("s1")).verdict is Verdict.FINISHED_FIRST
        with pytest.raises(TurnFailed) as caught:
            await receipt.result()
        assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_a_task_that_waits_for_a_cancel_can_be_cancelled_itself() -> None:
    """Awaiting a cancelled task and ignoring its CancelledError eats the waiter's own cancellation."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        waiter = asyncio.create_task(registry.cancel("s1"))
        await run.cancelled.wait()
        waiter.cancel()
        await asyncio.wait({waiter})
        assert waiter.cancelled()
        assert not run.ended.is_set()


async def test_a_second_stop_does_not_interrupt_the_cleanup_of_the_first() -> None:
    """A second ``cancel()`` interrupts the cleanup that the first one started."""
    begun, cleaning, go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    cleaned: list[bool] = []

    async def agent(turn: Turn) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await go.wait()
            cleaned.append(True)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        stops = [asyncio.create_task(registry.cancel("s1"))]
        await cleaning.wait()
        stops += [asyncio.create_task(registry.cancel("s1")) for _ in range(3)]
        sending = asyncio.create_task(registry.send("s1", "next", strategy="interrupt"))
        await settle()
        assert cleaned == []
        go.set()
        assert {(await stop).verdict for stop in stops} == {Verdict.CANCELLED}
        assert cleaned == [True]
        await sending


async def test_a_turn_that_ignores_cancellation_is_given_up_in_bounded_time(clock: VirtualClock) -> None:
    """A task may ignore cancellation for ever."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent, cancel_grace=3) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        before = clock.elapsed
        assert (await registry.cancel("s1")).verdict is Verdict.UNRESPONSIVE
        assert clock.elapsed - before == pytest.approx(3, abs=0.01)
        assert run.cancels == 2
        assert (await registry.counts()).unresponsive == 1


async def test_a_cancel_at_the_moment_of_an_answer_is_not_lost() -> None:
    """``asyncio.wait_for`` on 3.11 may lose a cancellation and return the result instead."""
    for passes in range(8):
        agent = ScriptedAgent()
        async with opened(agent) as registry:
            stream = await registry.subscribe("s1")
            stream.take()
            reading = asyncio.create_task(stream.read())
            await settle(3)
            await registry.send("s1", "hello")
            await settle(passes)
            cancelled = reading.cancel()
            await asyncio.wait({reading})
            assert reading.cancelled() is cancelled
            stream.close()


async def test_waiting_for_a_stubborn_turn_ends_when_the_grace_ends_and_not_before_it_lets_go(
    clock: VirtualClock,
) -> None:
    """``wait_for`` bounds no wait for a task that swallows; with ``shield`` old and new overlap."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=3) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        sending = asyncio.create_task(registry.send("s1", "next"))
        await run.cancelled.wait()
        await clock.advance(1)
        assert len(agent.runs) == 1
        await sending
        await agent.run()
        assert run.ended.is_set()
        assert agent.most_at_once == 1


async def test_no_verdict_before_the_cleanup_has_run() -> None:
    """Cancelling a future of ``run_coroutine_threadsafe`` fires its callbacks before the ``finally``."""
    events: list[str] = []
    begun = asyncio.Event()

    async def agent(turn: Turn) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("finally")

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        assert (await asyncio.to_thread(registry.ref.ask, Cancel("s1"), timeout=60)).verdict == "cancelled"
        events.append("verdict")
    assert events == ["finally", "verdict"]


async def test_the_registry_is_up_to_date_as_soon_as_the_end_is_reported() -> None:
    """Asynchronous cleanup from a done-callback leaves the registry stale after the task's end."""
    async with opened(done) as registry:
        receipt = await registry.send("s1", "hello")
        await receipt.ended()
        assert await registry.active() == ()
        assert (await registry.session("s1")).state == "idle"


async def test_the_end_of_the_old_turn_leaves_its_successor_alone(clock: VirtualClock) -> None:
    """The old turn's cleanup removes its successor's entry."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent) as registry:
        await registry.send("s1", "one")
        old = await agent.run()
        second = await registry.send("s1", "two")
        await agent.run()
        old.finish()
        await old.ended.wait()
        await settle()
        assert [each.turn.turn_id for each in await registry.active()] == [second.turn_id]


async def test_a_turn_that_nothing_else_refers_to_is_not_collected(clock: VirtualClock) -> None:
    """The loop holds tasks weakly: a pending one may be garbage collected, quarantined ones too."""
    ends: list[str] = []
    futures: dict[str, int] = {}

    async def agent(turn: Turn) -> None:
        for _ in range(9):
            try:
                # Only this coroutine knows the future it waits for.
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                futures[turn.turn_id] = futures.get(turn.turn_id, 0) + 1
                if turn.text == "obeys" or futures[turn.turn_id] > 2:
                    raise
            finally:
                ends.append(turn.turn_id)

    async with opened(agent) as registry:
        await registry.send("s1", "obeys", turn_id="t1")
        await registry.send("s2", "stubborn", turn_id="t2")
        await settle()
        await registry.cancel("s2")
        gc.collect()
        assert ends == ["t2", "t2"]
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert (await registry.counts()).unresponsive == 1
        [left] = [task for task in asyncio.all_tasks() if task.get_name() in ("t1", "t2")]
        assert left.get_name() == "t2"
        left.cancel()
        await settle()
        assert (await registry.turn("s2", "t2")).ended_late is not None


async def test_giving_up_an_answer_leaves_no_task_behind() -> None:
    """``shield`` leaves the inner task running as an orphan."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        before = len(asyncio.all_tasks())
        for _ in range(5):
            waiter = asyncio.create_task(registry.cancel("s1"))
            await settle(3)
            waiter.cancel()
            await asyncio.wait({waiter})
        assert len(asyncio.all_tasks()) == before


async def test_work_in_a_thread_can_see_that_it_should_stop() -> None:
    """Work in an executor goes on after it was "cancelled"."""
    begun, stopped = threading.Event(), threading.Event()

    async def agent(turn: Turn) -> None:
        def work() -> None:
            begun.set()
            while not turn.cancel_requested:
                stopped.wait(0.001)
            stopped.set()

        await asyncio.to_thread(work)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await asyncio.to_thread(begun.wait, 5)
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert await asyncio.to_thread(stopped.wait, 5)


async def test_a_generator_is_finalised_in_the_turn_and_not_later_elsewhere() -> None:
    """An async generator left by ``break`` or cancel is finalised later, in another task."""
    closed_in: list[Any] = []
    begun = asyncio.Event()

    async def agent(turn: Turn) -> AsyncGenerator[str, None]:
        task = asyncio.current_task()
        try:
            yield "one"
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed_in.append(asyncio.current_task() is task)

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        await registry.cancel("s1")
        assert closed_in == [True]


async def test_a_task_group_in_a_turn_leaves_no_siblings_running() -> None:
    """``gather`` leaves siblings running when one fails; what a turn starts in a TaskGroup ends with it."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("sibling")

    async def agent(turn: Turn) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(wait())

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert ended == ["sibling", "sibling"]


async def test_a_cancelled_error_without_a_cancel_is_a_failure() -> None:
    """The coroutine raises CancelledError by itself."""

    async def agent(turn: Turn) -> None:
        raise asyncio.CancelledError

    async with opened(agent) as registry:
        record = await (await registry.send("s1", "hello")).ended()
        assert record.status is TurnStatus.FAILED
        assert record.error is not None
        assert record.error.code == "spontaneous_cancel"


async def test_a_turn_that_stops_its_own_session_does_not_wait_for_itself() -> None:
    """A turn that cancels its own session and awaits that waits for its own end."""
    met: list[BaseException] = []

    async def agent(turn: Turn) -> None:
        try:
            await registry.cancel("s1")
        except WaitsForItself as error:
            met.append(error)
        await registry.cancel("s1", wait=False)
        await asyncio.Event().wait()

    async with opened(agent) as registry:
        assert (await (await registry.send("s1", "hello")).ended()).status is TurnStatus.CANCELLED
        assert len(met) == 1


async def test_the_reason_of_a_cancel_is_there_before_the_cancel_is() -> None:
    """What is passed to ``cancel(msg)`` is visible only inside the task."""
    seen: list[Any] = []
    begun = asyncio.Event()

    async def agent(turn: Turn) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append((turn.cancel_requested, turn.reason and turn.reason.text))
            raise

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        answer = await registry.cancel("s1", text="enough")
        assert seen == [(True, "enough")]
        assert answer.turn is not None
        assert answer.turn.reason is not None
        assert answer.turn.reason.text == "enough"


async def test_nothing_of_ours_relies_on_an_await_in_the_hosts_cleanup(clock: VirtualClock) -> None:
    """Level-triggered cancellation (anyio) cancels every further ``await`` of a cleanup again."""

    async def agent(turn: Turn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise asyncio.CancelledError("again")

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s1", "hello")
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert names(waiting(stream))[-2:] == ["turn.cancelled", "close"]
        stream.close()


async def test_a_cancel_of_all_misses_none_that_end_meanwhile(clock: VirtualClock) -> None:
    """Awaiting cancels while iterating over the live list of tasks misses some."""
    agent = ScriptedAgent()
    async with opened({"default": agent, "done": done}) as registry:
        names_of_agents = ["done", "default", "default"] * 10
        receipts = [await registry.send(f"s{n}", "x", agent=each) for n, each in enumerate(names_of_agents)]
        await registry.drain()
        assert await registry.active() == ()
        ended = [(await receipt.ended()).status for receipt in receipts]
        assert ended == ["completed", "cancelled", "cancelled"] * 10


async def test_of_a_cancel_and_an_end_in_the_same_moment_the_first_decides() -> None:
    """Cancel and completion race."""
    for passes in range(6):
        agent = ScriptedAgent()
        async with opened(agent) as registry:
            stream = await registry.subscribe("s1")
            receipt = await registry.send("s1", "hello")
            run = await agent.run()
            run.finish("result")
            await settle(passes)
            answer = await registry.cancel("s1", receipt.turn_id)
            record = await receipt.ended()
            expected = {"cancelled": Verdict.CANCELLED, "completed": Verdict.FINISHED_FIRST}
            assert answer.verdict is expected[record.status.value]
            seen = [event.name for event in waiting(stream) if event.id is not None]
            assert seen == ["turn.started", f"turn.{record.status.value}"]
            stream.close()


async def test_the_record_exists_before_the_task_does() -> None:
    """Eager tasks (3.12+) may finish before their handle is stored."""
    seen: list[Any] = []

    def agent(turn: Turn) -> Any:
        turn.emit("word", 1)  # before there is a task at all
        seen.append(turn.epoch)
        return done(turn)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        assert await receipt.result() == "done: hello"
        assert seen == [receipt.epoch]
        assert names(waiting(stream)) == ["snapshot", "turn.started", "word", "turn.completed"]
        stream.close()


async def test_the_end_does_not_wait_for_a_stubborn_turn(clock: VirtualClock) -> None:
    """``asyncio.run`` cancels once at its exit and then waits for ever."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent, cancel_grace=3600) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        before = clock.elapsed
        await registry.stop()
        assert clock.elapsed - before <= 10


async def test_a_turn_that_blocks_the_loop_is_stopped_as_soon_as_it_awaits(clock: VirtualClock) -> None:
    """Blocking code never reaches an ``await``, so nothing can cancel it meanwhile."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        begun.set()
        await go.wait()
        clock.jump(60)  # it computes for a minute
        await asyncio.Event().wait()

    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await begun.wait()
        go.set()
        await asyncio.sleep(0)
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.CANCELLED
        assert (await registry.counts()).unresponsive == 0
