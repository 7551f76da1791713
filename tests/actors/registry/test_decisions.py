"""What a session decides is done; and what happens where deciding or doing it fails (G6, G10)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import FOREVER, Run, ScriptedAgent, VirtualClock, done, opened, read_to_end, settle
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import (
    QueueFull,
    SessionBusy,
    SessionError,
    SessionLost,
    TooManyOfAgent,
    TooManyTurns,
    TooManyUnresponsive,
    TooMuchKept,
)
from turnkeeper.actors.model.messages import Accepted, Cancel, Send
from turnkeeper.actors.model.records import HOST, Asker, TurnRecord
from turnkeeper.actors.model.words import Layer, SessionState, TurnStatus
from turnkeeper.actors.registry import decisions
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.registry.performer import Performer
from turnkeeper.actors.runtime.run_queue import MESSAGES_PER_ACTOR
from turnkeeper.actors.turn.agent import Agent

ADA = Asker("ada")


async def started(registry: SessionRegistry, agent: ScriptedAgent, **keywords: Any) -> tuple[Any, Run]:
    """A turn of s1 that runs: its receipt and its run."""
    receipt = await registry.send("s1", "hello", **keywords)
    return receipt, await agent.run()


async def record_of(registry: SessionRegistry, receipt: Any) -> TurnRecord:
    return await registry.turn(receipt.session_id, receipt.turn_id)


# -- One turn ---------------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """Let the session's next step for a message of that type raise."""
    step = decisions.step

    def fail(state: Any, each: Any, now: float, to: Any = None) -> Any:
        if type(each).__name__ == message:
            monkeypatch.setattr(decisions, "step", step)
            raise ZeroDivisionError("a bug of ours")
        return step(state, each, now, to)

    monkeypatch.setattr(decisions, "step", fail)


async def test_a_session_whose_actor_failed_starts_anew_and_every_asker_is_answered(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    """G6, G10: no asker waits for what is gone."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        done_before, run = await started(registry, agent)
        run.finish()
        await done_before.result()
        receipt, run = await started(registry, agent)
        again = await registry.send("s1", "hello", turn_id="waits")
        sending = asyncio.create_task(registry.send("s1", "third"))
        stream = await registry.subscribe("s1")
        last = await agent.run()
        assert last.turn.turn_id == again.turn_id
        await last.cancelled.wait()
        cancelling = asyncio.create_task(registry.cancel("s1", again.turn_id))
        waits = [asyncio.create_task(again.result()), asyncio.create_task(again.ended())]
        await settle()
        failing(monkeypatch, "TurnEnded")
        last.finish()
        for waiting_one in (sending, cancelling, *waits):
            with pytest.raises(SessionLost) as caught:
                await waiting_one
            assert caught.value.code == "SESSION_LOST"
        events = await read_to_end(stream)
        assert (events[-1].name, events[-1].data) == ("close", "Session lost")
        record = await record_of(registry, again)
        assert record.status is TurnStatus.INTERRUPTED, "G2, G11: it does not read running for ever"
        assert record.ended_at is not None
        fourth, run = await started(registry, agent)
        assert fourth.epoch is not None
        assert again.epoch is not None
        assert fourth.epoch > again.epoch
        run.finish("works")
        assert await fourth.result() == "works"
        assert (await registry.turn("s1", done_before.turn_id)).status is TurnStatus.COMPLETED
        assert (await registry.counts()).turns_in_flight == 0
        assert receipt.turn_id != again.turn_id


async def test_the_asker_of_the_step_that_failed_is_answered_and_the_session_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(done) as registry:
        failing(monkeypatch, "Submit")
        with pytest.raises((ZeroDivisionError, SessionLost)):
            await registry.send("s1", "hello")
        assert await (await registry.send("s1", "again")).result() == "done: again"


@pytest.mark.parametrize("lost", ["Stop", "Submit"])
async def test_an_early_cancel_still_counts_when_its_session_fails_before_the_send_is_decided(
    monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """G4: the send comes again, and the cancel does not."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.cancel("s1", "t1")
        failing(monkeypatch, lost)
        with pytest.raises((ZeroDivisionError, SessionLost)):
            await registry.send("s1", "hello", turn_id="t1")
        receipt = await registry.send("s1", "hello", turn_id="t1")
        assert receipt.status is TurnStatus.CANCELLED
        assert agent.runs == []


async def test_an_effect_that_fails_does_not_leave_a_session_that_looks_busy_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G6: the state said that a turn runs, and none did."""

    def fail(*_: Any) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("a bug of ours")

    async with opened(done) as registry:
        monkeypatch.setattr(Performer, "_start_turn", fail)
        with pytest.raises(SessionLost):
            await registry.send("s1", "hello", strategy="reject")
        assert await (await registry.send("s1", "again", strategy="reject")).result() == "done: again"


async def test_messages_without_an_asker_to_a_failed_session_do_not_end_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G6: many messages are under way to a session when it fails."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        with monkeypatch.context() as patch:
            patch.setattr(decisions, "step", fail)
            for _ in range(200):
                registry.ref.tell(Send("s1", "hello", HOST))
            await settle()
        assert registry.ref.is_alive()
        assert await (await registry.send("s1", "again")).result() == "done: again"


async def test_messages_that_come_between_a_failure_and_its_report_wait_for_the_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G6: only what lay in the failed actor's own mailbox is turned away."""
    async with opened(done) as registry:
        await (await registry.send("s1", "hello")).result()
        failing(monkeypatch, "Submit")
        registry.ref.tell(Send("s1", "fails", HOST))
        sends = [registry.ask(Send("s1", str(n), wait=False)) for n in range(200)]
        answers = await asyncio.gather(*sends, return_exceptions=True)
        lost = [answer for answer in answers if isinstance(answer, SessionLost)]
        assert len(lost) < MESSAGES_PER_ACTOR
        assert len([answer for answer in answers if isinstance(answer, Accepted)]) == 200 - len(lost)


async def test_a_cleanup_that_meets_a_failing_session_is_still_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    async with opened(done) as registry:
        for session in ("s1", "s2"):
            await (await registry.send(session, "hello")).result()
        with monkeypatch.context() as patch:
            patch.setattr(EventLog, "forget_all_but_last", fail)
            assert await registry.cleanup() == ()
        assert await (await registry.send("s1", "again")).result() == "done: again"
        assert await registry.cleanup() == ("s1",)


# -- Room for a turn --------------------------------------------------------------------------------


async def test_a_user_has_exactly_as_many_turns_in_flight_as_the_bound_says() -> None:
    """G8, G14: in sessions that are known; what is refused has changed nothing."""
    agent = ScriptedAgent()
    async with opened({"default": done, "long": agent}, max_in_flight=3, max_in_flight_in_all=5) as registry:
        for n in range(4):
            await (await registry.send(f"s{n}", "hello", user="ada", turn_id="first")).result()
        before = await registry.session("s3")
        sends = [registry.ask(Send(f"s{n}", "hello", ADA, "long")) for n in range(4)]
        assert [(await send).status for send in sends[:3]] == [TurnStatus.RUNNING] * 3
        with pytest.raises(TooManyTurns):
            await sends[3]
        assert await registry.session("s3") == before
        assert (await registry.send("s3", "hello", user="ada", turn_id="first")).repeated, "idempotency first"
        others = [registry.ask(Send(f"b{n}", "hello", Asker("bob"), "long")) for n in range(3)]
        assert [(await send).status for send in others[:2]] == [TurnStatus.RUNNING] * 2
        for user in ("bob", None):
            with pytest.raises(TooManyTurns):
                await registry.send("b3", "hello", user=user)
        assert (await registry.counts()).counters["too_many_turns_total"] == 4
        (await agent.run()).finish()
        await settle()
        await registry.send("s3", "hello", user="ada", agent="long")


async def test_how_many_turns_a_user_has_in_flight_the_policy_of_the_send_says() -> None:
    """G8: of the user, and narrower of an agent or of the send itself, where that may say it."""
    agent = ScriptedAgent()
    agents = {"default": agent, "coder": Agent(agent, max_in_flight=2, allow=["max_in_flight"])}
    async with opened(agents, users={"bob": {"max_in_flight": 1}}, max_in_flight=3) as registry:
        await registry.send("b0", "hello", user="bob", agent="coder")
        with pytest.raises(TooManyTurns, match="at most 1 turns"):
            await registry.send("b1", "hello", user="bob", agent="coder")
        await registry.send("a0", "hello", user="ada", agent="coder")
        with pytest.raises(TooManyTurns, match="at most 1 turns"):
            await registry.send("a1", "hello", user="ada", agent="coder", policy={"max_in_flight": 1})
        await registry.send("a1", "hello", user="ada", agent="coder", policy={"max_in_flight": 9})
        with pytest.raises(TooManyTurns, match="at most 2 turns"):
            await registry.send("a2", "hello", user="ada", agent="coder")
        await registry.send("a2", "hello", user="ada")
        with pytest.raises(TooManyTurns, match="at most 3 turns"):
            await registry.send("a3", "hello", user="ada")
        await registry.set_policy(Layer.USER, "ada", {"max_in_flight": 4})
        await registry.send("a3", "hello", user="ada")


async def test_a_turn_that_takes_the_place_of_another_one_needs_no_room_of_its_own() -> None:
    """G8: what holds a session counts, and what waits for it does not; whoever waits gets the place."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=2) as registry:
        for session in ("s1", "s2"):
            await registry.send(session, "hello", user="ada")
        for _ in range(3):
            receipt = await registry.send("s1", "instead", user="ada")
            assert receipt.status is TurnStatus.RUNNING
        waiting = await registry.send("s2", "instead", user="ada", wait=False)
        assert waiting.status is TurnStatus.QUEUED
        with pytest.raises(TooManyTurns):
            await registry.send("s3", "hello", user="ada")
        await settle()
        counts = await registry.counts()
        assert (counts.turns_in_flight, registry.directory.ledger.of("ada").turns) == (2, 2)
        for session in ("s1", "s2"):
            await registry.cancel(session, user="ada")
        await registry.send("s3", "hello", user="ada")
        assert agent.most_at_once == 1


@pytest.mark.parametrize("has_journal", [False, True])
@pytest.mark.parametrize(
    ("settings", "error"),
    [({"queue_limit": 0, "collapse_window": 1.0}, QueueFull), ({"max_of_agent": 1}, TooManyOfAgent)],
)
async def test_a_first_send_that_is_refused_keeps_no_place(
    settings: dict[str, Any], error: type[SessionError], has_journal: bool
) -> None:
    """G8: its session is at rest, and the next send finds the place."""
    journal = MemoryJournal() if has_journal else None
    async with opened(ScriptedAgent(), journal=journal, max_in_flight=2, **settings) as registry:
        await registry.send("s1", "hello", user="ada")
        for _ in range(3):
            with pytest.raises(error):
                await registry.send("s2", "hello", user="ada", strategy="collapse")
        assert (await registry.session("s2", user="ada")).state is SessionState.IDLE
        assert registry.directory.ledger.of("ada").turns == 1
        assert await registry.cleanup(user="ada") == ("s2",)


async def test_a_turn_that_was_given_up_gives_its_place_back(clock: VirtualClock) -> None:
    """G6, G8: quarantined turns have a bound of their own."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent, max_in_flight=1, cancel_grace=1, unresponsive_per_session=2) as registry:
        for _ in range(2):
            await registry.send("s1", "hello", user="ada")
            await registry.cancel("s1", user="ada")
        counts = await registry.counts()
        assert (counts.turns_in_flight, counts.unresponsive) == (0, 2)
        with pytest.raises(TooManyUnresponsive):
            await registry.send("s1", "hello", user="ada")
        agent.release()


async def test_while_a_user_s_turns_do_not_stop_in_all_their_sessions_no_other_one_starts(
    clock: VirtualClock,
) -> None:
    """G8, G14: what was given up goes on using what it has open."""
    agent = ScriptedAgent(swallows=FOREVER)
    limits = {"max_unresponsive": 2, "max_unresponsive_in_all": 3}
    agents = {"default": agent, "patient": Agent(agent, on_cap="wait")}
    async with opened(agents, cancel_grace=1, **limits) as registry:
        for n in range(2):
            await registry.send(f"a{n}", "hello", user="ada", turn_id=f"t{n}")
            await registry.cancel(f"a{n}", user="ada")
        for session, name in (("a0", "default"), ("a2", "patient"), ("a3", "default"), ("a0", "patient")):
            with pytest.raises(TooManyUnresponsive, match="a user has at most 2"):
                await registry.send(session, "hello", user="ada", agent=name)
        assert (await registry.send("a1", "hello", user="ada", turn_id="t1")).repeated, "an old one"
        await registry.send("b0", "hello", user="bob")
        await registry.cancel("b0", user="bob")
        with pytest.raises(TooManyUnresponsive, match=r"at most 3 turns .* in all"):
            await registry.send("c0", "hello", user="cid")
        assert registry.meter.counts()["too_many_unresponsive_total"] == 5
        agent.release()
        await settle()
        await registry.send("a0", "hello", user="ada")
        assert registry.directory.ledger.in_all.unresponsive == 0


async def test_what_no_user_may_have_more_of_a_sender_without_bounds_may() -> None:
    """G8: the host's own code, and everyone on a server without tokens, have the totals only."""
    agent = ScriptedAgent()
    async with opened(agent, max_in_flight=1, max_kept=1, max_sessions=1) as registry:
        for asker in (HOST, Asker("local", sees_all=True, bounded=False)):
            for n in range(3):
                await registry.ask(Send(f"{asker.bounded}{asker == HOST}{n}", "hello", asker))
        assert (await registry.counts()).turns_in_flight == 6


async def test_a_large_message_counts_as_kept_until_its_turn_has_ended() -> None:
    """G8: also that of a turn that waits for the one before it."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent, max_kept=300_000, record=False) as registry:

        async def kept() -> int:
            return (await registry.counts()).kept // 100_000

        await registry.send("s1", "x" * 100_000, user="ada")
        run = await agent.run()
        assert await kept() == 1
        await registry.send("s2", [{"type": "image_url", "image_url": {"url": "x" * 100_000}}], user="ada")
        assert await kept() == 2
        await registry.send("s1", "y" * 100_000, user="ada", wait=False)
        assert await kept() == 3
        with pytest.raises(TooMuchKept):
            await registry.send("s3", "x", user="ada")
        await registry.send("s3", "x", user="bob")

        await run.cancelled.wait()
        run.finish()
        await settle()
        assert await kept() == 2
        agent.release()
        await registry.close("s1")
        await registry.close("s2")
        assert await kept() == 0
        await registry.send("s4", "x", user="ada")


async def test_at_the_bound_of_bytes_no_message_that_waits_becomes_larger() -> None:
    """G8: as a send it would be refused; one that becomes smaller makes room."""
    agent = ScriptedAgent()
    async with opened(agent, max_kept=300_000, record=False) as registry:
        await registry.send("s1", "hello", user="ada")
        for turn_id in ("t2", "t3"):
            text = "y" * 100_000
            await registry.send("s1", text, user="ada", turn_id=turn_id, strategy="enqueue")
        await registry.edit("s1", "t2", "x" * 250_000, user="ada")
        with pytest.raises(TooMuchKept):
            await registry.edit("s1", "t3", "x" * 100_001, user="ada")
        assert (await registry.counts()).counters["too_much_kept_total"] == 1
        await registry.edit("s1", "t3", "x" * 100_001)  # the host's own code has the totals only
        await registry.edit("s1", "t2", "small", user="ada")
        queue = await registry.edit("s1", "t3", "x" * 200_000, user="ada")
        assert [len(each.message) for each in queue] == [5, 200_000]
        await registry.move("s1", "t3", "first", user="ada")


async def test_at_the_bound_of_bytes_no_turn_starts_and_none_is_superseded() -> None:
    """G8: a retry is answered, and what runs may go on."""
    agent = ScriptedAgent()
    async with opened(agent, max_kept=2_000) as registry:
        receipt, run = await started(registry, agent, user="ada", turn_id="t1")
        await registry.send("s2", "hello", user="ada")
        for _ in range(3):
            run.turn.emit("word", "x" * 1_000)
        for session in ("s1", "s2", "s3"):
            with pytest.raises(TooMuchKept):
                await registry.send(session, "instead", user="ada")
        assert not run.turn.cancel_requested
        assert (await registry.send("s1", "hello", user="ada", turn_id="t1")).repeated
        assert (await registry.cancel("s1", user="ada")).turn is not None
        assert (await receipt.ended()).status is TurnStatus.CANCELLED


# -- What the debug log says of it ------------------------------------------------------------------


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[logging.LogRecord]]:
    """The debug records whose message has this in it."""
    caplog.set_level(logging.DEBUG, "turnkeeper")
    return lambda text: [each for each in caplog.records if text in each.getMessage()]


async def test_a_cancel_is_logged_with_its_turn_the_asker_the_verdict_and_its_milliseconds(
    debug: Callable[[str], list[logging.LogRecord]], clock: VirtualClock
) -> None:
    """Of two askers each is named, also where only the first one's reason is on the record."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await started(registry, agent, turn_id="t1", user="ada")
        asks = [registry.ask(Cancel("s1", "t1", Asker("ada")))]
        await clock.advance(1.0)
        asks.append(registry.ask(Cancel("s1", None, Asker("root", sees_all=True))))
        asks.append(registry.ask(Cancel("s1", "t1", Asker("ada"), wait=False)))
        await asyncio.gather(*asks)
        await registry.cancel("s1", "unknown", user="ada")
    cancels = debug("cancel of turn")
    assert [each.getMessage() for each in cancels] == [
        "session s1: cancel of turn t1 by ada: requested after 0.0 ms",
        "session s1: cancel of turn t1 by ada: cancelled after 2500.0 ms",
        "session s1: cancel of turn t1 by root: cancelled after 1500.0 ms",
        "session s1: cancel of turn unknown by ada: not_running after 0.0 ms",
    ]
    shown = vars(cancels[1])
    assert (shown["turn"], shown["verdict"], shown["ms"]) == ("t1", "cancelled", 2500.0)
    assert debug("running -> cancelling on Stop")


@pytest.mark.parametrize("before", ["running", "cancelling"])
async def test_a_refused_send_is_logged_with_its_turn_and_its_sender(
    before: str, debug: Callable[[str], list[logging.LogRecord]]
) -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await started(registry, agent, user="ada")
        if before == "cancelling":
            await registry.cancel("s1", user="ada", wait=False)
        with pytest.raises(SessionBusy):
            await registry.send("s1", "more", user="ada", strategy="reject", turn_id="t2")
    [refused] = debug("refused")
    assert refused.getMessage() == (
        "session s1: Submit of turn t2 by ada refused: SESSION_BUSY: a turn is in flight in this session"
    )


async def test_without_debug_nothing_is_worded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "log_decision", None)
    async with opened(done) as registry:
        assert await (await registry.send("s1", "hello")).result() == "done: hello"
