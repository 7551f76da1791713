"""What a restart does: to turns, by the policy of their agents, and to those who read along (G11)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, names, opened, settle, waiting
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import EventsLost, ShuttingDown, TurnIdReused
from turnkeeper.actors.model.messages import FollowTurn
from turnkeeper.actors.model.policy import Decided
from turnkeeper.actors.model.records import TurnOptions
from turnkeeper.actors.model.words import Layer, OnRestart, Rollback, SessionState, TurnStatus, Verdict
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.winding.hooks import UndoneTurn


@asynccontextmanager
async def open_on(
    journal: MemoryJournal, scripted: ScriptedAgent, on_restart: str = "interrupt", **more: Any
) -> AsyncIterator[SessionRegistry]:
    try:
        async with opened(Agent(scripted, on_restart=on_restart), journal=journal, **more) as registry:
            yield registry
            scripted.release()
    finally:
        scripted.release()


async def killed(
    clock: VirtualClock,
    *said: str,
    lost: tuple[str, ...] = (),
    more: int = 0,
    on_restart: str = "interrupt",
) -> MemoryJournal:
    """What is left of a process that was killed while turn t1 ran, which had said this.

    What is ``lost`` was seen, and not written. So many turns waited behind it.
    """
    journal, agent = SlowJournal(), ScriptedAgent()
    async with open_on(journal, agent, on_restart) as registry:
        await registry.send("s1", "hello", turn_id="t1", user="ada")
        run = await agent.run()
        for text in said:
            run.turn.emit("delta", {"text": text})
        await clock.advance(1.0)
        for text in lost:
            run.turn.emit("delta", {"text": text})
        for number in range(more):
            await registry.send("s1", "next", turn_id=f"t{number + 2}", wait=False)
        return journal.after_a_kill()


async def told(registry: SessionRegistry, after: str | None = None) -> list[Event]:
    return [event async for event in registry.turn_events("s1", "t1", after=after)]


# -- Turns ------------------------------------------------------------------------------------------------


async def test_a_turn_that_ran_is_interrupted_and_says_what_of_it_is_kept(clock: VirtualClock) -> None:
    journal = await killed(clock, "one ", "two ", lost=("three ",))
    async with open_on(journal, ScriptedAgent()) as registry:
        record = await registry.turn("s1", "t1")
        assert (record.status, record.attempt) == (TurnStatus.INTERRUPTED, 1)
        *before, last = await told(registry)
        assert names(before) == ["turn.started", "delta", "delta"]
        assert last.name == "turn.interrupted"
        assert last.epoch is not None
        assert before[0].epoch is not None
        assert last.epoch > before[0].epoch
        assert last.n == 0
        assert (last.data["kept"], last.data["will_continue"]) == (before[-1].id, False)
        assert await registry.messages("s1") is not None


@pytest.mark.parametrize("policy", ["rerun", "continue"])
async def test_a_turn_is_started_again_and_reads_as_one(clock: VirtualClock, policy: str) -> None:
    journal, agent = await killed(clock, "one ", "two ", lost=("three ",), on_restart=policy), ScriptedAgent()
    async with open_on(journal, agent, policy) as registry:
        await settle()
        waits = await registry.turn("s1", "t1")
        assert (waits.status, waits.attempt) == (TurnStatus.QUEUED, 2)
        assert (await registry.session("s1")).state is SessionState.QUEUED
        run = await agent.run()
        assert (run.turn.attempt, run.turn.turn_id) == (2, "t1")
        assert run.turn.partial == ("one two " if policy == "continue" else "")
        run.turn.emit("delta", {"text": "end"})
        run.finish()
        events = await told(registry)
        assert names(events) == [
            "turn.started",
            "delta",
            "delta",
            "turn.interrupted",
            "turn.started",
            "delta",
            "turn.completed",
        ]
        assert [events[0].data["attempt"], events[4].data["attempt"], events[-1].data["attempt"]] == [1, 2, 2]
        assert events[3].data["will_continue"] is True
        assert len({event.id for event in events}) == len(events)
        epochs = [event.epoch or 0 for event in events]
        assert epochs == sorted(epochs)
        reply = (await registry.messages("s1")).messages[-1]["content"]
        assert reply == ("one two end" if policy == "continue" else "end")


async def test_a_turn_that_starts_over_leaves_what_its_last_attempt_had_said(clock: VirtualClock) -> None:
    left, journal, agent = await killed(clock, "one ", on_restart="rerun"), SlowJournal(), ScriptedAgent()
    journal._logs = left._logs
    async with open_on(journal, agent, "rerun") as registry:
        (await agent.run()).turn.emit("delta", {"text": "anew "})
        await clock.advance(1.0)
        left = journal.after_a_kill()
    async with open_on(left, ScriptedAgent(), "rerun") as registry:
        assert (await registry.cancel("s1", "t1")).verdict is Verdict.CANCELLED
        said = (await registry.messages("s1")).messages
        assert [message["content"] for message in said] == ["hello", "anew "]


async def test_a_cancel_of_a_turn_that_a_shutdown_handed_over_leaves_the_conversation_as_it_was() -> None:
    journal, release = MemoryJournal(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": f"to {turn.text}"})
        try:
            await asyncio.sleep(0.0 if turn.text == "hello" else 3600.0)
        except asyncio.CancelledError:
            if turn.text == "hold":
                await release.wait()
            raise

    handed_over = Agent(agent, on_restart="rerun")
    async with opened(handed_over, journal=journal) as registry:
        await (await registry.send("s1", "hello")).ended()
        await registry.send("s1", "work")
        await registry.send("s2", "hold")
        stopping = asyncio.create_task(registry.stop())
        await settle()
        assert (await registry.cancel("s1")).verdict is Verdict.CANCELLED
        release.set()
        await stopping
    async with opened(handed_over, journal=journal) as registry:
        said = (await registry.messages("s1")).messages
        assert [message["content"] for message in said] == ["hello", "to hello", "work", "to work"]


async def test_a_turn_that_needs_what_its_process_had_is_started_in_no_other(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    bounds: dict[str, Any] = {"max_in_flight": 2, "on_cap": "wait"}
    async with open_on(journal, agent, "rerun", **bounds) as registry:
        for session in ("needs", "may", "needs-waits", "may-waits"):
            options = TurnOptions(context=Context(session, "ada"), needed=session.startswith("needs"))
            await registry.send(session, "hi", turn_id="t1", user="ada", options=options, wait=False)
        await clock.advance(1.0)
        left = journal.after_a_kill()
    async with open_on(left, ScriptedAgent(), "rerun", **bounds) as registry:
        await settle()
        became = {
            session: (await registry.turn(session, "t1")).status for session in registry.directory.entries
        }
        assert became == {
            "needs": TurnStatus.INTERRUPTED,
            "needs-waits": TurnStatus.INTERRUPTED,
            "may": TurnStatus.QUEUED,
            "may-waits": TurnStatus.RUNNING,
        }


async def test_a_turn_that_is_cut_off_again_and_again_is_interrupted_in_the_end(clock: VirtualClock) -> None:
    left = await killed(clock, "one ", on_restart="continue")
    for attempt in (2, 3):
        journal, agent = SlowJournal(), ScriptedAgent()
        journal._logs = left._logs
        async with open_on(journal, agent, "continue") as registry:
            run = await agent.run()
            assert run.turn.attempt == attempt
            assert run.turn.partial == "one " + "more " * (attempt - 2)
            run.turn.emit("delta", {"text": "more "})
            await clock.advance(1.0)
            left = journal.after_a_kill()
    async with open_on(left, ScriptedAgent(), "continue") as registry:
        record = await registry.turn("s1", "t1")
        assert (record.status, record.attempt) == (TurnStatus.INTERRUPTED, 3)
        assert names(await told(registry)).count("turn.started") == 3


async def test_what_waited_starts_after_what_was_interrupted(clock: VirtualClock) -> None:
    journal, agent = await killed(clock, more=1, on_restart="continue"), ScriptedAgent()
    async with open_on(journal, agent, "continue") as registry:
        run = await agent.run()
        assert (run.turn.turn_id, run.turn.attempt) == ("t2", 1)
        first = await registry.turn("s1", "t1")
        # Its cancel was asked: by the send.
        assert (first.status, first.superseded_by) == (TurnStatus.INTERRUPTED, "t2")


async def test_what_a_send_says_beside_its_message_is_there_again_in_the_next_process(
    clock: VirtualClock,
) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    said: tuple[dict[str, Any], ...] = ({"seed": 1, "stop": ["\u20ac"]}, {"b": None, "a": {"n": 10**30}})
    async with open_on(journal, agent, "continue") as registry:
        for number, params in enumerate(said):
            more: dict[str, Any] = {"strategy": "enqueue", "params": params, "turn_id": f"t{number}"}
            await registry.send("s1", "hello", user="ada", **more)
        await agent.run()
        await clock.advance(1.0)
        left = journal.after_a_kill()
    again = ScriptedAgent()
    async with open_on(left, again, "continue") as registry:
        for number, params in enumerate(said):
            run = await again.run()
            assert (run.turn.turn_id, run.turn.attempt, run.turn.params) == (f"t{number}", 2 - number, params)
            assert [*run.turn.params] == [*params]
            retry = {"strategy": "enqueue", "turn_id": f"t{number}", "user": "ada"}
            assert (await registry.send("s1", "hello", params=params, **retry)).repeated
            with pytest.raises(TurnIdReused):
                await registry.send("s1", "hello", **retry)
            run.finish()
            await settle()
        await registry.cleanup()
        records = [await registry.turn("s1", f"t{number}") for number in range(len(said))]
        assert [(each.status, each.params) for each in records] == [
            (TurnStatus.COMPLETED, params) for params in said
        ]


async def test_the_policy_of_a_turn_outlives_its_process_and_the_hosts_word(clock: VirtualClock) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(Agent(agent, cancel_grace=30), journal=journal, turn_timeout=60) as registry:
        sent = await registry.send("s1", "hello", turn_id="t1", timeout=600, policy={"max_events": 9})
        expected = (await registry.turn("s1", sent.turn_id)).policy
        assert expected.decided("turn_timeout") == Decided(60.0, Layer.DEFAULT, None, 600.0)
        left = journal.after_a_kill()
        agent.release()
    for _ in range(2):  # as it is decided, and as it was written then
        async with opened(Agent(agent, cancel_grace=1), journal=left) as registry:
            assert (await registry.turn("s1", "t1")).policy == expected


@pytest.mark.parametrize(("sent_with", "status"), [("rerun", "queued"), ("interrupt", "interrupted")])
async def test_what_becomes_of_a_turn_was_decided_when_it_was_sent(
    clock: VirtualClock, sent_with: str, status: str
) -> None:
    journal, agent = await killed(clock, on_restart=sent_with), ScriptedAgent()
    async with open_on(journal, agent, "interrupt" if sent_with == "rerun" else "rerun") as registry:
        await settle()
        assert (await registry.turn("s1", "t1")).status == status


async def test_a_turn_whose_agent_is_gone_is_interrupted(clock: VirtualClock) -> None:
    journal = await killed(clock)
    async with opened({"another": Agent(ScriptedAgent())}, journal=journal) as registry:
        assert (await registry.turn("s1", "t1")).status is TurnStatus.INTERRUPTED


async def test_a_turn_that_waits_can_be_stopped_and_its_end_has_an_id(clock: VirtualClock) -> None:
    journal, agent = await killed(clock, "one ", on_restart="rerun"), ScriptedAgent()
    async with open_on(journal, agent, "rerun") as registry:
        answer = await registry.cancel("s1", "t1", user="ada")
        assert answer.verdict is Verdict.CANCELLED
        await clock.advance(60.0)
        events = await told(registry)
        assert names(events)[-2:] == ["turn.interrupted", "turn.cancelled"]
        assert events[-1].id is not None
        assert agent.runs == []


# -- A shutdown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(OnRestart))
async def test_a_shutdown_hands_over_what_goes_on_and_cancels_what_does_not(
    clock: VirtualClock, policy: OnRestart
) -> None:
    journal, agent = MemoryJournal(), ScriptedAgent()
    async with open_on(journal, agent, policy) as registry:
        receipt = await registry.send("s1", "hello", turn_id="t1")
        (await agent.run()).turn.emit("delta", {"text": "one "})
        waits = asyncio.ensure_future(receipt.ended())
        await registry.stop()
    if policy is OnRestart.INTERRUPT:
        assert (await waits).status is TurnStatus.CANCELLED
    else:
        with pytest.raises(ShuttingDown):
            await waits
    agent = ScriptedAgent()
    async with open_on(journal, agent, policy) as registry:
        if policy is OnRestart.INTERRUPT:
            assert (await registry.turn("s1", "t1")).status is TurnStatus.CANCELLED
            return
        run = await agent.run()
        assert run.turn.partial == ("one " if policy is OnRestart.CONTINUE else "")
        run.finish("done")
        events = await told(registry)
        assert [event.name for event in events if event.name.startswith("turn.")] == [
            "turn.started",
            "turn.interrupted",
            "turn.started",
            "turn.completed",
        ]
        assert events[2].data["kept"] == events[1].id


async def test_what_waits_waits_on_over_a_shutdown(clock: VirtualClock) -> None:
    journal, agent = MemoryJournal(), ScriptedAgent(swallows=1)
    async with open_on(journal, agent) as registry:
        await registry.send("s1", "hello", turn_id="t1")
        await agent.run()
        sent = asyncio.ensure_future(registry.send("s1", "again", turn_id="t2"))
        await settle()
        stopping = asyncio.ensure_future(registry.stop())
        assert (await sent).status is TurnStatus.QUEUED
        await stopping
    agent = ScriptedAgent()
    async with open_on(journal, agent) as registry:
        run = await agent.run()
        assert (run.turn.turn_id, run.turn.text) == ("t2", "again")


async def test_without_a_journal_a_shutdown_cancels_whatever_the_policy(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(Agent(agent, on_restart="continue")) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        waits = asyncio.ensure_future(receipt.ended())
        await registry.stop()
    assert (await waits).status is TurnStatus.CANCELLED


# -- Readers ----------------------------------------------------------------------------------------------


async def test_a_cursor_beyond_what_is_kept_is_no_gap(clock: VirtualClock) -> None:
    """G7: no id stands for two events, so a reader goes on where the log does."""
    journal = await killed(clock, "one ", lost=("two ", "three "), on_restart="continue")
    agent = ScriptedAgent()
    async with open_on(journal, agent, "continue") as registry:
        first = (await told_now(registry))[0]
        stream = await registry.subscribe("s1", after=f"{first.epoch}-3")
        await settle()
        assert names(waiting(stream)) == ["turn.interrupted"]
        await agent.run()
        assert names(waiting(stream)) == ["turn.started"]
        agent.last.finish()
        await settle()
        assert names(await told(registry, f"{first.epoch}-3")) == [
            "turn.interrupted",
            "turn.started",
            "turn.completed",
        ]
        stream.close()


async def told_now(registry: SessionRegistry) -> list[Event]:
    stream = await registry.subscribe("s1", after="0")
    events = waiting(stream)
    stream.close()
    return events


async def test_a_cursor_far_beyond_is_a_gap_where_nothing_was_cut_off(clock: VirtualClock) -> None:
    journal, agent = await killed(clock, "one ", on_restart="continue"), ScriptedAgent()
    async with open_on(journal, agent, "continue") as registry:
        await agent.run()
        latest = (await told_now(registry))[-1]
        stream = await registry.subscribe("s1", after=f"{latest.epoch}-9")
        assert names(waiting(stream))[0] == "gap"
        stream.close()
        with pytest.raises(EventsLost):
            await told(registry, f"{latest.epoch}-9")


async def test_a_reader_without_a_cursor_begins_with_the_first_attempt(clock: VirtualClock) -> None:
    journal, agent = await killed(clock, "one ", on_restart="continue"), ScriptedAgent()
    async with open_on(journal, agent, "continue") as registry:
        await agent.run()
        stream = await registry.subscribe("s1")
        assert names(waiting(stream)) == [
            "snapshot",
            "turn.started",
            "delta",
            "turn.interrupted",
            "turn.started",
        ]
        stream.close()


async def test_a_turn_is_followed_while_it_is_started_again(clock: VirtualClock) -> None:
    journal, agent = await killed(clock, "one ", on_restart="rerun"), ScriptedAgent()
    async with open_on(journal, agent, "rerun") as registry:
        following = asyncio.ensure_future(told(registry))
        run = await agent.run()
        await settle()
        assert not following.done()
        run.finish()
        assert names(await following)[-1] == "turn.completed"


# -- The host's own history -------------------------------------------------------------------------------


async def test_the_hosts_function_is_given_the_turn_and_the_attempt_if_it_asks_for_them(
    clock: VirtualClock,
) -> None:
    journal, agent = await killed(clock, on_restart="rerun"), ScriptedAgent()
    saved: list[tuple[str, int]] = []

    async def save(context: object, *, turn_id: str, attempt: int) -> None:
        saved.append((turn_id, attempt))

    async with open_on(journal, agent, "rerun", save_context=save) as registry:
        (await agent.run()).finish()
        await told(registry)
    assert saved == [("t1", 2)]


async def test_an_agent_reads_which_attempt_it_is(clock: VirtualClock) -> None:
    seen: list[tuple[int, str]] = []

    async def agent(turn: Turn) -> None:
        seen.append((turn.attempt, turn.partial))

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello")).ended()
    assert seen == [(1, "")]


async def test_what_a_turn_had_said_when_its_process_ended_is_in_the_conversation_and_marked() -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened(agent, journal=journal, flush_interval=0) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        run.turn.emit("delta", {"text": "Well, "})
        await settle()
        log = journal.after_a_kill()
    expected = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Well, ", "cut_off": True},
    ]
    for _ in range(2):  # as it is found, and as it was written then
        async with opened(agent, journal=log) as registry:
            assert list((await registry.messages("s1")).messages) == expected


@pytest.mark.parametrize(("policy", "says"), [("rerun", True), ("continue", False)])
async def test_readers_learn_whether_the_next_attempt_says_everything_again(
    policy: str, says: bool, clock: VirtualClock
) -> None:
    journal, agent = SlowJournal(), ScriptedAgent()
    async with opened({"a": Agent(agent, on_restart=policy)}, journal=journal) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        found = journal.after_a_kill()
    for _ in range(2):  # as it is decided, and as it is read from the log
        async with opened({"a": Agent(agent, on_restart=policy)}, journal=found) as registry:
            stream = await registry.subscribe("s1", after="0")
            await settle()
            cut = next(event for event in waiting(stream) if event.name == "turn.interrupted")
            assert cut.data["from_start"] is says
            stream.close()
            agent.release()


# -- A turn that was to be undone -------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", [False, True], ids=["while it stopped", "while it was undone"])
async def test_a_turn_that_was_to_be_undone_is_undone_in_the_next_process(
    clock: VirtualClock, stopped: bool
) -> None:
    journal, agent, undone = SlowJournal(), ScriptedAgent(swallows=0 if stopped else FOREVER), list[str]()

    async def hangs(turn: UndoneTurn) -> None:
        await asyncio.Event().wait()

    async with open_on(journal, agent, on_rollback=hangs) as registry:
        await registry.send("s1", "hello", turn_id="t1", user="ada")
        run = await agent.run()
        run.turn.emit("delta", {"text": "half"})
        await clock.advance(1.0)
        await registry.send("s1", "instead", turn_id="t2", strategy="rollback", wait=False)
        await clock.advance(0.5)
        left = journal.after_a_kill()
        agent.release()

    async with open_on(
        left, ScriptedAgent(), on_rollback=lambda turn: undone.append(f"{turn.turn_id} {turn.status}")
    ) as registry:
        await settle()
        record = await registry.turn("s1", "t1")
        assert (record.status, record.rollback) == (TurnStatus.INTERRUPTED, Rollback.PARTLY)
        assert (await registry.turn("s1", "t2")).status is TurnStatus.RUNNING
        assert undone == ["t1 interrupted"]
        assert (await registry.messages("s1")).messages == ()
        assert names(await told(registry))[-1] == "turn.interrupted"


async def test_a_turn_that_ends_with_its_reader_waits_after_a_restart_until_that_is_back(
    clock: VirtualClock,
) -> None:
    policy = {"on_disconnect": "cancel", "abandon_after": 0.05}
    journal, agent = SlowJournal(), ScriptedAgent()
    async with open_on(journal, agent, "continue") as registry:
        await registry.send("s1", "hello", turn_id="t1", policy=policy)
        reader = await registry.follow(FollowTurn("s1", "t1"))
        await agent.run()
        await clock.advance(1.0)
        left = journal.after_a_kill()
        reader.close()
    agent = ScriptedAgent()
    async with open_on(left, agent, "continue") as registry:
        run = await agent.run()
        await clock.advance(3.0)
        reader = await registry.follow(FollowTurn("s1", "t1"))
        await clock.advance(60.0)
        assert not run.cancelled.is_set()
        reader.close()
        await clock.advance(60.0)
        assert run.cancelled.is_set()
