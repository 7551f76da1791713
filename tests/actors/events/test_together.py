"""Several sessions, read as one (G7, G8, G12)."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import Outlet, ScriptedAgent, chatty, done, opened, settle
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.together import Together
from turnkeeper.actors.model.exceptions import InvalidRequest, ShuttingDown, TooManyStreams
from turnkeeper.actors.model.records import SessionId

Pairs = list[tuple[SessionId, Event]]


def told(pairs: Pairs) -> list[tuple[str, str]]:
    return [(session, event.name) for session, event in pairs]


def waiting(together: Together) -> Pairs:
    found: Pairs = []
    while batch := together.take():
        found += batch
    return found


async def test_events_of_several_sessions_come_with_their_sessions_and_each_in_order() -> None:
    """G7."""
    async with opened(chatty) as registry:
        seen: Pairs = []
        async with aclosing(registry.events_of({"a": "0", "b": "0"})) as events:
            for session in ("a", "b", "a"):
                await (await registry.send(session, "3")).ended()
            async for each in events:
                seen.append(each)
                if sum(event.name == "turn.completed" for _, event in seen) == 3:
                    break
        for session, turns in (("a", 2), ("b", 1)):
            numbers = [event.n for name, event in seen if name == session and event.id]
            assert numbers == [0, 1, 2, 3, 4] * turns
        await settle()
        assert not registry.directory.streams


async def test_each_session_is_continued_from_its_own_cursor_and_has_its_own_gap() -> None:
    """G7."""
    async with opened(chatty, log_events=5) as registry:
        receipts = {session: await registry.send(session, "3") for session in ("a", "b", "c")}
        for receipt in receipts.values():
            await receipt.ended()
        await (await registry.send("c", "9")).ended()
        together = registry.together()
        await together.add("a", f"{receipts['a'].epoch}-3")
        await together.add("b", f"{receipts['b'].epoch}-1")
        await together.add("c", f"{receipts['c'].epoch}-1")
        seen = waiting(together)
        assert [(s, e.name) for s, e in seen if s != "c"] == [
            ("a", "turn.completed"), ("b", "word"), ("b", "word"), ("b", "turn.completed"),
        ]  # fmt: skip
        assert [e.name for s, e in seen if s == "c"][:2] == ["gap", "snapshot"]
        for session, receipt in receipts.items():
            if session != "c":
                assert together.cursor(session) == f"{receipt.epoch}-4"
        together.close()


async def test_sessions_are_added_and_dropped_while_it_is_read() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        together = registry.together()
        reading = asyncio.create_task(together.read())
        await settle()
        assert not reading.done()
        await together.add("a")
        assert told(await reading) == [("a", "snapshot")]
        await together.add("b")
        await together.add("a", "0")  # twice is once
        assert together.sessions == ("a", "b")
        assert told(await together.read()) == [("b", "snapshot")]
        await registry.send("a", "hello")
        await registry.send("b", "hello")
        assert told([*await together.read(), *await together.read()]) == [
            ("a", "turn.started"), ("b", "turn.started"),
        ]  # fmt: skip
        together.drop("a")
        together.drop("a")
        together.drop("unknown")
        agent.runs[0].turn.emit("word", 1)
        agent.runs[1].turn.emit("word", 2)
        assert told(await together.read()) == [("b", "word")]
        assert (together.sessions, together.cursor("a")) == (("b",), None)
        together.close()
        together.close()
        assert not registry.directory.streams


async def test_a_reader_that_waits_for_all_is_woken_by_any_and_loses_nothing_when_it_gives_up() -> None:
    async with opened(chatty) as registry:
        together = registry.together()
        for session in ("a", "b", "c"):
            await together.add(session, "0")
        waiting(together)
        for session in ("c", "a", "b"):
            reading = asyncio.create_task(together.read())
            await settle()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            reading = asyncio.create_task(together.read())
            await settle()
            await (await registry.send(session, "1")).ended()
            found = [*await reading, *waiting(together)]
            assert told(found) == [(session, name) for name in ("turn.started", "word", "turn.completed")]
        together.poke()
        assert (await together.read(), together.ended) == ([], False)
        together.close()


async def test_a_busy_session_does_not_keep_the_others_waiting() -> None:
    async with opened(chatty, subscriber_buffer=10_000) as registry:
        together = registry.together()
        await together.add("a", "0")
        await together.add("b", "0")
        waiting(together)
        for session, count in (("a", "2000"), ("b", "1")):
            await (await registry.send(session, count)).ended()
        first = [together.take()[0][0], together.take()[0][0]]
        assert sorted(first) == ["a", "b"]
        together.close()


async def test_a_cancel_ends_no_stream_and_a_closed_session_is_dropped_after_its_close() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        together = registry.together()
        await together.add("a", "0")
        await together.add("b", "0")
        waiting(together)
        await registry.send("a", "hello")
        await registry.cancel("a")
        await registry.send("a", "again")
        await registry.close("a")
        await settle()
        turn = ["turn.started", "turn.cancelled"]
        seen = waiting(together)
        assert told(seen) == [("a", name) for name in (*turn, "close", *turn, "close", "close")]
        assert seen[-1][1].data == "Session closed"
        assert (together.sessions, together.ended) == (("b",), False)
        together.close()


async def test_one_session_that_comes_too_fast_ends_the_whole_and_the_cursors_go_on() -> None:
    """G8."""
    agent = ScriptedAgent()
    async with opened(agent, subscriber_buffer=8) as registry:
        freed: list[bool] = []
        together = registry.together()
        together.on_overflow = lambda: freed.append(True)
        await together.add("a", "0")
        await together.add("b", "0")
        await registry.send("a", "hello")
        await agent.run()
        for n in range(20):
            agent.last.turn.emit("word", n)
        await settle()
        assert await together.read() == []
        assert (together.ended, together.overflowed, together.ending, freed) == (True, True, None, [True])
        assert not registry.directory.streams


async def test_each_session_counts_as_a_stream_and_a_refusal_leaves_the_others() -> None:
    """G8."""
    async with opened(done, max_streams=2) as registry:
        together = registry.together(user="ada")
        await together.add("a")
        await together.add("b")
        with pytest.raises(TooManyStreams):
            await together.add("c")
        with pytest.raises(InvalidRequest):
            await together.add("not/an id")
        assert together.sessions == ("a", "b")
        together.drop("a")
        await together.add("c")
        together.close()


async def test_of_anothers_session_comes_what_comes_of_an_unknown_one() -> None:
    """G12."""
    async with opened(chatty) as registry:
        await (await registry.send("theirs", "3", user="bob")).ended()
        together = registry.together(user="ada")
        await together.add("theirs")
        await together.add("unknown")
        await (await registry.send("theirs", "3", user="bob")).ended()
        (first, theirs), (second, unknown) = waiting(together)
        assert (first, second) == ("theirs", "unknown")
        assert {**theirs.data, "session": "unknown"} == unknown.data
        together.close()


async def test_at_shutdown_every_session_is_told_and_then_it_ends() -> None:
    """G10."""
    async with opened(ScriptedAgent()) as registry:
        together = registry.together()
        await together.add("a", "0")
        await together.add("unknown", "0")
        waiting(together)
        await registry.send("a", "hello")
        seen: Pairs = []

        async def read() -> None:
            async for each in together.events():
                seen.append(each)

        reading = asyncio.create_task(read())
        await settle()
        await registry.drain()
        await reading
        assert told(seen) == [
            ("a", "turn.started"), ("unknown", "close"), ("a", "turn.cancelled"), ("a", "close"),
        ]  # fmt: skip
        assert (together.ended, together.sessions) == (True, ())
        late = registry.together()
        with pytest.raises(ShuttingDown):
            await late.add("a")


async def test_what_a_waiting_reader_has_connected_gets_events_at_once() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        together = registry.together()
        outlets: dict[str, Any] = {}

        def outlet_of(session: SessionId) -> Outlet:
            return outlets.setdefault(session, Outlet())

        await together.add("a", "0")
        together.connect(outlet_of)
        await together.add("b", "0")
        waiting(together)
        for session in ("a", "b"):
            await registry.send(session, "hello")
        waiting(together)
        reading = asyncio.create_task(together.read())
        await settle()
        agent.runs[0].turn.emit("word", 1)
        await settle()
        agent.runs[1].turn.emit("word", 2)
        await settle()
        assert {name: outlet.taken for name, outlet in outlets.items()} == {"a": ["1"], "b": ["1"]}
        assert not reading.done()
        outlets["a"].shut = True
        agent.runs[0].turn.emit("word", 3)
        assert told(await reading) == [("a", "word")]
        together.close()
