"""The turns of one session whose coroutines run, and what they may not do to others."""

import asyncio
import contextvars
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import pytest

from tests.fakes import FOREVER, Run, ScriptedAgent, VirtualClock, done, names, opened, settle, waiting
from turnkeeper.actors.model.exceptions import AgentExited, TurnFailed
from turnkeeper.actors.model.messages import Cancel, Send
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Idle, State
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn


async def started(registry: SessionRegistry, agent: ScriptedAgent, **keywords: Any) -> tuple[Any, Run]:
    """A turn of s1 that runs: its receipt and its run."""
    receipt = await registry.send("s1", "hello", **keywords)
    return receipt, await agent.run()


async def record_of(registry: SessionRegistry, receipt: Any) -> TurnRecord:
    return await registry.turn(receipt.session_id, receipt.turn_id)


# -- One turn ---------------------------------------------------------------------------------------


request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="not set")


async def test_the_senders_context_variables_do_not_leak_into_the_turn() -> None:
    async def agent(turn: Turn) -> str:
        return request.get()

    async with opened(agent) as registry:
        request.set("ada's")
        assert await (await registry.send("s1", "hello")).result() == "not set"
        stream = await registry.subscribe("s1")
        stream.close()
        assert await (await registry.send("s1", "hello")).result() == "not set"


async def test_one_turns_context_variables_do_not_leak_into_another() -> None:
    def agent(turn: Turn) -> Any:
        seen = request.get()
        request.set(turn.user)

        async def run() -> str:
            request.set(f"{turn.user} again")
            return seen

        return run()

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "hello", user="ada")).result() == "not set"
        assert await (await registry.send("s2", "hello", user="bob")).result() == "not set"


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("kind", ["returns", "raises", "emits"])
    async def test_an_eager_task_that_ends_before_it_is_stored_is_a_turn_like_any_other(kind: str) -> None:
        """G2, G7: the record exists before the task does."""

        async def agent(turn: Turn) -> str:
            if kind == "raises":
                raise KeyError
            if kind == "emits":
                turn.emit("word", 1)
            return turn.text

        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with opened(agent) as registry:
            stream = await registry.subscribe("s1")
            receipt = await registry.send("s1", "hello")
            if kind == "raises":
                with pytest.raises(TurnFailed):
                    await receipt.result()
            else:
                assert await receipt.result() == "hello"
            await settle()
            events = [event for event in waiting(stream) if event.id is not None]
            stream.close()
            assert names(events)[0] == "turn.started"
            assert [event.n for event in events if event.epoch == receipt.epoch] == list(
                range(sum(event.epoch == receipt.epoch for event in events))
            )
        asyncio.get_running_loop().set_task_factory(None)

    async def test_an_eager_turn_is_cancelled_and_superseded_like_any_other() -> None:
        """G1."""
        agent = ScriptedAgent()
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with opened(agent) as registry:
            await started(registry, agent)
            await started(registry, agent)
            assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
            assert agent.most_at_once == 1
        asyncio.get_running_loop().set_task_factory(None)


@pytest.mark.parametrize("passes", range(4))
async def test_a_task_that_a_plain_function_has_started_has_stopped_before_the_verdict(passes: int) -> None:
    """G3, G5: nothing goes on behind it, whenever the cancel comes."""
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        await asyncio.Event().wait()

    def agent(turn: Turn) -> Any:
        tasks.append(asyncio.create_task(work()))
        return tasks[-1]

    async with opened(Agent(agent, on_loop=True)) as registry:
        registry.ref.tell(Send("s1", "hello"))
        await settle(passes)
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        assert all(task.cancelled() for task in tasks)
    assert tasks or passes < 3


async def test_an_agent_is_not_called_for_a_turn_that_is_stopped_before_its_first_step() -> None:
    called: list[Turn] = []

    def agent(turn: Turn) -> Any:
        called.append(turn)
        return done(turn)

    async with opened(agent) as registry:
        registry.ref.tell(Send("s1", "hello"))
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
    assert not called


@pytest.mark.parametrize("passes", range(4))
async def test_a_turn_that_ends_when_it_is_given_up_has_ended_late(passes: int, clock: VirtualClock) -> None:
    """G6, G8: or it would be held, and count, for as long as its session is known."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=2, idle_ttl=10) as registry:
        receipt, run = await started(registry, agent)
        cancelling = asyncio.create_task(registry.cancel("s1", receipt.turn_id))
        await clock.advance(1.5)
        assert run.cancels == 2
        clock.jump(1)
        await settle(passes)  # its coroutine ends before the tick, in the same pass, or after it
        run.finish("late")
        verdict = (await cancelling).verdict
        await settle()
        record = await record_of(registry, receipt)
        assert (verdict is Verdict.UNRESPONSIVE) == (record.ended_late is not None)
        await clock.advance(60)
        assert registry.directory.entries[receipt.session_id].actor is None


# -- What a task of a turn's raises -----------------------------------------------------------------


EXITED = AgentExited("the agent raised SystemExit(3)")


async def test_a_turn_whose_task_would_have_ended_the_process_is_cancelled_and_has_failed() -> None:
    """G2, G14."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt, run = await started(registry, agent)
        run.turn.end_with(EXITED)
        with pytest.raises(TurnFailed, match="system_exit") as caught:
            await receipt.result()
        assert caught.value.__cause__ is EXITED
        assert run.cancels == 1
        record = await record_of(registry, receipt)
        assert record.cancellation is None
        _, run = await started(registry, agent)
        assert run.turn.exited is None


async def test_it_has_failed_however_its_coroutine_ends() -> None:
    """G2, G14."""
    agent = ScriptedAgent(swallows=9)
    async with opened(agent) as registry:
        receipt, run = await started(registry, agent)
        run.turn.end_with(EXITED)
        await settle()
        run.finish()
        with pytest.raises(TurnFailed, match="system_exit"):
            await receipt.result()


async def test_a_turn_that_is_being_cancelled_is_not_cancelled_again_by_it() -> None:
    """G2, G3: what cleans up goes on, and the turn has failed first."""
    agent = ScriptedAgent(swallows=9)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        cancelling = asyncio.ensure_future(registry.cancel("s1"))
        await settle()
        run.turn.end_with(EXITED)
        await settle()
        assert run.cancels == 1
        run.finish()
        assert (await cancelling).verdict is Verdict.FINISHED_FIRST


async def test_it_ends_no_turn_but_its_own() -> None:
    """G14."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt, run = await started(registry, agent)
        _, successor = await started(registry, agent)
        run.turn.end_with(EXITED)
        await settle()
        assert successor.cancels == 0
        assert (await record_of(registry, receipt)).status is TurnStatus.CANCELLED
        successor.finish()
        await settle()
        await registry.cleanup()
        successor.turn.end_with(EXITED)
        await registry.close("s1")
        successor.turn.end_with(EXITED)
        await settle()
    successor.turn.end_with(EXITED)


# -- Whether the agent began ------------------------------------------------------------------------


async def word_by_word(turn: Turn) -> AsyncIterator[str]:
    yield "word"


def handed_on(turn: Turn) -> Any:
    return done(turn)


@pytest.mark.parametrize("agent", [done, word_by_word, handed_on], ids=lambda agent: agent.__name__)
async def test_a_turn_whose_agent_was_entered_began(agent: Any) -> None:
    async with opened(agent) as registry, aclosing(registry.events("s1", after="0")) as events:
        receipt = await registry.send("s1", "hello")
        assert (await receipt.ended()).began is True
        async for event in events:
            if event.name == "turn.completed":
                assert event.data["began"] is True
                break


async def test_an_agent_that_raises_at_once_began_all_the_same() -> None:
    def agent(turn: Turn) -> Any:
        raise ValueError

    async with opened(agent) as registry:
        assert (await (await registry.send("s1", "hello")).ended()).began is True


async def test_a_turn_that_is_cancelled_before_its_first_step_never_began() -> None:
    async with opened(ScriptedAgent()) as registry:
        sent, stopped = await asyncio.gather(registry.ask(Send("s1", "hello")), registry.ask(Cancel("s1")))
        assert (sent.status, sent.began) == (TurnStatus.RUNNING, None)
        assert stopped.turn is not None
        assert (stopped.verdict, stopped.turn.began) == (Verdict.CANCELLED, False)


@pytest.mark.parametrize("stop", [False, True], ids=["superseded", "stopped"])
async def test_a_turn_that_only_waited_never_began(stop: bool) -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        waits = asyncio.ensure_future(registry.send("s1", "waits", turn_id="w"))
        await settle()
        queued = await registry.turn("s1", "w")
        assert (queued.status, queued.began) == (TurnStatus.QUEUED, None)
        other = registry.ask(Cancel("s1", "w") if stop else Send("s1", "newer"))
        answer = await registry.ask(Send("s1", "waits", turn_id="w"))
        assert (answer.repeated, answer.began) == (True, False)
        run.finish()
        await other
        receipt = await waits
        assert (receipt.status, receipt.began) == (TurnStatus.CANCELLED, False)
        assert (await receipt.ended()).began is False


async def test_a_turn_whose_cancel_came_first_never_began() -> None:
    async with opened(done) as registry:
        await registry.cancel("s1", "t1")
        receipt = await registry.send("s1", "hello", turn_id="t1")
        assert (receipt.began, (await registry.turn("s1", "t1")).began) == (False, False)


@pytest.mark.parametrize("hook", ["stage", "load_context"])
async def test_what_the_host_has_put_before_its_agent_does_not_count(hook: str, clock: VirtualClock) -> None:
    """In flight it is not known yet whether the agent will begin; at the turn's end it is."""
    entered, free, agent = asyncio.Event(), asyncio.Event(), ScriptedAgent()

    async def stubborn(data: Any, _: Any) -> Any:
        entered.set()
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
        return data

    load = stubborn if hook == "load_context" else None
    registry = SessionRegistry(agent, settings=Settings(slow_loop=0, cancel_grace=2), load_context=load)
    if hook == "stage":
        registry.stage("pre_process_msg")(stubborn)
    async with registry:
        await registry.send("s1", "hello", turn_id="t1")
        await entered.wait()
        assert (await registry.turn("s1", "t1")).began is None
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.UNRESPONSIVE
        assert answer.turn is not None
        assert answer.turn.began is False
        free.set()
        await settle()
        assert not agent.runs


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("loads", [False, True])
async def test_an_agent_behind_stages_and_a_context_begins_when_they_are_done(
    staged: bool, loads: bool
) -> None:
    async def load(session: str, user: str) -> None: ...

    agent = ScriptedAgent()
    registry = SessionRegistry(agent, settings=Settings(slow_loop=0), load_context=load if loads else None)
    if staged:
        registry.stage("pre_process_msg")(lambda data, context: data)
    async with registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        assert (await registry.turn("s1", receipt.turn_id)).began is True
        session = await registry.session("s1")
        assert session.turn is not None
        assert session.turn.began is True
        run.finish()
        assert (await receipt.ended()).began is True


async def test_a_turn_that_a_stage_fails_never_began() -> None:
    registry = SessionRegistry(done, settings=Settings(slow_loop=0))

    @registry.stage("pre_process_msg")
    def refuses(data: dict[str, Any], context: Any) -> dict[str, Any]:
        raise ValueError

    async with registry:
        ended = await (await registry.send("s1", "hello")).ended()
        assert (ended.status, ended.began) == (TurnStatus.FAILED, False)


async def test_a_turns_end_is_decided_before_the_loop_does_anything_else() -> None:
    async def agent(_turn: Turn) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _task: seen.append(registry.directory.entries["s1"].state))

    seen: list[State] = []
    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
        assert [type(state) for state in seen] == [Idle]
