"""RegistryActor: starts sessions, routes to them, lists them, puts them to sleep, and ends them all."""

import asyncio
from contextlib import aclosing
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
from turnkeeper.actors.model.exceptions import (
    InvalidRequest,
    SessionError,
    ShuttingDown,
    TurnCancelled,
    UnknownSession,
)
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
    Submit,
    Subscribe,
    Sweep,
    TurnEnded,
)
from turnkeeper.actors.model.records import Asker, CancelCode, Returned, SessionId, TurnStatus, Verdict
from turnkeeper.actors.registry import registry_actor
from turnkeeper.actors.registry.directory import Directory
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


# -- What is refused --------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("INVALID_REQUEST", {"session_id": "a/b"}),
    ("INVALID_REQUEST", {"session_id": None}),
    ("INVALID_REQUEST", {"session_id": ["s1"]}),
    ("INVALID_REQUEST", {"session_id": "events"}),
    ("INVALID_REQUEST", {"turn_id": "a b"}),
    ("INVALID_REQUEST", {"turn_id": 5}),
    ("INVALID_REQUEST", {"strategy": "queue"}),
    ("INVALID_REQUEST", {"strategy": []}),
    ("INVALID_REQUEST", {"timeout": "soon"}),
    ("INVALID_REQUEST", {"timeout": float("nan")}),
    ("UNKNOWN_AGENT", {"agent": "nobody"}),
    ("UNKNOWN_AGENT", {"agent": []}),
]


@pytest.mark.parametrize(("code", "fields"), WRONG, ids=[str(fields) for _, fields in WRONG])
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
async def test_a_send_that_breaks_a_rule_is_refused_with_a_stable_code_and_opens_nothing(
    code: str, fields: dict[str, Any], asked: bool
) -> None:
    async with opened(done) as registry:
        send = Send(**{"session_id": "s1", "message": "hello", **fields})
        if asked:
            with pytest.raises(SessionError) as caught:
                await registry.ask(send)
            assert caught.value.code == code
        else:
            registry.ref.tell(send)
        assert (await registry.counts()).sessions == 0
        assert await ask(registry, "still here") == "done: still here"


@pytest.mark.parametrize("text", [5, ["x"], "\ud800", "x" * 2_001, b"x"], ids=lambda text: repr(text)[:9])
@pytest.mark.parametrize("known", [True, False])
async def test_a_cancel_whose_words_no_event_could_carry_is_refused(text: Any, known: bool) -> None:
    """G7: it would otherwise break the streams of everyone who follows the session."""
    async with opened(done) as registry:
        if known:
            await ask(registry, "hello")
        with pytest.raises(InvalidRequest) as caught:
            await registry.cancel("s1", "t1", text=text)
        assert caught.value.field == "text"


async def test_a_message_of_the_wrong_kind_does_not_take_the_sessions_along() -> None:
    async with opened(done) as registry:
        for message in (None, "text", object(), {"session_id": "s1"}):
            registry.ref.tell(message)
        for bad in (Send("s1", "x", asker=None), Cancel("s1", asker=5), Subscribe("s1", asker="ada")):  # type: ignore[arg-type]
            registry.ref.tell(bad)
        await settle()
        assert await ask(registry, "still here") == "done: still here"


# -- Whose it is ------------------------------------------------------------------------------------


async def test_an_unknown_session_and_somebody_elses_give_the_same_answer() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", user="ada", turn_id="t1")
        run = await agent.run()
        asks: list[Any] = [
            lambda session: registry.session(session, user="bob"),
            lambda session: registry.turn(session, "t1", user="bob"),
            lambda session: registry.messages(session, user="bob"),
            lambda session: registry.close(session, user="bob"),
            lambda session: registry.cancel(session, user="bob"),
            lambda session: registry.cancel(session, "t1", user="bob"),
            lambda session: registry.cancel(session, "t1", user="bob", wait=False),
        ]
        for each in asks:
            answers = []
            for session in ("s1", "s2"):
                try:
                    answers.append(await each(session))
                except UnknownSession as error:
                    answers.append((error.code, str(error).replace(session, "_")))
            assert answers[0] == answers[1]
        assert not run.turn.cancel_requested
        for refused in (registry.send("s1", "x", user="bob"), registry.subscribe("s1", user="bob")):
            with pytest.raises(UnknownSession):
                await refused
        assert await registry.active(user="bob") == ()
        assert (await registry.session("s1", user="ada")).user == "ada"


async def test_somebody_elses_early_cancel_does_not_count() -> None:
    """G4, G12."""
    async with opened(done) as registry:
        await registry.cancel("s1", "t1", user="bob")
        assert await ask(registry, "hello", user="ada", turn_id="t1") == "done: hello"


async def test_who_sees_all_may_stop_a_turn_of_anybodys_and_it_is_told_who_did() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        await agent.run()
        assert [turn.owner for turn in await registry.ask(ListActive(ROOT))] == ["ada"]
        assert (await registry.ask(Cancel("s1", asker=ROOT))).verdict is Verdict.CANCELLED
        reason = (await receipt.ended()).reason
        assert reason is not None
        assert (reason.code, reason.by) == (CancelCode.ADMIN, "root")


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


# -- What was said ----------------------------------------------------------------------------------


async def test_a_conversation_holds_what_ended_turns_left_and_nothing_of_the_one_that_runs() -> None:
    agent = ScriptedAgent()
    async with opened({"default": remembering, "slow": agent}) as registry:
        first = await registry.send("s1", "one")
        await first.ended()
        await registry.send("s1", "two", agent="slow")
        run = await agent.run()
        run.turn.context.messages.append("two")
        conversation = await registry.messages("s1")
        assert conversation.messages == ("one",)
        followed = registry.events("s1", after=conversation.cursor)
        async with aclosing(followed):
            event = await anext(followed)
        assert (event.name, event.data["message"]) == ("turn.started", "two")
        run.finish()
        await settle()
        assert (await registry.messages("s1")).messages == ("one", "two")


async def test_what_a_stopped_turn_left_is_part_of_the_conversation_and_what_an_unresponsive_one_does_is_not(
    clock: VirtualClock,
) -> None:
    """G6."""
    stops, stubborn = ScriptedAgent(), ScriptedAgent(swallows=FOREVER)
    async with opened({"default": stops, "stubborn": stubborn}, cancel_grace=1) as registry:
        for agent, name in ((stops, "default"), (stubborn, "stubborn")):
            await registry.send("s1", name, agent=name)
            (await agent.run()).turn.context.messages.append(name)
            await registry.cancel("s1")
        stubborn.release()
        await settle()
        assert (await registry.messages("s1")).messages == ("default",)


async def test_a_sleeping_session_tells_what_was_said_and_sleeps_on(clock: VirtualClock) -> None:
    async with opened(remembering, idle_ttl=1) as registry:
        await ask(registry, "one", user="ada")
        assert await registry.cleanup() == ("s1",)
        for asker in (ADA, ROOT):
            assert (await registry.ask(GetMessages("s1", asker))).messages == ("one",)
        entry = registry.directory.entries[SessionId("s1")]
        assert entry.actor is None


async def test_a_forgotten_session_tells_its_owner_what_was_said_and_stays_forgotten(
    clock: VirtualClock,
) -> None:
    """G12."""
    async with opened(remembering, idle_ttl=1, turn_retention=10) as registry:
        await ask(registry, "one", user="ada")
        await clock.advance(60)
        for asker in (ADA, ROOT):
            assert (await registry.ask(GetMessages("s1", asker))).messages == ("one",)
        with pytest.raises(UnknownSession):
            await registry.ask(GetMessages("s1", BOB))
        assert (await registry.counts()).sessions == 0


async def test_a_session_of_somebody_elses_is_not_opened_to_whoever_said_something_there_before(
    clock: VirtualClock,
) -> None:
    """G12: whose the session is now counts, not whose conversation was kept once."""
    async with opened(remembering, idle_ttl=1, turn_retention=10, contexts=1) as registry:
        await ask(registry, "mine", user="ada")
        await clock.advance(60)
        await ask(registry, "other", session="s2", user="ada")  # it takes the only place
        await registry.subscribe("s1", user="bob")
        assert (await registry.ask(GetMessages("s1", BOB))).messages == ()
        with pytest.raises(UnknownSession):
            await registry.ask(GetMessages("s1", ADA))


async def test_a_closed_session_tells_nothing_of_what_was_said() -> None:
    async with opened(remembering) as registry:
        await ask(registry, "one")
        await registry.close("s1")
        assert (await registry.messages("s1")).messages == ()


async def test_a_host_that_loads_the_conversation_itself_keeps_it_itself() -> None:
    kept: dict[str, Context] = {}

    async def load(session: SessionId, user: str) -> Context:
        return kept.setdefault(session, Context(session, user))

    async with opened(remembering, load_context=load) as registry:
        await ask(registry, "one")
        assert kept["s1"].messages == ["one"]
        assert (await registry.messages("s1")).messages == ()


@pytest.mark.parametrize("session", ["a/b", None, "events"])
async def test_a_conversation_of_what_is_no_session_id_is_refused(session: Any) -> None:
    async with opened(done) as registry:
        with pytest.raises(InvalidRequest):
            await registry.messages(session)


# -- Early cancels ----------------------------------------------------------------------------------


async def test_a_cancel_before_its_send_in_an_unknown_session_still_counts(clock: VirtualClock) -> None:
    """G4."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        answer = await registry.cancel("s1", "t1", user="ada", text="never mind")
        assert (answer.verdict, answer.remembered_for) == (Verdict.NOT_RUNNING, 30.0)
        assert (await registry.counts()).sessions == 0
        await clock.advance(29)
        receipt = await registry.send("s1", "hello", user="ada", turn_id="t1")
        assert receipt.status is TurnStatus.CANCELLED
        with pytest.raises(TurnCancelled):
            await receipt.result()
        reason = (await receipt.ended()).reason
        assert reason is not None
        assert (reason.by, reason.text) == ("ada", "never mind")
        assert agent.runs == []
        again = await registry.send("s1", "hello", user="ada", turn_id="t1")
        assert (again.repeated, again.status) == (True, TurnStatus.CANCELLED)


async def test_an_early_cancel_is_forgotten_after_thirty_seconds(clock: VirtualClock) -> None:
    """G4, G8."""
    async with opened(done) as registry:
        await registry.cancel("s1", "t1")
        await clock.advance(30.5)
        assert await ask(registry, "hello", turn_id="t1") == "done: hello"


async def test_early_cancels_are_bounded_for_each_user() -> None:
    """G8."""
    async with opened(done, early_cancels_per_user=3) as registry:
        for n in range(5):
            await registry.cancel(f"s{n}", "t", user="ada")
        statuses = [(await registry.send(f"s{n}", "x", user="ada", turn_id="t")).status for n in range(5)]
        assert [status is TurnStatus.CANCELLED for status in statuses] == [False, False, True, True, True]


async def test_a_cancel_without_a_turn_of_an_unknown_session_is_not_remembered() -> None:
    async with opened(done) as registry:
        answer = await registry.cancel("s1")
        assert (answer.verdict, answer.remembered_for) == (Verdict.NOT_RUNNING, None)
        assert await ask(registry, "hello") == "done: hello"


# -- Sleep ------------------------------------------------------------------------------------------


async def test_an_idle_session_goes_to_sleep_and_nothing_is_lost(clock: VirtualClock) -> None:
    """G7, G8: memory is given back without anyone calling cleanup."""
    async with opened(remembering, idle_ttl=10) as registry:
        first = await registry.send("s1", "one", turn_id="t1")
        await first.ended()
        await clock.advance(20)
        (entry,) = registry_entries(registry)
        assert entry.actor is None
        assert (await registry.turn("s1", "t1")).status is TurnStatus.COMPLETED
        assert (await registry.send("s1", "one", turn_id="t1")).repeated
        stream = await registry.subscribe("s1", after="0")
        (event,) = waiting(stream)
        assert (event.name, event.data["task_id"]) == ("turn.completed", "t1")
        stream.close()
        await clock.advance(20)
        assert entry.actor is None
        second = await registry.send("s1", "two")
        assert await second.result() == ["one"]
        assert first.epoch is not None
        assert second.epoch is not None
        assert second.epoch > first.epoch


def registry_entries(registry: SessionRegistry) -> list[Any]:
    """The directory's entries: how a session fares inside is nothing that an answer tells."""
    return list(registry._shared.directory.entries.values())  # type: ignore[union-attr]


async def test_a_session_that_somebody_follows_or_a_turn_holds_never_sleeps(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened({"default": done, "long": agent}, idle_ttl=10) as registry:
        stream = await registry.subscribe("s1")
        await registry.send("s2", "hello", agent="long")
        await clock.advance(500)
        assert all(entry.actor is not None for entry in registry_entries(registry))
        assert (await registry.session("s2")).state == "running"
        await ask(registry, "hello")
        assert names(waiting(stream)) == ["snapshot", "turn.started", "turn.completed"]
        stream.close()
        await clock.advance(20)
        assert [entry.actor is None for entry in registry_entries(registry)] == [True, False]


async def test_a_session_with_a_quarantined_turn_stays_awake_until_that_has_ended(
    clock: VirtualClock,
) -> None:
    """G6."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent, idle_ttl=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        await registry.cancel("s1")
        await clock.advance(100)
        run.finish()
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).ended_late is not None
        await clock.advance(20)
        assert registry_entries(registry)[0].actor is None


async def test_messages_that_arrive_while_a_session_goes_to_sleep_are_handled_in_order() -> None:
    async with opened(remembering) as registry:
        await ask(registry, "0")
        for n in range(1, 6):
            cleaning = registry.ask(registry_actor.Cleanup())
            sends = [registry.ask(Send("s1", f"{n}{letter}", wait=False)) for letter in "ab"]
            await cleaning
            accepted = [await send for send in sends]
            assert [each.status for each in accepted] == ["running", "queued"]
            await settle()
        said = await ask(registry, "last")
        assert said == ["0", "1b", "2b", "3b", "4b", "5b"]


async def test_a_cleanup_puts_ones_own_idle_sessions_to_sleep_and_tells_which() -> None:
    """G12."""
    agent = ScriptedAgent()
    async with opened({"default": done, "long": agent}) as registry:
        for session, user in (("s1", "ada"), ("s2", "bob"), ("s3", "ada")):
            await ask(registry, "hello", session, user=user)
        await registry.send("s4", "hello", user="ada", agent="long")
        stream = await registry.subscribe("s3", user="ada")
        assert await registry.cleanup(user="ada") == ("s1",)
        assert await registry.cleanup(user="ada") == ()
        assert set(await registry.cleanup()) == {"s2"}
        stream.close()
        await settle()
        assert await registry.cleanup() == ("s3",)


async def test_sessions_are_forgotten_when_their_last_turn_is_old(clock: VirtualClock) -> None:
    """G7, G8: and epochs still grow."""
    async with opened(done, idle_ttl=10, turn_retention=100) as registry:
        receipt = await registry.send("s1", "hello")
        await clock.advance(60)
        assert (await registry.counts()).sessions == 1
        await clock.advance(60)
        assert (await registry.counts()).sessions == 0
        with pytest.raises(UnknownSession):
            await registry.session("s1")
        again = await registry.send("s1", "hello")
        assert receipt.epoch is not None
        assert again.epoch is not None
        assert again.epoch > receipt.epoch


async def test_a_closed_session_is_forgotten_after_a_while_and_may_be_opened_again(
    clock: VirtualClock,
) -> None:
    async with opened(done, idle_ttl=10) as registry:
        await ask(registry, "hello")
        await registry.close("s1")
        await clock.advance(30)
        assert await ask(registry, "again") == "done: again"


# -- Many -------------------------------------------------------------------------------------------


async def test_a_list_of_many_sessions_lets_others_run_between_its_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G9."""
    monkeypatch.setattr(registry_actor, "PASS", 10)
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        for n in range(95):
            await registry.send(f"s{n}", "hello", user=("ada", "bob")[n % 2])
        listing = registry.ask(ListActive())
        passes = 0
        while not listing.done():
            await asyncio.sleep(0)
            passes += 1
        assert passes >= 9
        assert len(await listing) == 95
        assert len(await registry.active(user="bob")) == 47
        counts = await registry.counts()
        assert (counts.sessions, counts.turns_in_flight) == (95, 95)


async def test_one_reads_ones_own_writes() -> None:
    """What was answered is in the index already."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        assert [each.turn.turn_id for each in await registry.active()] == [receipt.turn_id]
        await registry.cancel("s1")
        assert await registry.active() == ()


async def test_a_reader_that_comes_with_a_send_does_not_hide_the_turn() -> None:
    """G3. What a session said of its readers was believed when a turn had begun since."""
    async with opened(ScriptedAgent()) as registry:
        following, sending = registry.ask(Subscribe("s1")), registry.ask(Send("s1", "hello"))
        subscription = await following
        await sending
        await settle()
        assert [each.session_id for each in await registry.active()] == ["s1"]
        subscription.close()


async def test_a_question_that_nobody_asked_does_not_take_the_session_along() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        for message in (GetTurn("s1", "nobodys"), AwaitTurn("s1", "nobodys"), GetSession("s1")):
            registry.ref.tell(message)
        await settle()
        assert (await registry.turn("s1", receipt.turn_id)).status is TurnStatus.RUNNING


async def test_a_subscription_that_nobody_asked_for_is_not_made() -> None:
    """G8: nobody could end it, and the session would never sleep."""
    async with opened(done) as registry:
        registry.ref.tell(Subscribe("s1"))
        await settle()
        assert (await registry.counts()).subscribers == 0


async def test_a_sweep_and_a_cleanup_that_meet_a_session_that_has_just_failed_go_on(
    clock: VirtualClock,
) -> None:
    """G8: its report is on the way, and there is no other sweeper."""
    async with opened(done, idle_ttl=10) as registry:
        for session in ("s1", "s2"):
            await (await registry.send(session, "hello")).result()
        entry = registry.directory.entries[SessionId("s1")]
        entry.actor.tell(Submit(None, None))  # type: ignore[arg-type]
        registry.ref.tell(Sweep())
        assert "s1" not in await registry.cleanup()
        await clock.advance(20)
        assert len(registry.directory.asleep) == 2


async def test_a_sweep_looks_at_many_sessions_in_passes(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    """G9: also at those that stay."""
    monkeypatch.setattr(registry_actor, "PASS", 10)
    looked = 0
    may_sleep = Directory.may_sleep

    def look(directory: Directory, entry: Any) -> bool:
        nonlocal looked
        looked += 1
        return may_sleep(directory, entry)

    monkeypatch.setattr(Directory, "may_sleep", look)
    async with opened(done, idle_ttl=10) as registry:
        streams = [await registry.subscribe(f"s{n}") for n in range(45)]
        await clock.advance(11)
        looked = 0
        registry.ref.tell(Sweep())
        in_each_pass = []
        while looked < 45:
            before = looked
            await asyncio.sleep(0)
            in_each_pass.append(looked - before)
        assert max(in_each_pass) <= 10
        for stream in streams:
            stream.close()
        await clock.advance(30)
        assert len(registry.directory.asleep) == 45, "the sweeper goes on"


async def test_an_early_cancel_is_remembered_as_long_as_was_said_however_short_the_retention(
    clock: VirtualClock,
) -> None:
    """G4: it is kept with its session."""
    async with opened(done, idle_ttl=1, turn_retention=1) as registry:
        (await registry.subscribe("s1")).close()
        assert (await registry.cancel("s1", "mine")).remembered_for == 30
        await clock.advance(20)
        assert (await registry.send("s1", "hello", turn_id="mine")).status is TurnStatus.CANCELLED


async def test_a_conversation_is_forgotten_also_if_its_turn_ends_in_the_moment_of_the_close() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        run = await agent.run()
        run.turn.context.messages.append("secret")
        closing = registry.ask(Close("s1", ADA))
        # Before the registry looks at the close, so that the session is told of its turn's end first.
        entry = registry.directory.entries[receipt.session_id]
        entry.actor.tell(TurnEnded(run.turn.epoch, Returned()))
        await closing
        assert registry._shared is not None
        assert registry._shared.contexts.owner(receipt.session_id) is None
        run.finish()


# -- The end ----------------------------------------------------------------------------------------


async def test_at_the_end_everyone_is_told(clock: VirtualClock) -> None:
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
async def test_the_deadline_holds_and_nobody_is_left_waiting(clock: VirtualClock, deadline: float) -> None:
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
        told = await asyncio.gather(ended, sending, return_exceptions=True)
        for answer in told:
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


async def test_the_actor_answers_threads() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        accepted = await asyncio.to_thread(registry.ref.ask, Send("s1", "hello"), timeout=60)
        assert accepted.status is TurnStatus.RUNNING
        await agent.run()
        answer = await asyncio.to_thread(registry.ref.ask, Cancel("s1"), timeout=60)
        assert answer.verdict is Verdict.CANCELLED
        await asyncio.to_thread(registry.ref.tell, Send("s2", "hello"))
        assert (await agent.run()).turn.session_id == "s2"
        with pytest.raises(UnknownSession):
            await asyncio.to_thread(registry.ref.ask, GetSession("s9"), timeout=60)
        assert (await asyncio.to_thread(registry.ref.ask, GetCounts(), timeout=60)).sessions == 2
