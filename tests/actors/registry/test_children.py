"""The sessions' actors: opened, woken, asked to sleep, and what happens to mail in between."""

import asyncio
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, opened, settle
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
