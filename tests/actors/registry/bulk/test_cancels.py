"""Many turns are stopped at once, each by a cancel that names it (G3, G4, G8, G9)."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.actors.turn.work.test_begun import Beginner
from tests.fakes import FOREVER, Run, ScriptedAgent, VirtualClock, done, opened, settle
from turnkeeper.actors.model.exceptions import SessionLost, ShuttingDown
from turnkeeper.actors.model.messages import CancelledMany, CancelMany
from turnkeeper.actors.model.records import Asker, StillRunning
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.bulk import cancels
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn


def verdicts(answer: CancelledMany) -> dict[str, Verdict | None]:
    """By turn."""
    return {each.turn_id: each.verdict for each in answer.results}


async def started(
    registry: SessionRegistry, scripted: ScriptedAgent, *sessions: str, **said: Any
) -> list[Run]:
    """A turn in each of these, called as its session."""
    runs = []
    for session in sessions:
        await registry.send(session, "hello", turn_id=f"t-{session}", **said)
        runs.append(await scripted.run())
    return runs


# -- What is stopped --------------------------------------------------------------------------------


async def test_all_turns_are_stopped_and_each_has_its_verdict() -> None:
    """G3."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, "a", user="ada")
        await started(registry, agent, "b", user="bob")
        answer = await registry.cancel_many(all=True)
        assert (answer.matched, answer.truncated) == (2, 0)
        assert verdicts(answer) == {"t-a": Verdict.CANCELLED, "t-b": Verdict.CANCELLED}
        assert [(each.session_id, each.owner, each.agent, each.status) for each in answer.results] == [
            ("a", "ada", "default", TurnStatus.RUNNING),
            ("b", "bob", "default", TurnStatus.RUNNING),
        ]
        assert all(each.settled_after_ms is not None and each.error is None for each in answer.results)
        reason = (await registry.turn("a", "t-a")).reason
        assert reason is not None
        assert (reason.code, reason.by) == (CancelCode.USER_REQUEST, "local")


async def test_what_runs_on_of_a_turn_is_said_with_its_verdict_and_in_sum() -> None:
    """G13."""
    agent = Beginner(stubborn=True)
    async with opened({"default": agent, "other": ScriptedAgent()}, cancel_grace=0) as registry:
        begun = []
        for session in ("a", "b"):
            await registry.send(session, "hello")
            begun.append((await agent.begun())[1])
        await registry.send("c", "hello", agent="other")
        answer = await registry.cancel_many(all=True)
        left = {each.session_id: each.still_running for each in answer.results}
        assert left == {"a": StillRunning(processes=1), "b": StillRunning(processes=1), "c": None}
        assert answer.still_running == StillRunning(processes=2)
        assert (await registry.cancel_many(all=True)).still_running is None
        for each in begun:
            each.end()
        await settle()


async def test_a_user_stops_their_own_turns_and_an_admin_those_of_all() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, "a", user="ada")
        await started(registry, agent, "b", "c", user="bob")
        assert verdicts(await registry.cancel_many(owner="bob", user="ada")) == {}
        assert verdicts(await registry.cancel_many(sessions=["b", "x"], user="ada")) == {}
        assert set(verdicts(await registry.cancel_many(all=True, user="ada"))) == {"t-a"}
        admin = Asker("root", sees_all=True)
        answer = await registry.ask(CancelMany(admin, owner="bob", sessions=("c",), text="enough"))
        assert set(verdicts(answer)) == {"t-c"}
        reason = (await registry.turn("c", "t-c")).reason
        assert reason is not None
        assert (reason.code, reason.by, reason.text) == (CancelCode.ADMIN, "root", "enough")


async def test_the_filters_of_turns_are_combined(clock: VirtualClock) -> None:
    agent, coder = ScriptedAgent(), ScriptedAgent(swallows=FOREVER)
    async with opened({"default": agent, "coder": coder}, cancel_grace=60) as registry:
        await started(registry, agent, "old", user="ada")
        await started(registry, coder, "old-coder", user="ada", agent="coder", strategy="reject")
        await clock.advance(100)
        await started(registry, agent, "new", user="ada", strategy="reject")
        await registry.cancel("old-coder", wait=False)
        await registry.send("old-coder", "next", turn_id="t-next", wait=False)

        async def found(**said: Any) -> set[str]:
            answer = await registry.cancel_many(dry_run=True, **said)
            assert {each.verdict for each in answer.results} <= {None}
            return set(verdicts(answer))

        assert await found(all=True) == {"t-old", "t-old-coder", "t-new", "t-next"}
        assert await found(agent="coder") == {"t-old-coder"}
        assert await found(older_than=50) == {"t-old", "t-old-coder"}
        assert await found(older_than=50, agent="default") == {"t-old"}
        assert await found(strategy="reject") == {"t-old-coder", "t-new"}
        assert await found(state="running") == {"t-old", "t-new"}
        assert await found(state="cancelling") == {"t-old-coder"}
        assert await found(state="queued") == {"t-next"}
        assert await found(state="queued", sessions=["old"]) == set()
        assert [run.turn.cancel_requested for run in agent.runs] == [False, False]


async def test_a_turn_that_waits_is_stopped_with_the_one_that_it_waits_for_and_never_starts(
    clock: VirtualClock,
) -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=10) as registry:
        (run,) = await started(registry, agent, "a")
        await registry.send("a", "next", turn_id="t-next", wait=False)
        run.finish()
        answer = await registry.cancel_many(sessions=["a"])
        assert verdicts(answer) == {"t-next": Verdict.CANCELLED, "t-a": Verdict.FINISHED_FIRST}
        assert len(agent.runs) == 1


async def test_each_verdict_may_come_of_one_bulk(clock: VirtualClock) -> None:
    """G3: what has not settled in time is `requested`, and never said to be cancelled."""
    stubborn, slow = ScriptedAgent(swallows=FOREVER), ScriptedAgent(swallows=FOREVER)
    polite, quick = ScriptedAgent(), ScriptedAgent(swallows=1)
    agents = {"default": polite, "quick": quick, "stubborn": stubborn, "slow": slow}
    async with opened(agents, cancel_grace=4) as registry:
        await started(registry, stubborn, "unresponsive", agent="stubborn")
        await registry.cancel("unresponsive", wait=False)
        await clock.advance(3)
        await started(registry, polite, "cancelled")
        (run,) = await started(registry, quick, "finished", agent="quick")
        await started(registry, slow, "requested", agent="slow")

        async def finish() -> None:
            await run.cancelled.wait()
            run.finish()

        finishing = asyncio.create_task(finish())
        answer = await registry.cancel_many(all=True, within=2)
        await finishing
        assert verdicts(answer) == {
            "t-unresponsive": Verdict.UNRESPONSIVE,
            "t-cancelled": Verdict.CANCELLED,
            "t-finished": Verdict.FINISHED_FIRST,
            "t-requested": Verdict.REQUESTED,
        }
        await clock.advance(4)
        assert (await registry.turn("requested", "t-requested")).status is TurnStatus.UNRESPONSIVE


async def test_an_asker_who_does_not_wait_is_answered_at_once(clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=4) as registry:
        await started(registry, agent, "a", "b")
        answer = await registry.cancel_many(all=True, wait=False)
        assert set(verdicts(answer).values()) == {Verdict.REQUESTED}
        await settle()
        assert clock.elapsed == 0
        assert [run.cancels for run in agent.runs] == [1, 1]


# -- The snapshot -----------------------------------------------------------------------------------


async def test_a_turn_that_starts_after_the_snapshot_is_never_hit(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G4: one that takes the place of a turn that was found, and one in a session that comes later."""
    monkeypatch.setattr(cancels, "AT_ONCE", 1)
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=60) as registry:
        first, second = await started(registry, agent, "a", "b")
        bulk = asyncio.create_task(registry.cancel_many(all=True))
        await first.cancelled.wait()
        await clock.advance(1)
        waits = await registry.send("b", "next", turn_id="t-next", wait=False)
        second.finish()
        await registry.send("c", "new", turn_id="t-c")
        first.finish()
        answer = await bulk
        assert verdicts(answer) == {"t-a": Verdict.FINISHED_FIRST, "t-b": Verdict.FINISHED_FIRST}
        assert (await registry.turn("b", "t-next")).status is TurnStatus.RUNNING
        assert (await registry.turn("c", "t-c")).status is TurnStatus.RUNNING
        assert not waits.repeated
        later = await registry.cancel_many(all=True, as_of=answer.as_of)
        assert later.matched == 0


async def test_a_session_that_is_gone_when_its_turn_comes_has_nothing_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancels, "AT_ONCE", 1)
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        first, second = await started(registry, agent, "a", "b")
        bulk = asyncio.create_task(registry.cancel_many(all=True))
        await first.cancelled.wait()
        second.finish()
        await registry.close("b", free=True)
        first.finish()
        assert verdicts(await bulk) == {"t-a": Verdict.FINISHED_FIRST, "t-b": Verdict.NOT_RUNNING}


# -- Bounds -----------------------------------------------------------------------------------------


async def test_more_than_the_limit_is_counted_and_left_alone() -> None:
    """G8."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, *"abcde")
        answer = await registry.cancel_many(all=True, limit=2)
        assert (answer.matched, len(answer.results), answer.truncated) == (5, 2, 3)
        assert sum(run.turn.cancel_requested for run in agent.runs) == 2
        assert (await registry.counts()).counters["bulk_cancels_truncated_total"] == 1
        again = await registry.cancel_many(all=True, limit=3, as_of=answer.as_of)
        assert (again.matched, again.truncated) == (3, 0)


async def test_so_many_cancels_are_under_way_at_a_time(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G8: not every turn cleans up at the same time."""
    monkeypatch.setattr(cancels, "AT_ONCE", 3)
    monkeypatch.setattr(cancels, "BATCH", 2)
    cleaning = most = 0

    async def tidy(_turn: Turn) -> None:
        nonlocal cleaning, most
        try:
            await asyncio.Event().wait()
        finally:
            cleaning += 1
            most = max(most, cleaning)
            await asyncio.sleep(1)
            cleaning -= 1

    async with opened(tidy) as registry:
        for number in range(10):
            await registry.send(f"s{number}", "hello")
        answer = await registry.cancel_many(all=True)
        assert Counter(verdicts(answer).values()) == {Verdict.CANCELLED: 10}
        assert most == 3
        assert 4 <= clock.elapsed < 5


async def test_when_the_time_is_up_the_rest_is_asked_without_waiting(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancels, "AT_ONCE", 2)
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=60) as registry:
        runs = await started(registry, agent, *"abcdefg")
        answer = await registry.cancel_many(all=True, within=5)
        assert clock.elapsed == 5
        assert set(verdicts(answer).values()) == {Verdict.REQUESTED}
        await settle()
        assert [run.cancels for run in runs] == [1] * 7


async def test_a_thousand_sessions_are_stopped_and_others_get_the_loop_in_between() -> None:
    """G9."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=2_000) as registry:
        for number in range(1_000):
            await registry.send(f"s{number}", "hello", wait=False)
        await settle()
        passes = 0

        async def count() -> None:
            nonlocal passes
            while True:
                await asyncio.sleep(0)
                passes += 1

        counting = asyncio.create_task(count())
        answer = await registry.cancel_many(all=True)
        counting.cancel()
        assert Counter(verdicts(answer).values()) == {Verdict.CANCELLED: 1_000}
        assert passes >= 1_000 / cancels.BATCH
        assert (await registry.counts()).turns_in_flight == 0


# -- Askers -----------------------------------------------------------------------------------------


async def test_a_thread_asks_with_a_message() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, "a", "b")
        answers: list[CancelledMany] = []

        def ask() -> None:
            answers.append(registry.ref.ask(CancelMany(agent="default"), timeout=60))

        thread = threading.Thread(target=ask)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert verdicts(answers[0]) == {"t-a": Verdict.CANCELLED, "t-b": Verdict.CANCELLED}
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_it_can_be_told_as_well() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        (run,) = await started(registry, agent, "a")
        registry.ref.tell(CancelMany(all=True))
        await run.cancelled.wait()


async def test_an_asker_who_leaves_leaves_nothing_behind_and_the_turns_are_stopped_all_the_same(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancels, "AT_ONCE", 1)
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        first, second = await started(registry, agent, "a", "b")
        bulk = asyncio.create_task(registry.cancel_many(all=True))
        await first.cancelled.wait()
        bulk.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bulk
        first.finish()
        await second.cancelled.wait()
        second.finish()
        await settle()
        assert going_on(registry) == 0


def going_on(registry: SessionRegistry) -> int:
    """How many bulk cancels go on: no answer says so."""
    actor: Any = registry.ref._actor
    return len(actor._bulk._going_on)


async def test_at_the_end_each_asker_who_waits_is_answered(clock: VirtualClock) -> None:
    """G10."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=600, shutdown_deadline=2) as registry:
        await started(registry, agent, "a")
        bulk = asyncio.create_task(registry.cancel_many(all=True))
        await agent.last.cancelled.wait()
        await registry.stop()
        assert set(verdicts(await bulk).values()) <= {Verdict.UNRESPONSIVE, Verdict.REQUESTED}


async def test_one_that_is_still_at_it_when_the_registry_stops_is_refused() -> None:
    """G10."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, "a")
        actor: Any = registry.ref._actor
        bulk = registry.ask(CancelMany(all=True))
        await asyncio.sleep(0)
        actor._bulk.stop()
        with pytest.raises(ShuttingDown):
            await bulk
        assert going_on(registry) == 0


async def test_what_a_session_refuses_is_the_code_beside_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await started(registry, agent, "a", "b")
        actor: Any = registry.ref._actor
        handle = actor._bulk._handle

        def failing(message: Any, to: Any) -> None:
            if message.session_id == "a":
                raise SessionLost("lost")
            handle(message, to)

        monkeypatch.setattr(actor._bulk, "_handle", failing)
        lost, stopped = (await registry.cancel_many(all=True)).results
        assert (lost.verdict, lost.error) == (None, "SESSION_LOST")
        assert (stopped.verdict, stopped.error) == (Verdict.CANCELLED, None)


async def test_where_nothing_runs_nothing_is_stopped() -> None:
    async with opened(Agent(done)) as registry:
        await (await registry.send("a", "hello")).ended()
        answer = await registry.cancel_many(all=True)
        assert (answer.matched, answer.results, answer.truncated) == (0, (), 0)


# -- In the first moments after a restart -----------------------------------------------------------


@asynccontextmanager
async def restarted(journal: SlowJournal, sessions: int = 1) -> AsyncIterator[SessionRegistry]:
    """A registry that has not read anything yet. In each session one turn waits, and one goes on."""
    held = ScriptedAgent()
    async with opened(Agent(held, on_restart="rerun"), journal=journal) as registry:
        for n in range(sessions):
            await registry.send(f"s{n}", "hello", user="ada", turn_id=f"r{n}")
            await registry.send(f"s{n}", "then", user="ada", turn_id=f"q{n}", strategy="enqueue")
        found = journal.after_a_kill()
        await settle()
    found.hold_answers()
    async with opened(Agent(held, on_restart="rerun"), journal=found) as registry:
        await settle()
        yield registry


async def test_what_was_not_read_yet_after_a_restart_is_stopped_as_well() -> None:
    """G11: also more sessions than are read at a time."""
    async with restarted(SlowJournal(), sessions=20) as registry:
        asked = [
            asyncio.create_task(registry.cancel_many(all=True, dry_run=True, user="ada")),
            asyncio.create_task(registry.cancel_many(all=True, user="ada")),
        ]
        await settle()
        assert not any(each.done() for each in asked)
        journal_of(registry).let_answer()
        would, did = await asyncio.gather(*asked)
        turns = {f"{kind}{n}" for kind in "rq" for n in range(20)}
        assert (set(verdicts(would)), set(verdicts(did))) == (turns, turns)
        assert set(verdicts(did).values()) == {Verdict.CANCELLED}


async def test_a_turn_that_is_sent_while_it_waits_for_that_is_not_hit() -> None:
    """G4."""
    async with restarted(SlowJournal()) as registry:
        asked = asyncio.create_task(registry.cancel_many(all=True))
        await settle()
        sending = asyncio.create_task(registry.send("s9", "hello", turn_id="new"))
        await asyncio.sleep(0.01)
        journal_of(registry).let_answer()
        assert set(verdicts(await asked)) == {"r0", "q0"}
        assert (await sending).status is TurnStatus.RUNNING


async def test_it_does_not_wait_longer_for_that_than_it_may(clock: VirtualClock) -> None:
    async with restarted(SlowJournal()) as registry:
        before = clock.time()
        assert verdicts(await registry.cancel_many(all=True, within=3)) == {}
        assert clock.time() - before == pytest.approx(3)
        assert verdicts(await registry.cancel_many(all=True, dry_run=True)) == {}
        assert clock.time() - before == pytest.approx(3 + cancels.PATIENCE)


async def test_a_session_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    async with restarted(SlowJournal(), sessions=2) as registry:
        journal_of(registry).broken.add("s0")
        asked = asyncio.create_task(registry.cancel_many(all=True))
        await settle()
        journal_of(registry).let_answer()
        assert set(verdicts(await asked)) == {"r1", "q1"}


async def test_one_that_waits_for_that_when_the_registry_stops_is_refused(clock: VirtualClock) -> None:
    """G10."""
    async with restarted(SlowJournal()) as registry:
        asked = asyncio.create_task(registry.cancel_many(all=True))
        await settle()
        await registry.stop()
        with pytest.raises(ShuttingDown):
            await asked


def journal_of(registry: SessionRegistry) -> SlowJournal:
    journal = registry.journal
    assert isinstance(journal, SlowJournal)
    return journal
