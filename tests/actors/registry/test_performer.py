"""Performs the effects of a session's decisions, whatever the host's own objects do."""

import asyncio
import logging
import re
from typing import Any

import pytest

from tests.fakes import FOREVER, Run, ScriptedAgent, VirtualClock, done, opened, settle, waiting
from turnkeeper.actors.metrics.histogram import Histogram
from turnkeeper.actors.metrics.meter import SUPERSEDED
from turnkeeper.actors.model.exceptions import AgentError, SessionError
from turnkeeper.actors.model.logger import FIELDS
from turnkeeper.actors.model.messages import Close, Send
from turnkeeper.actors.model.records import TurnRecord
from turnkeeper.actors.model.words import TurnStatus, Verdict
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


async def test_a_result_that_exits_when_it_is_looked_at_is_published_as_null() -> None:
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


async def test_a_message_or_a_result_that_raises_when_it_is_looked_at_is_published_as_null() -> None:
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
        record = await asyncio.wait_for((await registry.send("s1", "hello")).ended(), 60)
        assert record.error is not None
        assert record.error.code == "agent_error"


# -- Large messages ---------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}


@pytest.mark.parametrize(
    "message",
    [
        "x" * 1_000_000,
        [IMAGE, {"type": "text", "text": "what is it?"}],
        [IMAGE | {"n": n} for n in range(900)],
    ],
    ids=["a text", "an image", "many images"],
)
async def test_a_large_message_does_not_push_the_beginning_of_its_turn_out_of_the_log(message: Any) -> None:
    """G7, G8."""

    async def agent(turn: Turn) -> Any:
        for _ in range(5):
            turn.emit("delta", {"text": "x" * 80_000})
        return len(turn.message)

    async with opened(agent) as registry:
        assert await (await registry.send("s1", message)).result() == len(message)
        stream = await registry.subscribe("s1", after="0")
        events = waiting(stream)
        started, *_, completed = events
        assert [event.n for event in events] == [*range(7)]
        assert (started.name, completed.name) == ("turn.started", "turn.completed")
        assert True in {part.get("elided") for part in started.data["message"]}
        assert (await registry.counts()).counters["messages_elided_total"] == 1
        stream.close()


async def test_a_large_part_is_kept_once_and_counts_in_the_conversation_only() -> None:
    """G8."""
    seen: list[Any] = []

    async def agent(turn: Turn) -> None:
        seen.append(turn.message[0])
        turn.context.messages.append({"role": "user", "content": turn.message})

    async with opened(agent) as registry:
        await (await registry.send("s1", [IMAGE])).result()
        [kept] = (await registry.messages("s1")).messages
        assert kept["content"][0]["image_url"]["url"] is seen[0]["image_url"]["url"]
        stream = await registry.subscribe("s1", after="0")
        assert sum(event.size for event in waiting(stream)) < 2_000
        stream.close()


# -- The meter --------------------------------------------------------------------------------------


def seen(histogram: Histogram) -> tuple[int, float]:
    """How many a histogram has seen, and how many seconds they took."""
    return histogram.below[-1][1], round(histogram.sum, 3)


async def test_what_a_turn_takes_is_counted_for_its_agent(clock: VirtualClock) -> None:
    agent = ScriptedAgent(swallows=0)
    async with opened({"coder": agent, "writer": done}) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        await asyncio.sleep(1)
        run.turn.emit("word", "a")
        await asyncio.sleep(2)
        run.finish()
        await settle()
        coder, writer = registry.meter.agents["coder"], registry.meter.agents["writer"]
        assert coder.ends == {("completed", "interrupt"): 1}
        assert (seen(coder.duration), seen(coder.first_event)) == ((1, 3.0), (1, 1.0))
        assert (seen(coder.queue_wait), seen(coder.cancel_latency)) == ((0, 0.0), (0, 0.0))
        assert writer.ends == {}


async def test_what_a_turn_waits_for_and_what_a_cancel_takes_is_counted(clock: VirtualClock) -> None:
    """It swallows the first cancel, and the second comes at half of the grace."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, cancel_grace=4) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        await asyncio.sleep(1)
        await registry.send("s1", "again", strategy="interrupt")
        figures, meter = registry.meter.agents["default"], registry.meter
        assert figures.ends == {("cancelled", "interrupt"): 1}
        assert meter.counts()[SUPERSEDED.name] == 1
        assert (seen(figures.cancel_latency), seen(figures.duration)) == ((1, 2.0), (1, 3.0))
        (await agent.run()).finish()
        await settle()
        assert seen(figures.queue_wait) == (1, 2.0)


async def test_a_turn_is_counted_by_the_strategy_that_it_was_sent_with() -> None:
    async with opened(done, multitask_strategy="reject") as registry:
        await (await registry.send("s1", "hello")).ended()
        await (await registry.send("s1", "hello", strategy="interrupt")).ended()
        ends = registry.meter.agents["default"].ends
        assert ends == {("completed", "reject"): 1, ("completed", "interrupt"): 1}


async def test_a_turn_that_never_began_takes_no_time_and_is_counted() -> None:
    async with opened(done) as registry:
        await registry.cancel("s1", "t1", user="ada")
        await registry.send("s1", "hello", turn_id="t1", user="ada")
        figures = registry.meter.agents["default"]
        assert figures.ends == {("cancelled", "interrupt"): 1}
        assert seen(figures.duration) == (0, 0.0)


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


def of_the_end(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The one record about the end of turn t1, without how long it took."""
    [record] = [record for record in caplog.records if "turn t1 " in record.getMessage()]
    record.msg, record.args = re.sub(r"[\d.]+ ms", "N ms", record.getMessage()), None
    return record


async def test_an_expected_failure_is_logged_as_a_warning_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fails_with(RateLimited("try again later"))
    record = of_the_end(caplog)
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    said = "turn t1 of session s1 ended as failed after N ms: rate_limited: try again later"
    assert record.getMessage() == said


@pytest.mark.parametrize("error", [KeyError("x"), AgentError("y")], ids=repr)
async def test_any_other_failure_is_logged_as_an_error_with_its_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    await fails_with(error)
    record = of_the_end(caplog)
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("turn t1 of session s1 ended as failed after N ms: ")
    assert "Traceback" in caplog.text


class Unsayable(AgentError):
    expected = True

    def __str__(self) -> str:
        raise RuntimeError("no words")


async def test_an_error_that_has_no_text_costs_its_session_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def agent(turn: Turn) -> str:
        if turn.text == "fail":
            raise Unsayable
        return "fine"

    async with opened(agent) as registry:
        assert (await (await registry.send("s1", "fail")).ended()).status is TurnStatus.FAILED
        assert await (await registry.send("s1", "again")).result() == "fine"
    assert "internal: Unsayable" in caplog.text


async def test_the_end_of_a_turn_is_one_record_with_fields(
    caplog: pytest.LogCaptureFixture, clock: VirtualClock
) -> None:
    caplog.set_level(logging.INFO, "turnkeeper")
    agent = ScriptedAgent()
    async with opened({"coder": agent}) as registry:
        await registry.send("s1", "hello", turn_id="t1", user="ada")
        run = await agent.run()
        await asyncio.sleep(2)
        run.finish()
        await settle()
    record = of_the_end(caplog)
    assert (record.levelname, record.getMessage()) == (
        "INFO",
        "turn t1 of session s1 ended as completed after N ms",
    )
    fields = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
    assert fields.pop("ms") == pytest.approx(2_000, abs=1)
    assert fields == {"session": "s1", "turn": "t1", "user": "ada", "agent": "coder", "status": "completed"}


@pytest.mark.parametrize(
    ("grace", "level", "status", "verdict"),
    [(4.0, "INFO", "cancelled", "cancelled"), (0.0, "WARNING", "unresponsive", "unresponsive")],
)
async def test_the_end_of_a_cancelled_turn_says_whose_cancel_it_was_and_what_came_of_it(
    caplog: pytest.LogCaptureFixture,
    clock: VirtualClock,
    grace: float,
    level: str,
    status: str,
    verdict: str,
) -> None:
    caplog.set_level(logging.INFO, "turnkeeper")
    agent = ScriptedAgent(swallows=0 if grace else FOREVER)
    async with opened(agent, cancel_grace=grace) as registry:
        await registry.send("s1", "hello", turn_id="t1", user="ada")
        await agent.run()
        await registry.cancel("s1", user="ada")
    record = of_the_end(caplog)
    said = f"turn t1 of session s1 ended as {status} after N ms, N ms after its cancel: user_request by ada"
    assert (record.levelname, record.getMessage()) == (level, said)
    assert (vars(record)["status"], vars(record)["verdict"]) == (status, verdict)


async def test_a_cancel_by_no_user_is_said_without_a_name(
    caplog: pytest.LogCaptureFixture, clock: VirtualClock
) -> None:
    caplog.set_level(logging.INFO, "turnkeeper")
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await (await registry.send("s1", "hello", turn_id="t1", timeout=3)).ended()
    said = "turn t1 of session s1 ended as timed_out after N ms, N ms after its cancel: timeout"
    assert of_the_end(caplog).getMessage() == said


async def test_a_turn_that_never_began_has_its_record_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "turnkeeper")
    async with opened(done) as registry:
        await registry.cancel("s1", "t1", user="ada")
        await registry.send("s1", "hello", turn_id="t1", user="ada")
    assert "ended as cancelled" in of_the_end(caplog).getMessage()


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


async def test_a_stop_is_over_after_the_grace_although_the_turn_had_hours_left(clock: VirtualClock) -> None:
    """G6: the earlier moment takes the timer over from the later one."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=4, turn_timeout=10_000) as registry:
        await started(registry, agent)
        before = clock.elapsed
        answer = await registry.cancel("s1")
        assert answer.verdict is Verdict.UNRESPONSIVE
        assert clock.elapsed - before == pytest.approx(4.0)
