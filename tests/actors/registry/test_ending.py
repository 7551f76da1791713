"""The registry's end: every session is closed, and everyone is answered (G10)."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pykka
import pytest

from tests.fakes import (
    FOREVER,
    ScriptedAgent,
    VirtualClock,
    done,
    names,
    opened,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.model.exceptions import ShuttingDown
from turnkeeper.actors.model.messages import (
    AwaitTurn,
    Cancel,
    Cleanup,
    Close,
    GetCounts,
    GetMessages,
    GetSession,
    GetTurn,
    ListActive,
    Send,
    Shutdown,
    Subscribe,
)
from turnkeeper.actors.model.records import Asker, SessionId
from turnkeeper.actors.model.words import CancelCode, TurnStatus, Verdict
from turnkeeper.actors.registry.children import BATCH
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.session_actor import SessionActor
from turnkeeper.actors.session.views import state_name
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


async def test_at_the_end_every_asker_and_every_stream_is_answered(clock: VirtualClock) -> None:
    """G10."""
    agent, stubborn = ScriptedAgent(), ScriptedAgent(FOREVER)
    registry = SessionRegistry({"default": agent, "stubborn": stubborn})
    await registry.start()
    streams = [await registry.subscribe(session) for session in ("s1", "s2", "s3")]
    running = await registry.send("s1", "hello")
    hanging = await registry.send("s2", "hello", agent="stubborn")
    await settle()
    queued = await registry.send("s2", "second", wait=False)
    sending = asyncio.create_task(registry.send("s2", "third"))
    cancelling = asyncio.create_task(registry.cancel("s2", hanging.turn_id))
    await settle()
    before = clock.elapsed
    first, second = asyncio.create_task(registry.stop()), asyncio.create_task(registry.stop())
    await settle(5)
    with pytest.raises((ShuttingDown, pykka.ActorDeadError)):
        await registry.send("s9", "hello")
    record = await running.ended()
    assert record.status is TurnStatus.CANCELLED
    assert record.reason is not None
    assert record.reason.code is CancelCode.SHUTDOWN
    assert (await hanging.ended()).status is TurnStatus.UNRESPONSIVE
    assert (await queued.ended()).status is TurnStatus.CANCELLED
    assert (await sending).status is TurnStatus.CANCELLED
    assert (await cancelling).verdict is Verdict.UNRESPONSIVE
    await asyncio.gather(first, second)
    assert clock.elapsed - before <= 10
    for stream in streams:
        events = await read_to_end(stream)
        assert (events[-1].name, events[-1].data) == ("close", "Server shutting down")
    assert not registry.ref.is_alive()
    await registry.stop()
    stubborn.release()
    await settle()


async def test_while_it_drains_questions_are_answered_and_sends_refused(clock: VirtualClock) -> None:
    """G10."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        draining = asyncio.create_task(registry.drain())
        await run.cancelled.wait()
        for refused in (registry.send("s1", "x"), registry.send("s2", "x"), registry.subscribe("s1")):
            with pytest.raises(ShuttingDown) as caught:
                await refused
            assert caught.value.code == "SHUTTING_DOWN"
        assert (await registry.session("s1")).state == "cancelling"
        assert not registry.accepting
        run.finish()
        await draining
        assert (await registry.session("s1")).state == "closed"
        await registry.drain()


@pytest.mark.parametrize("deadline", [0, 0.3, 2])
async def test_the_deadline_holds_and_no_asker_is_left_waiting(clock: VirtualClock, deadline: float) -> None:
    """G10."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent, shutdown_deadline=deadline) as registry:
        stream = await registry.subscribe("s1")
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        ended, sending = asyncio.create_task(receipt.ended()), asyncio.create_task(registry.send("s1", "x"))
        await run.cancelled.wait()
        before = clock.elapsed
        await registry.stop()
        assert clock.elapsed - before <= deadline + 0.01
        answers = await asyncio.gather(ended, sending, return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, ShuttingDown) or answer.status in ("unresponsive", "cancelled")  # type: ignore[union-attr]
        assert (await read_to_end(stream))[-1].data == "Server shutting down"


async def test_a_turn_gets_its_chance_to_clean_up(clock: VirtualClock) -> None:
    """G10."""
    cleaned: list[str] = []

    async def agent(turn: Turn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(2)
            cleaned.append(turn.session_id)

    async with opened(agent) as registry:
        for n in range(3):
            await registry.send(f"s{n}", "hello")
        await settle()
    assert sorted(cleaned) == ["s0", "s1", "s2"]


@pytest.mark.parametrize("everyone", [True, False], ids=["stop_all", "stop"])
async def test_a_stop_from_another_thread_is_answered_when_all_is_drained(everyone: bool) -> None:
    """G10."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        stop = pykka.ActorRegistry.stop_all if everyone else registry.ref.stop
        stopped = asyncio.create_task(asyncio.to_thread(stop))
        record = await receipt.ended()
        assert record.status is TurnStatus.CANCELLED
        assert await stopped in (True, [True])
        assert not registry.ref.is_alive()
        assert agent.running == []


async def test_two_stops_are_both_answered_when_all_is_drained() -> None:
    """G10: ours and, say, that of pykka.ActorRegistry.stop_all()."""
    registry = await SessionRegistry(done).start()
    await registry.send("s1", "hello")
    both = [registry.ref.stop(block=False) for _ in range(2)]
    assert await asyncio.gather(*both) == [True, True]
    assert await registry.ref.stop(block=False) is False


@pytest.mark.parametrize("order", [(60.0, 2.0), (2.0, 60.0)])
async def test_of_two_shutdowns_the_nearer_deadline_holds(
    clock: VirtualClock, order: tuple[float, float]
) -> None:
    """G10."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, cancel_grace=100) as registry:
        receipt = await registry.send("s1", "hello")
        await agent.run()
        before = clock.elapsed
        await asyncio.gather(*map(registry.drain, order))
        assert clock.elapsed - before <= 2.01
        assert (await receipt.ended()).status is TurnStatus.UNRESPONSIVE


async def test_a_short_deadline_leaves_a_turn_most_of_it_to_clean_up(clock: VirtualClock) -> None:
    async def tidy(_turn: Turn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.15)

    async with opened(tidy, shutdown_deadline=0.5) as registry:
        receipt = await registry.send("s1", "hello")
        await settle()
        await registry.stop()

        assert (await receipt.ended()).status is TurnStatus.CANCELLED


async def test_a_shutdown_wakes_no_session_and_waits_for_none_that_has_nothing_to_do(
    clock: VirtualClock,
) -> None:
    """G10: a registry may know very many that sleep."""
    async with opened(done) as registry:
        for session in ("asleep", "closed", "resting"):
            await ask(registry, "hello", session)
            if session == "asleep":
                assert await registry.cleanup() == ("asleep",)
        await registry.close("closed")
        before = clock.elapsed
        await registry.drain()
        assert clock.elapsed == before
        entries = registry.directory.entries
        assert entries[SessionId("asleep")].actor is None
        assert {name: state_name(entry.state) for name, entry in entries.items()} == {
            "asleep": "idle",
            "closed": "closed",
            "resting": "closed",
        }


# -- Very many ----------------------------------------------------------------------------------------

MANY = 3 * BATCH + 1


async def busy(registry: SessionRegistry, count: int = MANY) -> list[Any]:
    """So many turns in flight."""
    return [await registry.send(f"s{n}", "hello") for n in range(count)]


async def steps(count: Callable[[], int], until: "asyncio.Future[Any]") -> list[int]:
    """By how much it grew in each pass of the loop."""
    counted = [count()]
    while not until.done():
        await asyncio.sleep(0)
        counted.append(count())
    return [after - before for before, after in pairwise(counted)]


async def test_very_many_turns_are_cancelled_and_their_sessions_closed_in_passes() -> None:
    """G9: no pass of the loop holds more than a batch of cancels, ends of tasks and closed sessions."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight_in_all=MANY) as registry:
        receipts = await busy(registry)
        await settle()
        drain = asyncio.ensure_future(registry.drain())

        def cancelled() -> int:
            return sum(run.turn.cancel_requested for run in agent.runs)

        grown = await steps(cancelled, drain)
        assert max(grown) == BATCH
        assert sum(grown) == MANY
        assert {(await receipt.ended()).status for receipt in receipts} == {TurnStatus.CANCELLED}


async def test_very_many_actors_are_stopped_in_passes_and_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G9, G10: when `stop` returns, no actor and no task is."""
    stopped: list[str] = []
    on_stop = SessionActor.on_stop

    def counted(actor: SessionActor) -> None:
        stopped.append("")
        on_stop(actor)

    monkeypatch.setattr(SessionActor, "on_stop", counted)
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight_in_all=MANY, shutdown_deadline=0) as registry:
        receipts = await busy(registry)
        actors = [entry.actor for entry in registry.directory.entries.values()]
        await settle()
        stop = asyncio.ensure_future(registry.stop())
        grown = await steps(lambda: len(stopped), stop)
        assert max(grown) == BATCH
        assert len(stopped) == MANY
        assert not any(actor.is_alive() for actor in actors)
        assert agent.running == []
        for receipt in receipts:
            with pytest.raises(ShuttingDown):
                await receipt.ended()


async def test_every_reader_has_its_close_when_the_stop_returns() -> None:
    """G10: however many there are, of one session or of many, open or not."""
    async with opened(ScriptedAgent()) as registry:
        await busy(registry, 10)
        streams = [await registry.subscribe(f"s{n % 20}", close_on="never") for n in range(MANY)]
        got = [asyncio.ensure_future(read_to_end(stream)) for stream in streams]
        await settle()
        await registry.stop()
        assert all(each.done() for each in got)
        assert {each.result()[-1].data for each in got} == {"Server shutting down"}


@pytest.mark.parametrize("late", range(1, 14))
@pytest.mark.parametrize(
    "message",
    [
        Send("s1", "more"),
        Send("new", "more"),
        Subscribe("s1"),
        Subscribe("new"),
        GetSession("s1"),
        GetSession("asleep"),
        GetTurn("s1", "t1"),
        AwaitTurn("s1", "t1"),
        Cancel("s1"),
        Close("s1"),
        Close("asleep"),
        Close("s1", Asker("root", sees_all=True), free=True),
        GetMessages("asleep"),
        ListActive(),
        GetCounts(),
        Cleanup(),
        Shutdown(),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_what_comes_during_a_stop_is_answered_once_and_opens_and_wakes_nothing(
    message: Any, late: int
) -> None:
    """G10: in whichever pass it comes: with the truth, or with the refusal."""
    agent = ScriptedAgent()
    registry = SessionRegistry({"default": agent, "done": remembering})
    await registry.start()
    await ask(registry, "hello", "asleep", agent="done")
    assert await registry.cleanup() == ("asleep",)
    await registry.send("s1", "hello", turn_id="t1")
    stop = asyncio.ensure_future(registry.stop())
    await settle(late)
    asked = registry.ask(message)
    await stop
    assert asked.done()
    try:
        answer = asked.get(timeout=0)
    except (ShuttingDown, pykka.ActorDeadError):
        pass
    else:
        assert not isinstance(message, Send)
        if isinstance(message, Subscribe):
            assert names(waiting(answer))[-1] == "close"
            answer.close()
    entries = registry.directory.entries
    assert set(entries) <= {"asleep", "s1"}
    assert not any(entry.actor is not None and entry.actor.is_alive() for entry in entries.values())
    await settle()


async def test_mail_that_is_parked_at_a_session_that_falls_asleep_is_answered_at_the_end() -> None:
    """G10: its actor is not started again for that."""
    async with opened(done) as registry:
        await ask(registry, "hello")
        await registry.drain(0)
        cleaning, asking = registry.ask(Cleanup()), registry.ask(GetSession("s1"))
        stopping = registry.ref.stop(block=False)
        assert await stopping is True
        assert asking.done()
        assert cleaning.done()
        assert registry.directory.entries[SessionId("s1")].actor is None or (
            not registry.directory.entries[SessionId("s1")].actor.is_alive()
        )


async def test_a_deadline_that_passes_while_sessions_are_still_asked_to_close_ends_the_asking() -> None:
    """G10: what is left of it is stopped, and each turn ends once."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight_in_all=MANY) as registry:
        receipts = await busy(registry)
        await settle()
        await asyncio.gather(registry.drain(60), registry.drain(0))
        await registry.stop()
        assert agent.running == []
        for receipt in receipts:
            with suppress(ShuttingDown):
                assert (await receipt.ended()).status is TurnStatus.CANCELLED


async def test_stops_that_come_in_any_pass_of_another_one_are_all_answered() -> None:
    """G10."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight_in_all=MANY) as registry:
        await busy(registry)
        stops = [registry.ref.stop(block=False)]
        while not stops[0].done():
            await asyncio.sleep(0)
            stops.append(registry.ref.stop(block=False))
        await settle()
        assert all(each.done() for each in stops)
        assert await stops[0] is True
        assert len(stops) > 5


async def test_a_question_of_any_pass_of_a_long_shutdown_is_answered_in_a_few() -> None:
    """G9: the sessions that are being closed do not stand in its way."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight_in_all=MANY) as registry:
        await busy(registry)
        drain = asyncio.ensure_future(registry.drain())
        while not drain.done():
            asked = registry.ask(GetCounts())
            await settle(4)
            assert asked.done()
