"""One turn, followed from its event 0 to its terminal event, whatever else the session publishes (G7, G8)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.fakes import (
    FOREVER,
    Outlet,
    ScriptedAgent,
    VirtualClock,
    chatty,
    done,
    names,
    opened,
    plain,
    read_to_end,
    settle,
    waiting,
)
from turnkeeper.actors.events.event import QUEUED, Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.turn_reader import TurnReader, WholeTurn
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.metrics.meter import GAPS, SUBSCRIBER_OVERFLOW
from turnkeeper.actors.model.exceptions import (
    EventsLost,
    InvalidRequest,
    ShuttingDown,
    TooManyStreams,
    UnknownSession,
    UnknownTurn,
    WaitsForItself,
)
from turnkeeper.actors.model.messages import FollowTurn
from turnkeeper.actors.model.records import Asker
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn

MANY = 1_200


def numbers(events: list[Event]) -> list[int]:
    return [event.n for event in events]


async def told(registry: SessionRegistry, turn_id: str, after: str | None = None) -> list[Event]:
    """All events of the turn."""
    return [event async for event in registry.turn_events("s1", turn_id, after=after)]


async def reader_of(registry: SessionRegistry, turn_id: str, after: str | None = None) -> TurnReader:
    return await registry.follow(FollowTurn("s1", turn_id, after))


# -- From the first event to the last one -----------------------------------------------------------


async def test_a_turn_that_was_quicker_than_its_follower_is_followed_from_its_first_event_to_its_last() -> (
    None
):
    """G7: waiting for its end on a stream that was opened too late waited for ever."""
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "3")
        await receipt.ended()
        events = [event async for event in receipt.events()]
        assert names(events) == ["turn.started", "word", "word", "word", "turn.completed"]
        assert numbers(events) == [0, 1, 2, 3, 4]
        assert {event.epoch for event in events} == {receipt.epoch}
        assert (await registry.counts()).subscribers == 0


async def test_a_turn_is_followed_while_it_runs() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        async with aclosing(receipt.events()) as events:
            assert (await anext(events)).name == "turn.started"
            run.turn.emit("word", 1)
            assert (await anext(events)).data == 1
            run.finish("here")
            assert (await anext(events)).data["result"] == "here"
            with pytest.raises(StopAsyncIteration):
                await anext(events)


async def test_of_other_turns_of_the_session_nothing_is_told() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "one", turn_id="t1")
        (await agent.run()).turn.emit("word", 1)
        following = asyncio.create_task(told(registry, "t1"))
        await settle()
        await registry.send("s1", "two", turn_id="t2", wait=False)
        await registry.send("s1", "three", turn_id="t3", wait=False)
        second = asyncio.create_task(told(registry, "t3"))
        assert names(await following) == ["turn.started", "word", "turn.cancelled"]
        (await agent.run()).turn.emit("word", 3)
        agent.last.finish()
        events = await second
        assert names(events) == ["turn.started", "word", "turn.completed"]
        assert events[1].data == 3
        assert names(await told(registry, "t1")) == ["turn.started", "word", "turn.cancelled"]


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
@pytest.mark.parametrize("end", ["superseded", "cancelled", "closed"])
async def test_of_a_turn_that_never_started_the_end_is_told(end: str, early: bool) -> None:
    """G2."""
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "one", turn_id="t1")
        await agent.run()
        receipt = await registry.send("s1", "two", turn_id="t2", wait=False)
        following = asyncio.create_task(told(registry, "t2"))
        if early:
            await settle()
        acts: dict[str, Callable[[], Awaitable[Any]]] = {
            "superseded": lambda: registry.send("s1", "three", wait=False),
            "cancelled": lambda: registry.cancel("s1", "t2"),
            "closed": lambda: registry.close("s1"),
        }
        act = asyncio.ensure_future(acts[end]())
        await settle()
        events = [event async for event in receipt.events()] if not early else await following
        assert names(events) == ["turn.cancelled"]
        assert (events[0].id, events[0].data["task_id"]) == (None, "t2")
        agent.release()
        await act
        assert names(await following) == ["turn.cancelled"]


async def test_a_turn_that_was_given_up_ends_there_and_its_late_events_are_not_told(
    clock: VirtualClock,
) -> None:
    """G6."""
    agent = ScriptedAgent(FOREVER)
    async with opened(agent) as registry:
        await registry.send("s1", "one", turn_id="t1")
        following = asyncio.create_task(told(registry, "t1"))
        await registry.cancel("s1")
        assert names(await following) == ["turn.started", "turn.unresponsive"]
        assert names(await told(registry, "t1")) == ["turn.started", "turn.unresponsive"]


# -- After an event ---------------------------------------------------------------------------------


async def test_an_id_is_continued_from_and_any_id_before_the_turn_is_its_beginning() -> None:
    async with opened(chatty) as registry:
        first = await registry.send("s1", "1", turn_id="t1")
        await first.ended()
        receipt = await registry.send("s1", "2", turn_id="t2")
        await receipt.ended()
        epoch = receipt.epoch
        assert numbers(await told(registry, "t2", f"{epoch}-1")) == [2, 3]
        assert numbers([each async for each in receipt.events(after=f"{epoch}-0")]) == [1, 2, 3]
        for before in ("0", "-", f"{first.epoch}-0", "0-7"):
            assert numbers(await told(registry, "t2", before)) == [0, 1, 2, 3], before
        for beyond in (f"{epoch}-3", f"{(epoch or 0) + 1}-0"):
            assert await told(registry, "t2", beyond) == [], beyond
        assert await told(registry, "t1", f"{epoch}-0") == []


async def test_the_newest_event_of_a_turn_in_flight_is_waited_behind() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        run.turn.emit("word", 1)
        following = asyncio.create_task(told(registry, "t1", f"{receipt.epoch}-1"))
        await settle()
        assert not following.done()
        run.finish()
        assert names(await following) == ["turn.completed"]


@pytest.mark.parametrize("running", [True, False])
async def test_an_event_that_was_never_published_cannot_be_continued_from(running: bool) -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        if not running:
            run.finish()
            await receipt.ended()
        with pytest.raises(EventsLost):
            await told(registry, "t1", f"{receipt.epoch}-9")
        if running:
            with pytest.raises(EventsLost):
                await told(registry, "t1", f"{(receipt.epoch or 0) + 1}-0")


@pytest.mark.parametrize(
    "after", ["", "x", "1", "1-", "-1", "1-2-3", "1-x", "1" * 40 + "-1", 7, b"1-1", []], ids=plain
)
async def test_what_is_no_id_is_refused_as_such(after: Any) -> None:
    async with opened(done) as registry:
        await (await registry.send("s1", "one", turn_id="t1")).ended()
        with pytest.raises(InvalidRequest) as caught:
            await told(registry, "t1", after)
        assert caught.value.field == "after"


# -- Slow readers -----------------------------------------------------------------------------------


async def test_a_reader_who_is_slower_than_the_agent_gets_every_event() -> None:
    """G7: it was cut off in silence as soon as it lagged ``subscriber_buffer`` events behind."""
    agent = ScriptedAgent()
    async with opened(agent, subscriber_buffer=4) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        events: list[Event] = []
        async for event in receipt.events():
            events.append(event)
            if event.name == "turn.started":
                for n in range(MANY):
                    run.turn.emit("delta", n)
                    if n % 100 == 0:
                        await settle()
                run.finish()
        assert numbers(events) == list(range(MANY + 2))
        assert SUBSCRIBER_OVERFLOW.name not in registry.meter.counts()


async def test_a_turn_whose_beginning_is_gone_is_not_told_from_the_middle() -> None:
    """G7: it began with the oldest event that was kept, without a word."""
    async with opened(chatty, log_events=10) as registry:
        receipt = await registry.send("s1", str(MANY))
        await receipt.ended()
        with pytest.raises(EventsLost) as caught:
            await told(registry, receipt.turn_id)
        assert caught.value.code == "EVENTS_LOST"
        assert registry.meter.counts()[GAPS.name] == 1
        kept = f"{receipt.epoch}-{MANY - 8}"
        assert len(await told(registry, receipt.turn_id, kept)) == 9


async def test_a_reader_who_takes_nothing_while_the_log_moves_on_learns_that_events_are_lost() -> None:
    agent = ScriptedAgent()
    async with opened(agent, log_events=10) as registry:
        receipt = await registry.send("s1", "hello")
        run = await agent.run()
        seen: list[Event] = []
        following = receipt.events()
        seen.append(await anext(following))
        for n in range(50):
            run.turn.emit("delta", n)
        with pytest.raises(EventsLost):
            await anext(following)
        assert names(seen) == ["turn.started"]


async def test_what_sleep_has_dropped_is_lost_and_the_last_event_is_not() -> None:
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "2", turn_id="t1")
        await receipt.ended()
        assert await registry.cleanup() == ("s1",)
        with pytest.raises(EventsLost):
            await told(registry, "t1")
        assert names(await told(registry, "t1", f"{receipt.epoch}-2")) == ["turn.completed"]


async def test_a_session_whose_turn_is_being_read_is_not_put_to_sleep() -> None:
    async with opened(chatty) as registry:
        receipt = await registry.send("s1", "2", turn_id="t1")
        await receipt.ended()
        async with aclosing(receipt.events()) as events:
            await anext(events)
            assert await registry.cleanup() == ()
            assert numbers([event async for event in events]) == [1, 2, 3]
        await settle()
        assert await registry.cleanup() == ("s1",)


# -- Who may follow, and who may not ----------------------------------------------------------------


async def test_a_turn_or_session_that_is_not_known_is_refused_as_such() -> None:
    async with opened(done) as registry:
        await (await registry.send("s1", "one", user="ada")).ended()
        with pytest.raises(UnknownTurn):
            await told(registry, "no-such-turn")
        with pytest.raises(UnknownSession):
            await anext(registry.turn_events("s2", "t1"))


async def test_anothers_turn_is_that_of_an_unknown_session() -> None:
    """G12."""
    async with opened(done) as registry:
        receipt = await registry.send("s1", "one", user="ada", turn_id="t1")
        await receipt.ended()
        assert len([event async for event in registry.turn_events("s1", "t1", user="ada")]) == 2
        with pytest.raises(UnknownSession) as theirs:
            await anext(registry.turn_events("s1", "t1", user="eve"))
        with pytest.raises(UnknownSession) as unknown:
            await anext(registry.turn_events("s9", "t1", user="eve"))
        assert str(theirs.value).replace("s1", "s9") == str(unknown.value)


async def test_following_a_turn_is_a_stream_and_counts_as_one() -> None:
    """G8."""
    async with opened(done, max_streams=1) as registry:
        await (await registry.send("s1", "one", user="ada", turn_id="t1")).ended()
        held = await registry.follow(FollowTurn("s1", "t1", None, Asker("ada")))
        with pytest.raises(TooManyStreams):
            await registry.follow(FollowTurn("s1", "t1", None, Asker("ada")))
        held.close()
        again = await registry.follow(FollowTurn("s1", "t1", None, Asker("ada")))
        again.close()


async def test_a_turn_cannot_follow_itself() -> None:
    async def agent(turn: Turn) -> str:
        with pytest.raises(WaitsForItself):
            await anext(registry.turn_events(turn.session_id, turn.turn_id))
        return "refused"

    async with opened(agent) as registry:
        assert await (await registry.send("s1", "one")).result() == "refused"


async def test_to_follow_a_turn_is_asked_for_and_not_told() -> None:
    async with opened(done) as registry:
        await (await registry.send("s1", "one", turn_id="t1")).ended()
        registry.ref.tell(FollowTurn("s1", "t1"))
        await settle()
        assert names(await told(registry, "t1")) == ["turn.started", "turn.completed"]


async def test_leaving_leaves_the_turn_alone_and_unsubscribes() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "one")
        run = await agent.run()
        following = asyncio.create_task(told(registry, receipt.turn_id))
        await settle()
        assert len(registry.directory.streams) == 1
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        assert not registry.directory.streams
        assert not run.turn.cancel_requested


async def test_at_shutdown_the_end_is_told_and_who_comes_later_is_turned_away() -> None:
    """G10."""
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        receipt = await registry.send("s1", "one")
        await agent.run()
        following = asyncio.create_task(told(registry, receipt.turn_id))
        await settle()
        await registry.drain()
        events = await following
        assert events[-1].data["reason"]["code"] == "shutdown"
        with pytest.raises(ShuttingDown):
            await told(registry, receipt.turn_id)


# -- The stream itself ------------------------------------------------------------------------------


async def test_after_the_terminal_event_comes_a_close_and_the_stream_invites_nobody_back() -> None:
    agent = ScriptedAgent()
    async with opened(agent) as registry:
        await registry.send("s1", "one", turn_id="t1")
        stream = await reader_of(registry, "t1")
        await registry.cancel("s1", "t1")
        events = await read_to_end(stream)
        assert names(events) == ["turn.started", "turn.cancelled", "close"]
        assert events[-1].data == "Task cancelled"
        assert not stream.invites_back
        assert stream.spent
        last = await reader_of(registry, "t1", events[-2].id)
        assert (last.spent, waiting(last)) == (True, [])
        last.close()


async def test_what_is_the_turns_goes_straight_to_the_outlet_and_the_rest_does_not() -> None:
    agent = ScriptedAgent(swallows=1)
    async with opened(agent) as registry:
        await registry.send("s1", "one", turn_id="t1")
        run = await agent.run()
        stream = await reader_of(registry, "t1")
        outlet = stream.outlet = Outlet()
        reading = asyncio.create_task(stream.read())
        assert numbers(await reading) == [0]
        reading = asyncio.create_task(stream.read())
        await settle()
        run.turn.emit("word", 1)
        run.turn.emit("word", 2)
        await settle()
        await registry.send("s1", "two", wait=False)
        await settle()
        run.turn.emit("word", 3)
        await settle()
        assert (" ".join(outlet.taken), reading.done()) == ("1 2 3", False)
        run.finish()
        assert names(await reading) == ["turn.completed"]
        assert " ".join(outlet.taken) == "1 2 3"
        stream.close()


async def test_what_else_has_no_id_does_not_go_to_the_outlet_of_a_reader_whose_turn_waits() -> None:
    async with opened(ScriptedAgent(swallows=1)) as registry:
        await registry.send("s1", "one")
        await registry.send("s1", "two", turn_id="t2", wait=False)
        log = EventLog()
        stream = TurnReader(log, await registry.turn("s1", "t2"), None, lambda _: None, lambda: None)
        outlet = stream.outlet = Outlet()
        reading = asyncio.create_task(stream.read())
        await settle()
        log.append(Event(QUEUED, source=await registry.turn("s1", "t2")), 10, 10_000)
        stream.published(log.head, {})
        await settle()
        assert (outlet.taken, reading.done()) == ([], False)
        stream.close()
        assert await reading == []


# -- A turn in parts ----------------------------------------------------------------------------------


class Parts:
    """Follows a turn whose log keeps little, in a session with a journal."""

    def __init__(self, registry: SessionRegistry, turn_id: str) -> None:
        self.registry, self.turn_id = registry, turn_id
        self.after: list[str | None] = []
        #: What is given in place of the next reader.
        self.instead: Callable[[], Awaitable[TurnReader | None]] | None = None

    async def follow(self, after: str | None = None) -> TurnReader:
        return await self.registry.follow(FollowTurn("s", self.turn_id, after))

    async def again(self, after: str | None) -> TurnReader | None:
        self.after.append(after)
        return await self.follow(after) if self.instead is None else await self.instead()

    async def whole(self) -> WholeTurn:
        return WholeTurn(await self.follow(), self.again)


@asynccontextmanager
async def in_parts(words: int = 450) -> AsyncIterator[Parts]:
    """A turn that has ended, of which memory keeps a hundred events."""
    async with opened(chatty, journal=MemoryJournal(), log_events=100) as registry:
        receipt = await registry.send("s", str(words))
        await receipt.ended()
        yield Parts(registry, receipt.turn_id)


async def all_of(turn: WholeTurn) -> list[Event]:
    found: list[Event] = []
    while (batch := await turn.read()) or not turn.ended:
        found += batch
    return found


async def test_a_turn_is_read_in_parts_without_a_hole_and_nothing_twice() -> None:
    """G7."""
    async with in_parts() as parts:
        turn = await parts.whole()
        events = await all_of(turn)
        assert numbers(events[:-1]) == list(range(452))
        assert names(events)[-2:] == ["turn.completed", "close"]
        assert turn.complete
        assert len(parts.after) >= 3
        turn.close()
        await settle()
        assert (await parts.registry.counts()).subscribers == 0


async def test_a_turn_of_which_no_more_is_given_ends_there() -> None:
    async with in_parts() as parts:
        turn = await parts.whole()

        async def none() -> None:
            return None

        parts.instead = none
        events = await all_of(turn)
        assert numbers(events) == list(range(len(events)))
        assert turn.ended
        assert not turn.complete


async def test_one_that_is_closed_between_two_parts_is_given_no_other() -> None:
    async with in_parts() as parts:
        turn = await parts.whole()

        async def late() -> TurnReader:
            turn.close()
            return await parts.follow(parts.after[-1])

        parts.instead = late
        await all_of(turn)
        assert turn.ended
        await settle()
        assert (await parts.registry.counts()).subscribers == 0


async def test_what_giving_the_next_part_raises_is_raised() -> None:
    async with in_parts() as parts:
        turn = await parts.whole()

        async def lost() -> None:
            raise EventsLost("gone")

        parts.instead = lost
        with pytest.raises(EventsLost):
            await all_of(turn)
        turn.close()


async def test_a_poke_is_no_end() -> None:
    async with opened(ScriptedAgent()) as registry:
        receipt = await registry.send("s", "hello")
        turn = await Parts(registry, receipt.turn_id).whole()
        assert names(await turn.read()) == ["turn.started"]
        turn.poke()
        assert await turn.read() == []
        assert not turn.ended
        turn.close()
        assert await turn.read() == []
        assert turn.ended
