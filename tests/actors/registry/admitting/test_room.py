"""Whether there is room for a turn is decided with its send: behind idempotency, before all else (G8)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.journal.slow import SlowJournal
from tests.fakes import ScriptedAgent, VirtualClock, opened, settle, virtual_time
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import TooManyOfAgent, TooManyTurns, TooManyWaiting
from turnkeeper.actors.model.words import TurnStatus, WaitsFor
from turnkeeper.actors.turn.agent import Agent


async def test_at_most_so_many_turns_wait_and_a_retry_is_answered_all_the_same() -> None:
    agent = ScriptedAgent()
    settings = {"max_in_flight_in_all": 1, "max_waiting": 2, "max_waiting_in_all": 3}
    async with opened(agent, on_cap="wait", **settings) as registry:
        await registry.send("s0", "hello", user="eve")
        for n in range(2):
            await registry.send(f"a{n}", "hello", user="ada", turn_id=f"t{n}")
        with pytest.raises(TooManyWaiting, match="a user"):
            await registry.send("a2", "hello", user="ada")
        again = await registry.send("a1", "hello", user="ada", turn_id="t1")
        assert (again.repeated, again.status) == (True, TurnStatus.QUEUED)
        await registry.send("b0", "hello", user="bob")
        with pytest.raises(TooManyWaiting, match="in all"):
            await registry.send("c0", "hello", user="cid")
        assert (await registry.counts()).counters["too_many_waiting_total"] == 2


async def test_what_takes_the_place_of_a_turn_or_waits_behind_it_needs_no_place_of_its_own() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1, max_waiting=1) as registry:
        await registry.send("s1", "hello", user="ada")
        await registry.send("s2", "hello", user="ada")
        for _ in range(3):
            assert (await registry.send("s2", "instead", user="ada")).status is TurnStatus.QUEUED
        behind = await registry.send("s2", "behind", user="ada", strategy="enqueue")
        assert behind.status is TurnStatus.QUEUED


async def test_an_agent_has_at_most_so_many_turns_of_all_users_together() -> None:
    agent = ScriptedAgent()
    agents = {"default": agent, "coder": Agent(agent, max_of_agent=1)}
    async with opened(agents) as registry:
        await registry.send("s1", "hello", user="ada", agent="coder")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s2", "hello", user="bob", agent="coder")
        await registry.send("s2", "hello", user="bob")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s2", "hello", user="bob", agent="coder")
        assert (await registry.send("s1", "instead", user="ada", agent="coder")).status is TurnStatus.RUNNING
        assert (await registry.counts()).counters["too_many_of_agent_total"] == 2


async def test_a_turn_that_waits_for_its_session_counts_among_those_of_its_agent() -> None:
    agent = ScriptedAgent()
    agents = {"default": agent, "coder": Agent(agent, max_of_agent=1, strategy="enqueue")}
    async with opened(agents) as registry:
        for session in ("s1", "s2", "s3"):
            await registry.send(session, "hello", user="ada")
        runs = [await agent.run() for _ in range(3)]
        await registry.send("s1", "next", user="ada", agent="coder", turn_id="t1")
        await registry.send("s1", "another one", user="ada", agent="coder", turn_id="t2")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s2", "next", user="ada", agent="coder")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s3", "instead", user="ada", agent="coder", strategy="interrupt")
        assert not any(run.turn.cancel_requested for run in runs)
        await registry.cancel("s1", "t2")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s2", "next", user="ada", agent="coder")
        await registry.cancel("s1", "t1")
        await registry.send("s2", "next", user="ada", agent="coder")


async def test_where_the_policy_has_it_wait_a_turn_says_which_cap_it_waits_for() -> None:
    agent = ScriptedAgent()
    agents = {
        "default": Agent(agent, on_cap="wait"),
        "coder": Agent(agent, on_cap="wait", max_of_agent=1),
    }
    users = {"bob": {"max_in_flight": 1}}
    async with opened(agents, users=users, max_in_flight_in_all=3) as registry:
        await registry.send("a1", "hello", user="ada", agent="coder")
        await registry.send("b1", "hello", user="bob")

        async def waits_for(session: str, user: str, agent: str) -> WaitsFor:
            await registry.send(session, "hello", user=user, agent=agent)
            (queued,) = await registry.queue(session, user=user)
            return queued.waits_for

        assert await waits_for("a2", "ada", "coder") is WaitsFor.AGENT_CAP
        assert await waits_for("b2", "bob", "default") is WaitsFor.USER_CAP
        await registry.send("c1", "hello", user="cid")
        assert await waits_for("c2", "cid", "default") is WaitsFor.SERVER_CAP


async def test_a_cap_that_a_send_brings_itself_refuses_it_also_where_turns_wait() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", policy_allow="max_in_flight") as registry:
        await registry.send("s1", "hello", user="ada", policy={"max_in_flight": 1})
        with pytest.raises(TooManyTurns, match="a user has at most 1 "):
            await registry.send("s2", "hello", user="ada", policy={"max_in_flight": 1})
        instead = await registry.send("s1", "instead", user="ada", policy={"max_in_flight": 1})
        assert instead.status is TurnStatus.RUNNING, "it takes the place of one"
        assert (await registry.send("s2", "hello", user="ada")).status is TurnStatus.RUNNING
        wider = await registry.send("s3", "hello", user="ada", policy={"max_in_flight": 99})
        assert wider.status is TurnStatus.RUNNING


async def test_without_a_policy_that_has_it_wait_a_send_beyond_a_cap_is_refused() -> None:
    agent = ScriptedAgent()
    async with opened(
        {"default": agent, "patient": Agent(agent, on_cap="wait")}, max_in_flight_in_all=1
    ) as registry:
        await registry.send("s1", "hello", agent="patient")
        with pytest.raises(TooManyTurns):
            await registry.send("s2", "hello")


async def test_a_turn_that_waits_for_a_moment_takes_no_slot_until_then() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1) as registry:
        later = await registry.send("s1", "later", after=1_000.0)
        assert later.waits_for is WaitsFor.NOT_BEFORE
        in_all = registry.directory.ledger.in_all
        assert (in_all.later, in_all.active) == (1, 0)
        assert (await registry.send("s2", "now")).status is TurnStatus.RUNNING
        await registry.close("s1")
        assert (in_all.later, in_all.active, len(in_all.moved)) == (0, 1, 0)


async def test_those_that_wait_for_a_moment_are_among_those_that_may_wait() -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1, max_waiting=2) as registry:
        await registry.send("s0", "hello", user="eve")
        await registry.send("a0", "later", user="ada", after=1_000.0)
        await registry.send("a1", "hello", user="ada", after=0.0)
        for after in (None, 0.0, 1_000.0):
            with pytest.raises(TooManyWaiting):
                await registry.send("a2", "hello", user="ada", after=after)
        await registry.cancel("a0", queue="clear", user="ada")
        await registry.send("a2", "hello", user="ada", after=1_000.0)
        await registry.close("a2", user="ada")
        await registry.close("a1", user="ada")
        assert registry.directory.ledger.waiting("ada") == 0


# -- Those that wait for a moment, where the host has no turn wait ------------------------------------

WEEK = 604_800.0
#: A send that waits for a moment, by itself or for others that are to join it.
LATER = [{"after": WEEK}, {"strategy": "collapse", "policy": {"collapse_window": WEEK}}]


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with virtual_time() as clock:
        yield clock


@pytest.mark.parametrize("later", LATER, ids=["after", "window"])
async def test_a_turn_that_waits_for_a_moment_is_not_in_flight(later: dict[str, Any]) -> None:
    """G8, G14: a message for next week takes no place of this week's."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=2, max_in_flight_in_all=2, max_waiting=3) as registry:
        for n in range(3):
            assert (await registry.send(f"a{n}", "later", user="ada", **later)).status is TurnStatus.QUEUED
        now = await registry.admission()
        assert (now.in_flight, now.active_users) == (0, 0)
        for user in ("ada", "bob"):
            assert (await registry.send(user, "now", user=user)).status is TurnStatus.RUNNING
        with pytest.raises(TooManyTurns):
            await registry.send("b1", "now", user="bob")
        assert (await registry.send("b1", "later", user="bob", **later)).status is TurnStatus.QUEUED


@pytest.mark.parametrize("later", LATER, ids=["after", "window"])
@pytest.mark.parametrize("on_cap", ["refuse", "wait"])
async def test_at_most_so_many_turns_wait_for_a_moment(on_cap: str, later: dict[str, Any]) -> None:
    """Also while there is a slot for each of them."""
    agent = ScriptedAgent()
    async with opened(agent, on_cap=on_cap, max_waiting=2, max_waiting_in_all=3) as registry:
        for session, user in (("a0", "ada"), ("a1", "ada")):
            await registry.send(session, "later", user=user, turn_id=session, **later)
        with pytest.raises(TooManyWaiting, match="a user"):
            await registry.send("a2", "later", user="ada", **later)
        assert (await registry.send("a1", "later", user="ada", turn_id="a1", **later)).repeated
        await registry.send("b0", "later", user="bob", **later)
        with pytest.raises(TooManyWaiting, match="in all"):
            await registry.send("c0", "later", user="cid", **later)
        await registry.send("a2", "now", user="ada")
        await registry.close("a0", user="ada")
        await registry.send("c0", "later", user="cid", **later)


async def test_those_that_wait_for_a_moment_in_a_busy_session_are_among_those_that_may_wait() -> None:
    """G14: else each of a user's sessions could have some when it comes to rest."""
    agent = ScriptedAgent()
    async with opened(agent, max_waiting=1) as registry:
        for n in range(2):
            await registry.send(f"s{n}", "now", user="ada")
        for _ in range(2):
            await registry.send("s0", "later", user="ada", after=WEEK)
        with pytest.raises(TooManyWaiting):
            await registry.send("s1", "later", user="ada", after=WEEK)
        for _ in range(2):
            (await agent.run()).finish()
        with pytest.raises(TooManyWaiting):
            await registry.send("s1", "later", user="ada", after=WEEK)
        await registry.cancel("s0", user="ada", queue="clear")
        assert registry.directory.ledger.waiting("ada") == 0
        await registry.send("s1", "later", user="ada", after=WEEK)


async def test_a_message_that_joins_another_one_needs_no_place_among_those_that_wait() -> None:
    agent = ScriptedAgent()
    async with opened(agent, max_waiting=1) as registry:
        await registry.send("s1", "now", user="ada")
        taker = await registry.send("s1", "next", user="ada", strategy="collapse")
        await registry.send("s2", "later", user="ada", after=WEEK)
        joins = await registry.send("s1", "and this", user="ada", **LATER[1])
        assert (joins.status, joins.merged_into) == (TurnStatus.MERGED, taker.turn_id)
        with pytest.raises(TooManyWaiting):
            await registry.send("s1", "later", user="ada", after=WEEK)


async def test_what_waits_in_a_session_takes_no_place_for_a_send_that_starts_there() -> None:
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=1) as registry:
        await registry.send("s1", "later", user="ada", after=WEEK)
        await registry.send("s2", "now", user="ada")
        with pytest.raises(TooManyTurns):
            await registry.send("s1", "now", user="ada")


@pytest.mark.parametrize("with_journal", [False, True])
async def test_a_turn_whose_moment_comes_is_not_refused_but_waits_for_a_slot(
    clock: VirtualClock, with_journal: bool
) -> None:
    """G8: nor are there more turns in flight than there may be."""
    agent, journal = ScriptedAgent(), MemoryJournal() if with_journal else None
    async with opened(agent, journal=journal, max_in_flight_in_all=1) as registry:
        later = await registry.send("s1", "later", user="ada", after=60.0)
        await registry.send("s2", "now", user="bob")
        run = await agent.run()
        await clock.advance(61.0)
        [queued] = await registry.queue("s1", user="ada")
        assert (queued.turn.turn_id, queued.waits_for) == (later.turn_id, WaitsFor.SERVER_CAP)
        with pytest.raises(TooManyTurns):
            await registry.send("s3", "now", user="cid")
        run.finish()
        run = await agent.run()
        assert (run.turn.text, registry.directory.ledger.in_all.in_flight) == ("later", 1)
        with pytest.raises(TooManyTurns):
            await registry.send("s3", "now", user="cid")
        run.finish()
        await later.result()
        assert registry.directory.ledger.in_all.in_flight == 0


async def test_a_restart_neither_refuses_a_turn_that_waits_for_a_moment_nor_counts_it_as_in_flight(
    clock: VirtualClock,
) -> None:
    """G11."""
    agent, journal = ScriptedAgent(), MemoryJournal()
    async with opened(agent, journal=journal, max_in_flight_in_all=1) as registry:
        await registry.send("s1", "later", user="ada", after=60.0)
    async with opened(agent, journal=journal, max_in_flight_in_all=1, max_waiting=1) as registry:
        assert len(await registry.queue("s1", user="ada")) == 1
        assert (registry.directory.ledger.in_all.in_flight, registry.directory.ledger.in_all.later) == (0, 1)
        await registry.send("s2", "now", user="bob")
        run = await agent.run()
        await clock.advance(61.0)
        run.finish()
        assert (await agent.run()).turn.text == "later"


async def test_a_turn_that_waits_for_a_moment_takes_no_place_of_its_agents() -> None:
    agent = ScriptedAgent()
    async with opened({"default": agent, "coder": Agent(agent, max_of_agent=1)}) as registry:
        await registry.send("s1", "later", user="ada", agent="coder", after=WEEK)
        await registry.send("s2", "now", user="bob", agent="coder")
        with pytest.raises(TooManyOfAgent):
            await registry.send("s3", "now", user="cid", agent="coder")


async def test_those_that_are_on_their_way_into_the_journal_are_among_those_that_may_wait() -> None:
    """G8: many may be sent before the first of them is written."""
    agent, journal = ScriptedAgent(), SlowJournal()
    async with opened(agent, journal=journal, max_waiting=2) as registry:
        journal.hold()
        sends = [asyncio.ensure_future(registry.send(f"s{n}", "x", user="ada", after=WEEK)) for n in range(4)]
        await settle()
        journal.let_go()
        came_to = await asyncio.gather(*sends, return_exceptions=True)
        assert [isinstance(each, TooManyWaiting) for each in came_to] == [False, False, True, True]
        assert registry.directory.ledger.waiting("ada") == 2
        for n in range(2):
            await registry.close(f"s{n}", user="ada")
        assert registry.directory.ledger.waiting("ada") == 0
