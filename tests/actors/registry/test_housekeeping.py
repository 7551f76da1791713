"""Idle sessions are put to sleep, and old ones forgotten, by themselves or when asked (G8, G9)."""

import asyncio
import logging
from typing import Any

import pytest

from tests.fakes import FOREVER, ScriptedAgent, VirtualClock, done, names, opened, settle, waiting
from turnkeeper.actors.model.exceptions import TooMuchKept, UnknownSession
from turnkeeper.actors.model.messages import Send, Submit, Sweep
from turnkeeper.actors.model.records import HOST, Asker, SessionId
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry import housekeeping
from turnkeeper.actors.registry.directory import Directory
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


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
    """The directory's entries: no answer says how a session is doing inside."""
    return list(registry._shared.directory.entries.values())  # type: ignore[union-attr]


async def test_a_session_with_a_reader_or_a_turn_never_sleeps(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened({"default": done, "long": agent}, idle_ttl=10) as registry:
        stream = await registry.subscribe("s1")
        await ask(registry, "hello")
        await registry.send("s2", "hello", agent="long")
        await clock.advance(500)
        assert all(entry.actor is not None for entry in registry_entries(registry))
        assert (await registry.session("s2")).state == "running"
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


async def test_a_cleanup_puts_the_users_own_idle_sessions_to_sleep_and_returns_them() -> None:
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
    monkeypatch.setattr(housekeeping, "PASS", 10)
    looked = 0
    may_sleep = Directory.may_sleep

    def look(directory: Directory, entry: Any) -> bool:
        nonlocal looked
        looked += 1
        return may_sleep(directory, entry)

    monkeypatch.setattr(Directory, "may_sleep", look)
    async with opened(done, idle_ttl=10) as registry:
        streams = [await registry.subscribe(f"s{n}") for n in range(45)]
        for n in range(45):
            await ask(registry, "hello", f"s{n}")
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


async def test_the_debug_log_says_which_session_sleeps_and_which_is_forgotten(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "turnkeeper")
    async with opened(done, idle_ttl=10, turn_retention=100, early_cancel_ttl=1) as registry:
        await ask(registry, "hello", "s1", user="ada")
        await clock.advance(300)
        with pytest.raises(UnknownSession):
            await registry.session("s1")
    said = [record.getMessage() for record in caplog.records if vars(record).get("session") == "s1"]
    assert [text for text in said if "->" not in text and "turn" not in text] == [
        "session s1: opened for ada",
        "session s1: asleep",
        "session s1: forgotten",
    ]


# -- Too much is kept -----------------------------------------------------------------------------------


async def silent(turn: Turn) -> None:
    """All that is kept is the message."""


async def test_when_too_much_is_kept_the_events_of_idle_sessions_go_and_the_retry_is_taken() -> None:
    """G8: it is the user's own sessions that give way, those without readers and turns."""
    agent = ScriptedAgent()
    async with opened({"default": silent, "long": agent}, max_kept=10_000, record=False) as registry:
        for user in ("ada", "bob"):
            await registry.send(f"{user}1", "x" * 1_000, user=user, agent="long")
            for n in (2, 3):
                await ask(registry, "x" * 3_000, f"{user}{n}", user=user)
        stream = await registry.subscribe("ada3", user="ada", after="0")
        await ask(registry, "x" * 3_000, "ada4", user="ada")
        for send in [registry.ask(Send(session, "more", ADA)) for session in ("ada2", "ada5")]:
            with pytest.raises(TooMuchKept):
                await send
        await settle()
        asleep = [entry.session_id for entry in registry_entries(registry) if entry.actor is None]
        assert asleep == ["ada2", "ada4"]
        assert await ask(registry, "more", "ada5", user="ada") is None
        assert (await registry.counts()).counters["too_much_kept_total"] == 2
        assert names(waiting(stream)) == ["turn.started", "turn.completed"], "what is read is left alone"
        stream.close()


async def test_when_too_much_is_kept_in_all_the_events_of_all_idle_sessions_go() -> None:
    """G8."""
    async with opened(silent, max_kept_in_all=10_000, record=False) as registry:
        for user in ("ada", "bob"):
            await ask(registry, "x" * 5_000, f"{user}1", user=user)
        for send in [registry.ask(Send("s1", "x", asker)) for asker in (Asker("cat"), HOST)]:
            with pytest.raises(TooMuchKept):
                await send
        await settle()
        assert [entry.actor for entry in registry_entries(registry)] == [None, None]
        assert await ask(registry, "x", "s1", user="cat") is None


async def test_a_server_that_is_full_of_conversations_forgets_some_of_the_users_who_keep_the_most(
    clock: VirtualClock,
) -> None:
    """G8, G14: it is not full for ever, and who keeps little loses nothing."""
    async with opened(remembering, max_kept_in_all=40_000) as registry:
        await ask(registry, "x" * 1_000, "b1", user="bob")
        sessions = [f"a{n}" for n in range(7)]
        for session in sessions:
            await ask(registry, "x" * 5_000, session, user="ada")
            await registry.cleanup()
        with pytest.raises(TooMuchKept):
            await registry.send("c1", "x", user="cat")
        await settle()
        assert "conversations_forgotten_total" not in (await registry.counts()).counters, (
            "the idle ones first"
        )
        await clock.advance(1)
        counts = await registry.counts()
        assert 30_000 < counts.kept <= 37_500
        assert await ask(registry, "x", "c1", user="cat") == []
        gone = counts.counters["conversations_forgotten_total"]
        assert 0 < gone < 5
        kept = [bool((await registry.messages(session)).messages) for session in sessions]
        assert kept == [False] * gone + [True] * (len(sessions) - gone), "the least recently used go"
        assert (await registry.messages("b1")).messages


async def test_when_sleep_is_enough_no_conversation_is_forgotten(clock: VirtualClock) -> None:
    async with opened(remembering, max_kept_in_all=20_000) as registry:
        for n in range(2):
            await ask(registry, "x" * 5_000, f"s{n}", user="ada")
        with pytest.raises(TooMuchKept):
            await registry.send("b1", "x", user="bob")
        await clock.advance(1)
        assert "conversations_forgotten_total" not in (await registry.counts()).counters


async def test_an_owner_is_relieved_at_most_once_a_second(clock: VirtualClock) -> None:
    """G14: a flood of refused sends must not walk through the sessions for each."""
    async with opened(remembering, max_kept=3_000) as registry:
        await ask(registry, "x" * 3_000, "s1", user="ada")
        awake = []
        for pause in (0, 0.5, 0.6):
            await clock.advance(pause)
            await registry.session("s1", user="ada")
            with pytest.raises(TooMuchKept):
                await registry.send("s1", "x", user="ada")
            await settle()
            awake.append(registry_entries(registry)[0].actor is not None)
        assert awake == [False, True, False]


async def keeping(turn: Turn) -> None:
    turn.context.messages.append(turn.text)


async def test_a_user_gets_below_the_bound_of_bytes_by_closing_sessions(clock: VirtualClock) -> None:
    """G8: also one that is forgotten but for its conversation."""
    async with opened(keeping, max_kept=10_000, idle_ttl=1, turn_retention=5) as registry:
        for session in ("s1", "s2"):
            await ask(registry, "x" * 5_000, session, user="ada")
            await clock.advance(60)
        counts = await registry.counts()
        assert (counts.sessions, counts.kept > 10_000) == (0, True)
        with pytest.raises(TooMuchKept):
            await registry.send("s3", "x", user="ada")
        assert (await registry.close("s1", user="ada")).state == "closed"
        assert await ask(registry, "x", "s3", user="ada") is None
        with pytest.raises(UnknownSession):
            await registry.close("s2", user="bob")
        await registry.close("s2", user="ada")
        await registry.close("s3", user="ada")
        await clock.advance(60)
        assert (await registry.counts()).kept == 0
        assert len(registry.directory.ledger) == 0
