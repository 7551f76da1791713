"""The sessions' actors: opened, woken, asked to sleep, and what happens to mail in between."""

import asyncio
from contextlib import suppress
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
from turnkeeper.actors.model.exceptions import (
    ScopeMissing,
    SessionClosed,
    SessionIdTaken,
    ShuttingDown,
    TooManyStreams,
    UnknownSession,
)
from turnkeeper.actors.model.messages import Cancel, Cleanup, Close, GetSession, Send, Subscribe, TurnEnded
from turnkeeper.actors.model.records import HOST, Asker, Returned, SessionId
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

ADA, BOB, ROOT = Asker("ada"), Asker("bob"), Asker("root", sees_all=True)


async def remembering(turn: Turn) -> list[Any]:
    said = list(turn.context.messages)
    turn.context.messages.append(turn.text)
    return said


async def ask(registry: SessionRegistry, message: str, session: str = "s1", **keywords: Any) -> Any:
    return await (await registry.send(session, message, **keywords)).result()


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


@pytest.mark.parametrize("cursor", [None, "0", "5-5"])
async def test_a_reader_opens_nothing_and_owns_nothing(cursor: str | None) -> None:
    """G12: what another user sends there is that user's."""
    async with opened(done) as registry:
        bob = await registry.subscribe("s1", after=cursor, user="bob")
        assert (await registry.counts()).sessions == 0
        with pytest.raises(UnknownSession):
            await registry.session("s1", user="bob")
        await ask(registry, "hello", user="ada")
        assert (await registry.session("s1")).user == "ada"
        assert (await registry.session("s1")).subscribers == 0
        assert names(waiting(bob)) == (["gap"] if cursor == "5-5" else []) + ["snapshot"]
        bob.close()


async def test_readers_that_wait_get_the_sessions_events_once_one_they_may_see_is_opened() -> None:
    """G12."""
    async with opened(done) as registry:
        streams = {user: await registry.subscribe("s1", user=user) for user in ("ada", "bob")}
        streams["host"] = await registry.subscribe("s1")
        await ask(registry, "hello", user="ada")
        assert (await registry.session("s1")).subscribers == 2
        told = {user: names(waiting(stream)) for user, stream in streams.items()}
        everything = ["snapshot", "turn.started", "turn.completed"]
        assert told == {"ada": everything, "bob": ["snapshot"], "host": everything}
        await registry.close("s1", free=True)
        await ask(registry, "mine", user="bob")
        assert names(waiting(streams["bob"])) == ["turn.started", "turn.completed"]
        for stream in streams.values():
            stream.close()


async def test_a_session_of_another_users_is_read_as_one_that_is_not_open() -> None:
    """G12: nothing shows that it is there, whatever happens in it."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello", user="ada")
        run = await agent.run()
        for cursor in (None, "0", f"{receipt.epoch}-0", "5-5", "nonsense"):
            seen = []
            for session in ("s1", "s2"):
                stream = await registry.subscribe(session, after=cursor, user="bob")
                run.turn.emit("word", "secret")
                seen.append(
                    [(event.name, event.id, event.json.replace(session, "_")) for event in waiting(stream)]
                )
                stream.close()
            assert seen[0] == seen[1]
            assert [name for name, _, _ in seen[0]][-1] == "snapshot"


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


async def test_streams_are_bounded_for_each_user_also_those_that_wait() -> None:
    """G8, G14: of one session, of several, and of ones that are not open."""
    async with opened(done, max_streams=3, max_streams_in_all=5) as registry:
        await ask(registry, "hello", user="ada")
        streams = [await registry.subscribe(session, user="ada") for session in ("s1", "s1", "s2")]
        for session in ("s1", "s2", "s3"):
            with pytest.raises(TooManyStreams):
                await registry.subscribe(session, user="ada")
        streams += [await registry.subscribe(session, user="bob") for session in ("s1", "s2")]
        for user in ("cat", None):
            with pytest.raises(TooManyStreams):
                await registry.subscribe("s3", user=user)
        counts = await registry.counts()
        assert (counts.subscribers, counts.counters["too_many_streams_total"]) == (5, 5)
        streams.pop(0).close()
        streams.append(await registry.subscribe("s9", user="ada"))
        for stream in streams:
            stream.close()
        assert (await registry.counts()).subscribers == 0
        await registry.close("s1", free=True)
        assert len(registry.directory.ledger) == 0


async def test_an_admin_who_reads_along_takes_nothing_from_the_owner() -> None:
    """G14."""
    async with opened(done, max_streams=1) as registry:
        await ask(registry, "hello", user="ada")
        streams = [await registry.ask(Subscribe("s1", None, asker)) for asker in (ROOT, ADA, HOST, HOST)]
        assert (await registry.session("s1")).subscribers == 4
        for stream in streams:
            stream.close()


async def test_a_stream_counts_until_it_is_closed_also_if_its_session_fails() -> None:
    """G8."""
    async with opened(done, max_streams=1) as registry:
        await ask(registry, "hello", user="ada")
        stream = await registry.subscribe("s1", user="ada")
        actor = registry.directory.entries[SessionId("s1")].actor
        actor.tell(Subscribe("s1", cursor=5))  # type: ignore[arg-type]
        await settle()
        assert [event.data for event in await read_to_end(stream)][-1] == "Session lost"
        (await registry.subscribe("s1", user="ada")).close()


# -- Ids that are freed ---------------------------------------------------------------------------------


async def test_an_id_is_freed_with_all_that_was_known_of_it(clock: VirtualClock) -> None:
    """G12, G7: another user may open it, and its epochs go on."""
    agent = ScriptedAgent()
    async with opened({"default": remembering, "long": agent}) as registry:
        await ask(registry, "secret", user="ada")
        receipt = await registry.send("s1", "hello", user="ada", agent="long")
        stream = await registry.subscribe("s1", user="ada")
        view = await registry.close("s1", free=True)
        assert (view.state, view.user) == ("closed", "ada")
        assert (await receipt.ended()).status is TurnStatus.CANCELLED
        assert (await read_to_end(stream))[-1].data == "Task cancelled"
        counts = await registry.counts()
        assert (counts.sessions, counts.kept, counts.subscribers) == (0, 0, 0)
        with pytest.raises(UnknownSession):
            await registry.messages("s1", user="ada")
        assert await ask(registry, "mine", user="bob") == []
        again = (await registry.session("s1", user="bob")).recent[-1].epoch
        assert receipt.epoch is not None
        assert again is not None
        assert again > receipt.epoch


@pytest.mark.parametrize("asleep", [True, False])
@pytest.mark.parametrize("closed", [True, False])
async def test_an_id_is_freed_whatever_its_session_is_doing(asleep: bool, closed: bool) -> None:
    async with opened(done) as registry:
        await ask(registry, "hello", user="ada")
        if closed:
            await registry.close("s1")
        if asleep:
            await registry.cleanup()
        assert (await registry.close("s1", free=True)).state == "closed"
        assert (await registry.counts()).sessions == 0
        with pytest.raises(UnknownSession):
            await registry.close("s1", free=True)


async def test_an_id_of_which_only_the_conversation_is_left_is_freed(clock: VirtualClock) -> None:
    async with opened(remembering, idle_ttl=1, turn_retention=10) as registry:
        await ask(registry, "secret", user="ada")
        await clock.advance(60)
        await registry.close("s1", free=True)
        assert await ask(registry, "mine", user="bob") == []


@pytest.mark.parametrize("asker", [ADA, BOB])
@pytest.mark.parametrize("session", ["s1", "s9"])
async def test_only_admins_free_an_id(asker: Asker, session: str) -> None:
    """G12: and the refusal does not show whether there is such a session."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello", user="ada")
        with pytest.raises(ScopeMissing):
            await registry.ask(Close(session, asker, free=True))
        assert not (await agent.run()).turn.cancel_requested


async def test_mail_that_meets_a_session_that_is_being_freed_is_answered() -> None:
    """G10: what comes before is answered by the closed session, what comes after opens another one."""
    async with opened(done) as registry:
        await ask(registry, "hello", user="ada")
        for _ in range(5):
            cleaning = registry.ask(Cleanup())
            freeing = [registry.ask(Close("s1", free=True)) for _ in range(2)]
            looking = registry.ask(GetSession("s1"))
            sending = registry.ask(Send("s1", "more", BOB))
            assert len(await cleaning) <= 1
            assert (await freeing[0]).state == "closed"
            with suppress(UnknownSession):
                assert (await freeing[1]).state == "closed"
            with suppress(UnknownSession):
                assert (await looking).state == "closed"
            with suppress(SessionClosed, SessionIdTaken):
                await sending
            await settle()
            assert (await registry.counts()).sessions <= 1
            await ask(registry, "hello", session="s1")


async def test_the_asker_for_an_id_to_be_freed_is_answered_at_the_end() -> None:
    """G10."""
    agent = ScriptedAgent(swallows=FOREVER)
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        await agent.run()
        freeing = registry.ask(Close("s1", free=True))
        await settle()
        await registry.drain(0)
        stopping = registry.ref.stop(block=False)
        assert await stopping is True
        await settle()
        assert freeing.done()


async def test_readers_of_sessions_that_are_not_open_get_a_close_at_the_end() -> None:
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


async def test_an_asker_of_a_session_on_its_way_to_sleep_is_answered_at_the_end() -> None:
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


async def test_a_session_that_is_being_freed_when_the_registry_stops_is_answered_as_closed() -> None:
    """G10: all is forgotten then."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "hello")
        run = await agent.run()
        freeing = registry.ask(Close("s1", free=True))
        await run.cancelled.wait()
        stopping = asyncio.create_task(registry.stop())
        assert (await freeing).state == "closed"
        await stopping
