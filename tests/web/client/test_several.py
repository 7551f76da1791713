import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from unittest import mock

import pytest

from tests.fakes import ScriptedAgent, chatty, settle
from tests.web.command.terminal import relay
from tests.web.fakes_web import PATIENCE, House, by_token, serving, until
from turnkeeper.actors.model.messages import Close
from turnkeeper.actors.model.words import TERMINAL
from turnkeeper.actors.registry import decisions
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.errors import Refused, Unreachable
from turnkeeper.web.client.several import SessionEvent, Several
from turnkeeper.web.client.sse_parser import StreamEvent


class Reader:
    """Reads the events of several sessions one by one, and keeps them."""

    def __init__(self, several: Several, events: AsyncGenerator[SessionEvent, None]) -> None:
        self.several = several
        self.seen: list[SessionEvent] = []
        self._events = events

    async def next(self) -> SessionEvent:
        async with asyncio.timeout(PATIENCE):
            self.seen.append(await anext(self._events))
        return self.seen[-1]

    async def until(self, name: str, times: int = 1) -> SessionEvent:
        """The next event of that name, or so many of them; the last."""
        for _ in range(times):
            while (await self.next()).event.name != name:
                pass
        return self.seen[-1]

    def of(self, session: str, name: str) -> list[Any]:
        """The data of these events of that session."""
        return [event.data for of, event in self.seen if (of, event.name) == (session, name)]

    def names(self, session: str) -> list[str]:
        return [event.name for of, event in self.seen if of == session]


@asynccontextmanager
async def reading(
    client: Client, *sessions: str, notice: Any = pytest.fail, **cursors: str | None
) -> AsyncIterator[Reader]:
    several = client.several({**dict.fromkeys(sessions), **cursors}, notice=notice)
    async with aclosing(several.events()) as events:
        yield Reader(several, events)


async def followed(house: House) -> int:
    """How many streams of single sessions are open on the server."""
    return (await house.registry.counts()).subscribers


# -- Every event once ---------------------------------------------------------------------------------


async def test_every_session_goes_on_after_its_last_event_over_a_lost_connection() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent) as house,
        relay(house.port) as between,
        Client(between.url) as client,
        reading(client, "a", "b", "quiet", notice=lambda _: None) as reader,
    ):
        await reader.until("snapshot", times=3)
        for session in ("a", "b"):
            await house.sent(session)
            (await agent.run()).turn.emit("word", f"{session}1")
            await reader.until("word")
        for number in (2, 3):
            between.cut()
            for run in agent.runs:
                run.turn.emit("word", f"{run.turn.session_id}{number}")
            await reader.until("word", times=2)
        assert [reader.of(session, "word") for session in "ab"] == [
            ["a1", "a2", "a3"],
            ["b1", "b2", "b3"],
        ]
        ids = [event.id for session, event in reader.seen if session == "a" and event.id]
        assert [each.partition("-")[2] for each in ids] == ["0", "1", "2", "3"]
        assert reader.names("b") == ["snapshot", "turn.started", "word", "word", "word"]


async def test_another_one_goes_on_where_the_cursors_of_the_first_say() -> None:
    async with serving(chatty) as house, Client(house.url("")) as client:
        async with reading(client, "a", "b") as first:
            await first.until("snapshot", times=2)
            await house.sent("a", "3")
            while first.names("a")[-1] != "word":
                await first.next()
            cursors = first.several.cursors
            assert cursors["a"] == first.seen[-1].event.id
            assert cursors.keys() == {"a", "b"}
        await house.sent("b", "1")
        async with reading(client, **cursors) as second:
            await second.until("turn.completed", times=2)
        assert [event.data for _, event in second.seen if event.name == "word"] == [1, 2, 0]
        assert second.names("a") == ["word", "word", "turn.completed"]


async def test_a_server_that_is_started_anew_is_asked_for_all_of_them() -> None:
    notices: list[str] = []
    async with (
        serving(chatty) as first,
        relay(first.port) as between,
        Client(between.url) as client,
        reading(client, "a", "b", notice=notices.append) as reader,
    ):
        await reader.until("snapshot", times=2)
        async with serving(chatty) as second:
            between.target = second.port
            await first.runner.cleanup()
            await second.sent("b", "2")
            await reader.until("turn.completed")
        assert reader.of("b", "word") == [0, 1]
        assert reader.of("a", "close") == reader.of("b", "close") == ["Server shutting down"]
    assert "the server has been restarted" in notices


# -- Which sessions -----------------------------------------------------------------------------------


async def test_sessions_are_added_and_dropped_while_the_stream_is_open() -> None:
    async with serving(chatty) as house, Client(house.url("")) as client, reading(client, "a") as reader:
        await reader.until("snapshot")
        await reader.several.add("b", "c")
        await reader.until("snapshot", times=2)
        await reader.several.add("b")
        assert list(reader.several.cursors) == ["a", "b", "c"]
        await reader.several.drop("a", "never followed")
        assert await followed(house) == 2
        for session in ("a", "b", "c"):
            await house.sent(session, "1")
        await reader.until("turn.completed", times=2)
        assert (reader.of("a", "word"), reader.of("b", "word"), reader.of("c", "word")) == ([], [0], [0])
        assert reader.names("b") == ["snapshot", "turn.started", "word", "turn.completed"]


async def test_one_that_is_dropped_and_added_again_begins_with_its_snapshot() -> None:
    agent = ScriptedAgent()
    async with (
        serving(agent) as house,
        Client(house.url("")) as client,
        reading(client, "a", "b") as reader,
    ):
        await reader.until("snapshot", times=2)
        await house.sent("a")
        run = await agent.run()
        for number in range(3):
            run.turn.emit("word", number)
        await reader.until("turn.started")
        await reader.several.drop("a")  # with words on their way
        await reader.several.add("a")
        await reader.until("word", times=3)
    assert reader.names("a") == ["snapshot", "turn.started", "snapshot", "turn.started", *["word"] * 3]
    assert reader.of("a", "word") == [0, 1, 2]


class Slow(Client):
    """A client whose streams are asked for and not opened until it may go on."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def stream(self, *path: str, **how: Any) -> AsyncGenerator[StreamEvent, None]:
        self.asked.set()
        await self.may_go_on.wait()
        async with aclosing(super().stream(*path, **how)) as events:
            async for event in events:
                yield event


async def test_what_is_added_and_dropped_before_the_stream_is_open_is_said_once_it_is() -> None:
    async with serving(chatty) as house, Slow(house.url("")) as client, reading(client, "a", "b") as reader:
        first = asyncio.ensure_future(reader.until("snapshot", times=2))
        await client.asked.wait()
        await reader.several.add("c")
        await reader.several.drop("a")
        client.may_go_on.set()
        await first
        assert {session for session, _ in reader.seen} == {"b", "c"}
        assert await followed(house) == 2


async def test_one_that_follows_nothing_stays_open_until_something_is_added() -> None:
    async with serving(chatty) as house, Client(house.url("")) as client, reading(client) as reader:
        first = asyncio.ensure_future(reader.until("turn.completed"))
        await until(lambda: reader.several._open is not None)
        await reader.several.add("a")
        await house.sent("a", "1")
        assert (await first).session == "a"


async def test_a_session_that_is_closed_is_dropped_and_the_others_go_on() -> None:
    async with serving(chatty) as house, relay(house.port) as between, Client(between.url) as client:
        await house.sent("c", "1")
        await house.delete("/chat/c")
        async with reading(client, "a", "b", "c", notice=lambda _: None) as reader:
            await reader.until("close")
            assert reader.seen[-1] == SessionEvent("c", StreamEvent(None, "close", "Session closed"))
            await house.sent("a", "1")
            await reader.until("turn.completed")
            await house.delete("/chat/a")
            await reader.until("close")
            assert list(reader.several.cursors) == ["b"]
            between.cut()
            await house.sent("b", "1")
            await reader.until("turn.completed")
        assert reader.of("a", "close") == reader.of("c", "close") == ["Session closed"]
        assert reader.of("b", "word") == [0]


async def test_a_session_that_is_lost_goes_on_once_it_lives_again() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, Client(house.url("")) as client, reading(client, "a", "b") as reader:
        await reader.until("snapshot", times=2)
        await house.sent("a")
        await reader.until("turn.started")
        with mock.patch.object(decisions, "step", side_effect=ZeroDivisionError):
            house.registry.ref.tell(Close("a"))
            await settle()
        await reader.until("close")
        assert reader.of("a", "close") == ["Session lost"]
        for session in ("a", "b"):
            await house.sent(session, "again")
        await reader.until("turn.started", times=2)
        assert [each["message"] for each in reader.of("a", "turn.started")][-1:] == ["again"]
        ended = [name for name in reader.names("a") if name.removeprefix("turn.") in TERMINAL]
        assert len(ended) == 1


# -- What goes wrong ----------------------------------------------------------------------------------


async def test_what_is_refused_leaves_the_others_as_they_are() -> None:
    async with (
        serving(chatty, authenticate=by_token, max_streams=2) as house,
        Client(house.url(""), "ada-token") as client,
        reading(client, "a") as reader,
    ):
        await reader.until("snapshot")
        with pytest.raises(Refused) as refused:
            await reader.several.add("b", "c")
        assert refused.value.code == "TOO_MANY_STREAMS"
        assert list(reader.several.cursors) == ["a"]
        await reader.several.add("b")
        await reader.until("snapshot")
        await house.sent("b", "1", token="ada-token")
        await reader.until("turn.completed")
        assert await followed(house) == 2


async def test_a_stream_that_is_refused_is_not_tried_again() -> None:
    async with serving(chatty) as house, Client(house.url("")) as client:
        async with reading(client, *(f"s{number}" for number in range(40))) as reader:
            with pytest.raises(Refused) as refused:
                await reader.next()
        assert refused.value.code == "STREAM_TOO_WIDE"


class Unanswered(Client):
    """A client that loses the answers to its changes, where it is told to."""

    loses = False

    async def ask(self, method: str, *path: str, **how: Any) -> dict[str, Any]:
        answer = await super().ask(method, *path, **how)
        if self.loses and method == "PATCH":
            raise Unreachable("the answer was lost")
        return answer


async def test_a_change_whose_answer_was_lost_is_made_good_with_the_next_one() -> None:
    async with (
        serving(chatty) as house,
        Unanswered(house.url("")) as client,
        reading(client, "a", "b") as reader,
    ):
        await reader.until("snapshot", times=2)
        client.loses = True
        with pytest.raises(Unreachable):
            await reader.several.add("c")
        await reader.several.drop("b")
        assert list(reader.several.cursors) == ["a"]
        client.loses = False
        await reader.several.add("d")
        await reader.until("snapshot")
        assert reader.seen[-1].session == "d"
        assert await followed(house) == 2


class Faltering(Client):
    """A client whose first change waits until it may go on, and whose second does not reach the server."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.may_go_on = asyncio.Event()
        self.changes = 0

    async def ask(self, method: str, *path: str, **how: Any) -> dict[str, Any]:
        if method == "PATCH":
            self.changes += 1
            if self.changes == 1:
                await self.may_go_on.wait()
            elif self.changes == 2:
                raise Unreachable("the connection was cut")
        return await super().ask(method, *path, **how)


async def test_a_change_that_was_said_along_with_one_that_failed_is_said_again() -> None:
    async with (
        serving(chatty) as house,
        Faltering(house.url("")) as client,
        reading(client, "a") as reader,
    ):
        await reader.until("snapshot")
        b, c, d = (asyncio.ensure_future(reader.several.add(session)) for session in "bcd")
        await until(lambda: client.changes == 1)
        client.may_go_on.set()
        with pytest.raises(Unreachable):
            await c
        await asyncio.gather(b, d)
        await reader.until("snapshot", times=2)
        assert list(reader.several.cursors) == ["a", "b", "d"]
        assert {session for session, _ in reader.seen} == {"a", "b", "d"}
        assert await followed(house) == 3
