"""Performs the effects of a session's decisions, whatever the host's own objects do."""

import asyncio
from typing import Any

import pytest

from tests.fakes import Run, ScriptedAgent, done, opened, settle, waiting
from turnkeeper.actors.model.exceptions import AgentError, SessionError
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

    error: BaseException = KeyError("not today")

    def items(self) -> Any:
        raise self.error

    values = items


async def test_a_result_that_leaves_the_process_when_it_is_looked_at_is_told_as_null() -> None:
    """G14."""

    class Leaving(Grudging):
        error = SystemExit(3)

    async def agent(turn: Turn) -> Any:
        return Leaving(x=1)

    async with opened(agent) as registry:
        stream = await registry.subscribe("s1")
        assert isinstance(await (await registry.send("s1", "hello")).result(), Leaving)
        assert waiting(stream)[-1].data["result"] is None
        stream.close()


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


# -- The log ----------------------------------------------------------------------------------------


class RateLimited(AgentError):
    """A host's own error, which belongs to normal operation."""

    code = "RATE_LIMITED"
    expected = True


async def fails_with(error: BaseException) -> None:
    async def agent(turn: Turn) -> None:
        raise error

    async with opened(agent) as registry:
        await (await registry.send("s1", "hello", turn_id="t1")).ended()


async def test_an_expected_failure_is_logged_as_a_warning_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fails_with(RateLimited("try again later"))
    [record] = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage() == "turn t1 failed: rate_limited: try again later"


@pytest.mark.parametrize("error", [KeyError("x"), AgentError("y")], ids=repr)
async def test_any_other_failure_is_logged_as_an_error_with_its_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    await fails_with(error)
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "turn t1 failed")
    assert "Traceback" in caplog.text


async def test_no_text_of_an_agents_forges_an_entry_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """G14."""
    forged = "\n2026-01-01 00:00:00,000 CRITICAL turnkeeper: forged"
    await fails_with(KeyError("x" + forged))
    await fails_with(RuntimeError("x" + forged * 100))
    await fails_with(RateLimited("x" + forged * 100))
    assert caplog.text.count("CRITICAL") == 201
    assert not [line for line in caplog.text.splitlines() if line.startswith("2026")]


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
