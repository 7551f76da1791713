"""Performs the effects of a session's decisions, whatever the host's own objects do."""

import asyncio
from typing import Any

from tests.fakes import Run, ScriptedAgent, done, opened, settle, waiting
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Close, Send
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.turn.turn import Turn


async def started(registry: SessionRegistry, agent: ScriptedAgent, **keywords: Any) -> tuple[Any, Run]:
    """A turn of s1 that runs: its receipt and its run."""
    receipt = await registry.send("s1", "hello", **keywords)
    return receipt, await agent.run()


async def record_of(registry: SessionRegistry, receipt: Any) -> TurnRecord:
    return await registry.turn(receipt.session_id, receipt.turn_id)


# -- One turn ---------------------------------------------------------------------------------------


class Grudging(dict[str, Any]):
    """A host's own kind of dict."""

    def items(self) -> Any:
        raise KeyError("not today")

    values = items


async def test_a_message_or_a_result_that_raises_when_it_is_looked_at_is_told_as_null() -> None:
    """G2: the turn has its end, and its session works."""

    async def agent(turn: Turn) -> Any:
        return turn.message

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", Grudging(a=1))
        assert isinstance(await receipt.result(), Grudging)
        _, started_event, completed = waiting(stream)
        assert started_event.data["message"] is None
        assert completed.data["result"] is None
        stream.close()


async def test_an_error_with_a_code_of_the_hosts_own_kind_is_a_failure_like_any_other() -> None:
    class NotFound(SessionError):
        code = 404  # type: ignore[assignment]

    async def agent(turn: Turn) -> None:
        raise NotFound("nothing here")

    async with opened(agent) as registry:
        record = await asyncio.wait_for((await registry.send("s1", "hello")).ended(), 5)
        assert record.error is not None
        assert record.error.code == "agent_error"


async def test_an_address_that_takes_no_answer_is_no_failure_of_the_session() -> None:
    """One message that is sent twice brings one address along twice."""
    async with opened(done) as registry:
        ended: AsyncioFuture[Any] = AsyncioFuture()
        actors: set[Any] = set()
        for _ in range(2):
            accepted = await registry.ask(Send("s1", "hello", ended_to=ended))
            await settle()
            actors.add(registry.directory.entries[accepted.session_id].actor)
        assert (await ended).turn.status is TurnStatus.COMPLETED
        assert len(actors - {None}) == 1
        assert None not in actors


async def test_a_session_that_is_closed_leaves_no_timer_behind() -> None:
    """G8. With very many closed at once, their ticks would hold up the shutdown."""

    def timers() -> int:
        scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009
        return sum(not timer.cancelled() and "Timer._now" in repr(timer) for timer in scheduled)

    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        _, run = await started(registry, agent)
        before = timers()
        closing = registry.ask(Close("s1"))
        await run.cancelled.wait()
        assert timers() == before + 1
        run.finish()
        await closing
        assert timers() == before
