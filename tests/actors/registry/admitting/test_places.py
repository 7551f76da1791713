"""Readers see their turns move up while these wait for a slot: all moves of a second in one event."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from tests.actors.admission.many import MANY, PASS, crowded, instructions
from tests.actors.admission.world import SESSION
from tests.fakes import ScriptedAgent, VirtualClock, opened, settle, virtual_time, waiting
from turnkeeper.actors.events.event import PLACES, Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.messages import StandingChanged
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Standing, Ticket
from turnkeeper.actors.model.words import WaitsFor
from turnkeeper.actors.registry.admitting import places as module
from turnkeeper.actors.registry.admitting.places import BATCH, PAUSE, Places
from turnkeeper.actors.registry.front import SessionRegistry


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with virtual_time() as clock:
        yield clock


def places(stream: Subscription) -> list[Event]:
    """What the reader was shown of who waits, since it was last looked at."""
    return [event for event in waiting(stream) if event.name == PLACES]


async def position(registry: SessionRegistry, session: str) -> int | None:
    """Where the turn of that session stands among those of its user that wait."""
    [queued] = await registry.queue(session)
    return None if queued.standing is None else queued.standing.position


@pytest.mark.parametrize("journal", [None, MemoryJournal])
async def test_a_reader_sees_its_turn_move_up(clock: VirtualClock, journal: Any) -> None:
    agent = ScriptedAgent()
    async with opened(
        agent, journal=journal and journal(), on_cap="wait", max_in_flight_in_all=1
    ) as registry:
        for n in range(4):
            await registry.send(f"s{n}", "hello")
        stream = await registry.subscribe("s3")
        waiting(stream)
        assert await position(registry, "s3") == 3
        for left in (2, 1):
            (await agent.run()).finish()
            await clock.advance(PAUSE)
            assert len(places(stream)) == 1
            assert await position(registry, "s3") == left
        (await agent.run()).finish()
        await clock.advance(PAUSE)
        assert places(stream) == [], "it has started"
        stream.close()


async def test_all_moves_of_a_second_are_one_event(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1) as registry:
        for n in range(20):
            await registry.send(f"s{n}", "hello")
        stream = await registry.subscribe("s19")
        waiting(stream)
        await registry.cancel("s1")
        await settle()
        assert len(places(stream)) == 1, "the first one at once"
        for n in range(2, 10):
            await registry.cancel(f"s{n}")
            await clock.advance(PAUSE / 10)
        assert places(stream) == []
        await clock.advance(PAUSE)
        assert len(places(stream)) == 1
        assert await position(registry, "s19") == 10
        await clock.advance(10 * PAUSE)
        assert places(stream) == [], "nothing has moved"
        stream.close()


async def test_the_moves_of_other_users_are_no_news(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s0", "hello", user="eve")
        for user in ("ada", "bob"):
            for n in range(2):
                await registry.send(f"{user}{n}", "hello", user=user)
        stream = await registry.subscribe("ada1", user="ada")
        waiting(stream)
        await registry.cancel("bob0", user="bob")
        await clock.advance(PAUSE)
        assert places(stream) == []
        await registry.cancel("ada0", user="ada")
        await clock.advance(PAUSE)
        assert len(places(stream)) == 1
        stream.close()


async def test_a_reader_that_comes_later_sees_where_the_turn_stands(clock: VirtualClock) -> None:
    agent = ScriptedAgent()
    async with opened(agent, on_cap="wait", max_in_flight_in_all=1) as registry:
        await registry.send("s0", "hello")
        await registry.send("s1", "hello")
        stream = await registry.subscribe("s1")
        [snapshot] = waiting(stream)
        assert snapshot.data["queue"][0]["waits_for"] == WaitsFor.SERVER_CAP
        stream.close()


# -- The watch itself ---------------------------------------------------------------------------------


class Line:
    """A scheduler, as far as it is asked here: tickets in a row."""

    def __init__(self, number: int) -> None:
        self.tickets = [Ticket(SessionId(f"s{n}"), 1) for n in range(number)]
        self.asked = 0

    def standing(self, ticket: Ticket) -> Standing | None:
        self.asked += 1
        if ticket not in self.tickets:
            return None
        return Standing(WaitsFor.USER_CAP, self.tickets.index(ticket) + 1, len(self.tickets))


class Actor:
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def tell_if_alive(self, message: Any) -> bool:
        self.sent.append(message)
        return True


def watched(number: int) -> tuple[Any, Line, list[Any]]:
    line: Any = Line(number)
    shows, actors = Places(line, asyncio.get_running_loop()), [Actor() for _ in range(number)]
    for ticket, actor in zip(line.tickets, actors, strict=True):
        shows.watch(ticket, "ada", actor)  # type: ignore[arg-type]
    return shows, line, actors


async def test_very_many_are_looked_at_a_few_at_a_time_and_as_one_look(clock: VirtualClock) -> None:
    shows, line, actors = watched(3 * BATCH)
    first = line.tickets.pop(0)
    shows.unwatch(first, "ada")
    line.asked = 0
    shows.moved("ada")
    seen = []
    while sum(len(actor.sent) for actor in actors) < 3 * BATCH - 1:
        shows.moved("ada")
        before = line.asked
        await asyncio.sleep(0)
        seen.append(line.asked - before)
    assert max(seen) <= BATCH
    assert [actor.sent for actor in actors[1:]] == [[StandingChanged(ticket)] for ticket in line.tickets]
    await clock.advance(PAUSE)
    assert sum(len(actor.sent) for actor in actors) == 3 * BATCH - 1, "as they were shown"


async def test_what_is_not_watched_or_has_left_is_not_looked_at(clock: VirtualClock) -> None:
    shows, line, actors = watched(2)
    shows.moved("bob")
    for ticket in line.tickets:
        shows.unwatch(ticket, "ada")
        shows.unwatch(ticket, "ada")
    line.asked = 0
    shows.moved("ada")
    await clock.advance(PAUSE)
    assert (line.asked, actors[1].sent) == (0, [])


async def test_another_reader_hides_no_move_from_the_first_one(clock: VirtualClock) -> None:
    shows, line, actors = watched(2)
    line.tickets.pop(0)
    shows.watch(line.tickets[0], "ada", actors[1])
    shows.moved("ada")
    await clock.advance(PAUSE)
    assert actors[1].sent == [StandingChanged(line.tickets[0])]
    shows.close()
    line.tickets.insert(0, Ticket(SessionId("x"), 1))
    shows.moved("ada")
    await clock.advance(PAUSE)
    assert len(actors[1].sent) == 1


async def test_a_session_that_has_said_where_its_turn_stands_does_not_say_it_again(
    clock: VirtualClock,
) -> None:
    shows, line, actors = watched(2)
    line.tickets.pop(0)
    standing = line.standing(line.tickets[0])
    assert standing is not None
    shows.shown(line.tickets[0], "ada", standing)
    shows.moved("ada")
    await clock.advance(PAUSE)
    assert actors[1].sent == []


class _Session:
    """The actor of all sessions: it counts the word that it is sent."""

    def __init__(self) -> None:
        self.heard = 0

    def tell_if_alive(self, _message: StandingChanged, /) -> bool:
        self.heard += 1
        return True


@pytest.mark.parametrize("users", [1, 10_000])
async def test_with_very_many_that_wait_and_are_read_no_pass_takes_long(
    users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G9: counted, not measured; of every 40th pass."""
    scheduler, _, running = crowded(users)
    places, session = Places(scheduler, asyncio.get_running_loop()), _Session()
    of_user = [f"user {number}" for number in range(users)]
    for number in range(MANY):
        places.watch(Ticket(SESSION, number), of_user[number % users], cast("Any", session))
    sizes: list[int] = []
    counts: list[int] = []

    def in_passes(
        _loop: Any,
        items: Iterator[Any],
        size: int,
        show: Callable[[list[Any]], None],
        done: Callable[[], None],
    ) -> None:
        def take() -> None:
            batch = list(itertools.islice(items, size))
            show(batch)
            sizes.append(len(batch))

        while not sizes or sizes[-1] == size:
            if len(sizes) % 40:
                take()
            else:
                counts.append(instructions(take))
        done()

    monkeypatch.setattr(module, "in_batches", in_passes)
    for number in range(users):
        tickets = (Ticket(SESSION, each) for each in range(number, MANY, users))
        scheduler.leave(next(ticket for ticket in tickets if ticket not in running))
        places.moved(of_user[number])
    places._look()
    places.close()
    assert sum(sizes) == MANY
    assert session.heard > MANY / 4, "those of the same lane have moved up"
    assert max(counts) < PASS / 4, counts
    print(f"\n{users:,} users: {len(sizes)} passes, {max(counts):,} instructions at most")
