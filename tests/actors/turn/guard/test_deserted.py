"""Turns that wait to be started, and whose readers have left."""

import asyncio
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, VirtualClock, opened, settle
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics.meter import TURNS_ABANDONED
from turnkeeper.actors.model.messages import AwaitTurn, FollowTurn
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry

ALONE = {"on_disconnect": "cancel", "abandon_after": 20.0}

with_and_without = pytest.mark.parametrize("journal", [False, True], ids=["memory", "journal"])


def keeping(journal: bool) -> dict[str, Any]:
    return {"journal": MemoryJournal()} if journal else {}


async def waits(registry: SessionRegistry, turn_id: str, **ways: Any) -> None:
    """Have a turn wait behind the one in flight."""
    policy = {"policy": ALONE, "strategy": "enqueue", **ways}
    await registry.send("s", turn_id, turn_id=turn_id, wait=False, **policy)


async def status_of(registry: SessionRegistry, turn_id: str) -> TurnStatus:
    return (await registry.turn("s", turn_id)).status


@with_and_without
async def test_a_turn_whose_reader_leaves_while_it_waits_never_starts(
    clock: VirtualClock, journal: bool
) -> None:
    agent = ScriptedAgent()
    async with opened(agent, **keeping(journal)) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2")
        reader = await registry.follow(FollowTurn("s", "t2"))
        await clock.advance(100)
        assert await status_of(registry, "t2") is TurnStatus.QUEUED
        reader.close()
        await clock.advance(19)
        assert await status_of(registry, "t2") is TurnStatus.QUEUED
        await clock.advance(1)
        await settle()
        record = await registry.turn("s", "t2")
        assert (record.status, record.started_at) == (TurnStatus.CANCELLED, None)
        assert record.reason == Reason(CancelCode.CLIENT_DISCONNECTED, None, "no reader for 20 s")
        assert (await registry.counts()).counters[TURNS_ABANDONED.name] == 1
        agent.last.finish()
        await settle()
        assert len(agent.runs) == 1


async def test_the_others_that_wait_keep_their_places(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        for turn_id in ("t2", "t3"):
            await waits(registry, turn_id)
        (await registry.follow(FollowTurn("s", "t2"))).close()
        await clock.advance(100)
        assert await status_of(registry, "t2") is TurnStatus.CANCELLED
        assert await status_of(registry, "t3") is TurnStatus.QUEUED, "it has had no reader that could leave"


@pytest.mark.parametrize("kind", ["the turn", "the session", "the end"])
async def test_it_waits_on_for_another_reader(clock: VirtualClock, kind: str) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2")
        first = await registry.follow(FollowTurn("s", "t2"))
        other: Any
        if kind == "the turn":
            other = await registry.follow(FollowTurn("s", "t2"))
        elif kind == "the session":
            other = await registry.subscribe("s")
        else:
            other = asyncio.ensure_future(registry.ask(AwaitTurn("s", "t2")))
        first.close()
        await clock.advance(100)
        assert await status_of(registry, "t2") is TurnStatus.QUEUED
        if kind == "the end":
            other.cancel()
        else:
            other.close()


async def test_a_reader_of_another_turn_does_not_keep_it(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        first = await registry.send("s", "first")
        await waits(registry, "t2")
        other = await registry.follow(FollowTurn("s", first.turn_id))
        (await registry.follow(FollowTurn("s", "t2"))).close()
        await clock.advance(20)
        assert await status_of(registry, "t2") is TurnStatus.CANCELLED
        other.close()


async def test_the_time_begins_anew_with_each_reader_that_leaves(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2")
        for _ in range(5):
            reader = await registry.follow(FollowTurn("s", "t2"))
            await clock.advance(3)
            reader.close()
            await clock.advance(19)
        assert await status_of(registry, "t2") is TurnStatus.QUEUED
        await clock.advance(1)
        assert await status_of(registry, "t2") is TurnStatus.CANCELLED


async def test_one_that_goes_on_without_readers_is_left_alone(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2", policy=None)
        (await registry.follow(FollowTurn("s", "t2"))).close()
        await clock.advance(1000)
        assert await status_of(registry, "t2") is TurnStatus.QUEUED


async def test_one_that_has_started_meanwhile_is_the_guards(clock: VirtualClock) -> None:
    """G4: the alarm of its time in the queue hits nothing."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2")
        (await registry.follow(FollowTurn("s", "t2"))).close()
        await clock.advance(15)
        agent.last.finish()
        await settle()
        await clock.advance(19)
        assert await status_of(registry, "t2") is TurnStatus.RUNNING
        await clock.advance(1)
        assert await status_of(registry, "t2") is TurnStatus.CANCELLED


async def test_a_session_that_is_closed_meanwhile_has_no_turn_that_waits(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s", "first")
        await waits(registry, "t2")
        (await registry.follow(FollowTurn("s", "t2"))).close()
        await registry.close("s")
        await clock.advance(1000)
        assert TURNS_ABANDONED.name not in (await registry.counts()).counters
