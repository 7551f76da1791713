"""The sessions' actors: opened, woken, asked to sleep, and what happens to mail in between."""

import asyncio
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    ScriptedAgent,
    VirtualClock,
    chatty,
    done,
    names,
    opened,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.model.exceptions import ShuttingDown, UnknownSession
from turnkeeper.actors.model.messages import Cancel, Cleanup, GetSession, Send, TurnEnded
from turnkeeper.actors.model.records import Asker, Returned
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


async def test_a_session_stays_its_owners_after_it_was_forgotten_while_its_conversation_is_kept(
    clock: VirtualClock,
) -> None:
    """G12."""
    async with opened(remembering, idle_ttl=1, turn_retention=10) as registry:
        await ask(registry, "one", user="ada")
        await clock.advance(60)
        assert (await registry.counts()).sessions == 0
        for refused in (registry.send("s1", "x", user="bob"), registry.subscribe("s1", user="bob")):
            with pytest.raises(UnknownSession):
                await refused
        assert await ask(registry, "two", user="ada") == ["one"]


async def test_a_session_that_was_forgotten_draws_no_epoch_again_when_it_is_reopened(
    clock: VirtualClock,
) -> None:
    """G7: also where it drew more of them than milliseconds have passed."""
    async with opened(done, idle_ttl=0, turn_retention=0, early_cancel_ttl=0) as registry:
        for n in range(500):
            last = await registry.send("s1", str(n))
            await last.ended()
        await clock.advance(0.2)
        assert (await registry.counts()).sessions == 0
        again = await registry.send("s1", "again")
        assert last.epoch is not None
        assert again.epoch == last.epoch + 1


# -- Readers of sessions that are not open ----------------------------------------------------------


@pytest.mark.parametrize("cursor", ["0", "7-1"])
async def test_a_cursor_opens_nothing_and_its_reader_waits_for_the_first_send(cursor: str) -> None:
    """G7, G12: a reader alone owns nothing."""
    async with opened(chatty) as registry:
        early = await registry.subscribe("s1", after=cursor, user="bob")
        stays = await registry.subscribe("s1", after=cursor, user="ada")
        counts = await registry.counts()
        assert (counts.sessions, counts.subscribers) == (0, 2)
        with pytest.raises(UnknownSession):
            await registry.session("s1", user="bob")
        assert names(waiting(early)) == ["gap"] * (cursor != "0") + ["snapshot"]
        receipt = await registry.send("s1", "1", user="ada")
        await receipt.ended()
        assert (await registry.session("s1", user="ada")).subscribers == 1
        events = waiting(stays)[-3:]
        assert [event.id for event in events] == [f"{receipt.epoch}-{n}" for n in range(3)]
        assert names(waiting(early)) == []
        early.close()
        stays.close()
        await settle()
        assert (await registry.counts()).subscribers == 0


async def test_a_reader_that_waited_keeps_its_session_awake_until_it_leaves() -> None:
    async with opened(done) as registry:
        early = await registry.subscribe("s1", after="0")
        await ask(registry, "hello")
        assert await registry.cleanup() == ()
        early.close()
        await settle()
        assert await registry.cleanup() == ("s1",)


async def test_a_reader_without_a_cursor_opens_the_session_for_those_who_wait() -> None:
    async with opened(done) as registry:
        early = await registry.subscribe("s1", after="0", user="ada", close_on="never")
        opens = await registry.subscribe("s1", user="ada")
        assert (await registry.session("s1")).subscribers == 2
        await registry.close("s1")
        for stream in (early, opens):
            assert (await read_to_end(stream))[-1].data == "Session closed"


async def test_a_reader_that_has_left_is_not_waited_with() -> None:
    async with opened(done) as registry:
        early = await registry.subscribe("s1", after="0")
        early.close()
        await ask(registry, "hello")
        assert (await registry.counts()).subscribers == 0


async def test_the_epochs_of_a_session_that_was_waited_for_go_on_where_they_were(clock: VirtualClock) -> None:
    """G7: the epoch is drawn when the turn starts, whatever its readers' cursors are."""
    async with opened(done, idle_ttl=1, turn_retention=1) as registry:
        first = await registry.send("s1", "one")
        await first.ended()
        await clock.advance(60)
        assert (await registry.counts()).sessions == 0
        back = await registry.subscribe("s1", after=f"{first.epoch}-1")
        future = await registry.subscribe("s1", after="99999999999999-0")
        second = await registry.send("s1", "two")
        await second.ended()
        assert first.epoch is not None
        assert second.epoch is not None
        assert first.epoch < second.epoch < 99999999999999
        for stream in (back, future):
            events = waiting(stream)
            assert names(events) == ["gap", "snapshot", "turn.started", "turn.completed"]
            assert {event.epoch for event in events[2:]} == {second.epoch}
            stream.close()


async def test_a_session_that_is_or_was_another_users_is_not_waited_for(clock: VirtualClock) -> None:
    """G12."""
    async with opened(remembering, idle_ttl=1, turn_retention=10) as registry:
        await ask(registry, "one", user="ada")
        for _ in range(2):
            with pytest.raises(UnknownSession):
                await registry.subscribe("s1", after="0", user="bob")
            await clock.advance(60)
            assert (await registry.counts()).sessions == 0
        admin = await registry.subscribe("s1", after="0")
        await ask(registry, "two", user="ada")
        assert names(waiting(admin)) == ["snapshot", "turn.started", "turn.completed"]
        admin.close()


async def test_readers_of_sessions_that_are_not_open_are_told_of_the_end() -> None:
    """G10."""
    async with opened(done) as registry:
        early = [await registry.subscribe(f"s{n}", after="0") for n in range(3)]
        await registry.drain()
        for stream in early:
            assert [event.data for event in await read_to_end(stream)][-1] == "Server shutting down"
        with pytest.raises(ShuttingDown):
            await registry.subscribe("s9", after="0")


# -- Mail in between ----------------------------------------------------------------------------------


async def test_messages_that_arrive_while_a_session_goes_to_sleep_are_handled_in_order() -> None:
    async with opened(remembering) as registry:
        await ask(registry, "0")
        for n in range(1, 6):
            cleaning = registry.ask(Cleanup())
            sends = [registry.ask(Send("s1", f"{n}{letter}", wait=False)) for letter in "ab"]
            await cleaning
            accepted = [await send for send in sends]
            assert [each.status for each in accepted] == ["running", "queued"]
            await settle()
        said = await ask(registry, "last")
        assert said == ["0", "1b", "2b", "3b", "4b", "5b"]


async def test_who_waits_for_a_session_on_its_way_to_sleep_is_answered_at_the_end() -> None:
    """G10: once all is drained, a stop does not wait for anything more."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        await registry.drain()
        cleaning = registry.ask(Cleanup())
        looking = registry.ask(GetSession("s1"))
        await registry.stop()
        await settle()
        assert cleaning.done()
        assert await cleaning == ()
        assert looking.done()
        with pytest.raises(ShuttingDown):
            await looking


async def test_a_session_that_outlives_the_registry_for_a_moment_answers_to_its_end(
    clock: VirtualClock,
) -> None:
    """G10: its turn ends in the very pass in which the registry stops, after the deadline."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        cancelling = registry.ask(Cancel("s1"))
        await settle()
        await registry.drain(0)
        run.finish("late")
        stopping = registry.ref.stop(block=False)
        # The session's mail is handled after the registry's last message, and before its own stop.
        registry.directory.entries[receipt.session_id].actor.tell(TurnEnded(run.turn.epoch, Returned("late")))
        assert await stopping is True
        await settle()
        assert cancelling.done()
        ended = asyncio.create_task(receipt.ended())
        await settle()
        assert ended.done()
        assert ended.exception() is None or isinstance(ended.exception(), ShuttingDown)
