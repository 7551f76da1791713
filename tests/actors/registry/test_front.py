"""SessionRegistry: the friendly front, and its life."""

import asyncio
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, VirtualClock, done, opened, plain, settle
from turnkeeper.actors.model.exceptions import (
    AlreadyStarted,
    BlockingCallOnLoop,
    InvalidRequest,
    LoopClosed,
    NoRegistry,
    UnknownSession,
)
from turnkeeper.actors.model.messages import Cancel
from turnkeeper.actors.registry.front import SessionRegistry, open_registry

# -- Life -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agents", [None, "agent", {}, {"a": None}, {1: done}, [done]], ids=plain)
def test_what_is_no_agent_is_refused_before_anything_opens(agents: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SessionRegistry(agents)
    assert caught.value.field == "agents"


async def test_the_agent_called_default_is_the_default_else_the_first() -> None:
    for names, default in ((("a", "default"), "default"), (("b", "a"), "b")):
        async with opened(dict.fromkeys(names, done)) as registry:
            receipt = await registry.send("s1", "hello")
            assert (await receipt.ended()).agent == default
            assert registry.agents[0] == default
            assert set(registry.agents) == set(names)


async def test_a_registry_is_started_once() -> None:
    registry = SessionRegistry(done)
    await registry.start()
    with pytest.raises(AlreadyStarted) as caught:
        await registry.start()
    assert caught.value.code == "ALREADY_STARTED"
    await registry.stop()
    with pytest.raises(AlreadyStarted):
        await registry.start()


async def test_a_registry_that_was_not_started_says_so_and_stops_harmlessly() -> None:
    registry = SessionRegistry(done)
    for use in (registry.send("s1", "hello"), registry.cancel("s1"), registry.counts()):
        with pytest.raises(LoopClosed, match="not been started"):
            await use
    assert not registry.accepting
    await registry.stop()


async def test_a_stop_may_be_given_up_and_repeated(clock: VirtualClock) -> None:
    """G10."""
    agent = ScriptedAgent(swallows=1)
    registry = await SessionRegistry(agent).start()
    await registry.send("s1", "hello")
    run = await agent.run()
    stopping = asyncio.create_task(registry.stop())
    await run.cancelled.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    run.finish()
    await registry.stop()
    await registry.stop()
    assert not registry.accepting


async def test_the_registry_that_is_open_on_the_loop_is_found() -> None:
    with pytest.raises(NoRegistry) as caught:
        open_registry()
    assert caught.value.code == "NO_REGISTRY"
    async with opened() as registry:
        assert open_registry() is registry
        with pytest.raises(NoRegistry, match="no event loop"):
            await asyncio.to_thread(open_registry)
    with pytest.raises(NoRegistry):
        open_registry()


async def test_a_registry_that_was_stopped_from_another_thread_is_not_open_any_more() -> None:
    async with opened() as registry:
        assert await asyncio.to_thread(registry.ref.stop)
        with pytest.raises(NoRegistry):
            open_registry()


async def test_of_several_registries_on_a_loop_the_one_opened_last_is_found_and_then_the_other_one() -> None:
    async with opened() as first:
        async with opened() as second:
            assert open_registry() is second
        assert open_registry() is first


async def test_every_loop_has_its_own_registry() -> None:
    async def elsewhere() -> Any:
        with pytest.raises(NoRegistry):
            open_registry()
        async with opened() as other:
            assert open_registry() is other
            return await (await other.send("s1", "there")).result()

    async with opened() as registry:
        assert await asyncio.to_thread(asyncio.run, elsewhere()) == "done: there"
        assert open_registry() is registry
        with pytest.raises(UnknownSession):
            await registry.session("s1")


async def test_a_blocking_ask_on_the_loop_is_refused_before_anything_is_sent() -> None:
    """G9."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        with pytest.raises(BlockingCallOnLoop, match="await"):
            registry.ref.ask(Cancel("s1"))
        await settle()
        assert not run.turn.cancel_requested
