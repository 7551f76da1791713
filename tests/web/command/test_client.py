import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import ScriptedAgent, chatty, virtual_time
from tests.web.command.terminal import answering, http, relay
from tests.web.fakes_web import PATIENCE, by_token, serving
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web.command.client import PAUSES, VERSION, Client, Event, Parser, Refused, Unreachable
from turnkeeper.web.command.exit_codes import Exit, Failure

# -- Addresses and tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://x",
        "http://",
        "http://a:b@x",
        "http://x/?a=1",
        "http://x#a",
        "http://x:99999",
    ],
)
def test_an_address_that_is_none_is_refused_as_usage(url: str) -> None:
    with pytest.raises(Failure) as refused:
        Client(url)

    assert refused.value.exit_code is Exit.USAGE


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Other: 1", "\x00"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(Failure, match="TURNKEEPER_TOKEN") as refused:
        Client("http://x", token)

    assert token not in str(refused.value)


# -- Who answers ------------------------------------------------------------------------------------


async def test_nobody_at_that_port_is_told_with_the_address() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1:1/: Connection refused"):
            await client.hello()


@pytest.mark.parametrize(
    "answer",
    [
        http("<h1>hi</h1>", kind="text/html"),
        http('{"status": "ok"}'),
        http("[]"),
        http("", "404 Not Found"),
        http("", "302 Found", more="Location: http://127.0.0.1:1/\r\n"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000,
    ],
    ids=["a page", "other JSON", "a list", "404", "elsewhere", "not HTTP", "nothing", "without end"],
)
async def test_something_else_on_that_port_is_told_and_never_given_the_token(answer: bytes) -> None:
    async with answering(answer) as (url, asked), Client(url, "s3cret") as client:
        with pytest.raises(Unreachable):
            await client.hello()

    assert asked
    assert not any(b"s3cret" in request for request in asked)


@pytest.mark.parametrize(
    ("version", "speaks"), [(VERSION, True), ("0.1.999", True), ("0.2.0", False), ("7.0.0", False)]
)
async def test_a_server_of_another_version_is_told(version: str, speaks: bool) -> None:
    body = json.dumps({"status": "ok", "incarnation": "1", "version": version})
    async with answering(http(body)) as (url, _), Client(url) as client:
        if speaks:
            assert (await client.hello())["version"] == version
            return
        with pytest.raises(Unreachable, match=f"is turnkeeper '{version}', this is {VERSION}"):
            await client.hello()


async def test_a_server_under_a_prefix_is_asked_there() -> None:
    async with serving(chatty, prefix="/ai") as house, Client(house.url("/")) as client:
        assert (await client.hello())["status"] == "ok"
        assert await client.active() == {}


# -- Asking -----------------------------------------------------------------------------------------


async def test_send_list_cancel_and_look_up_a_turn() -> None:
    agent = ScriptedAgent()
    async with serving(agent) as house, Client(house.url("")) as client:
        sent = await client.send("s", "t1", "hello")
        assert (sent["task_id"], sent["task_status"]) == ("t1", "running")
        assert (await client.active())["s"]["task_id"] == "t1"
        assert (await client.cancel("s", "t1"))["verdict"] == "cancelled"
        assert (await client.cancel("s", "nope"))["verdict"] == "not_running"
        assert (await client.cancel("s"))["verdict"] == "not_running"
        assert (await client.turn("s", "t1"))["status"] == "cancelled"
        assert await client.cleanup() == ["s"]


@pytest.mark.parametrize(
    ("token", "session", "code"),
    [("", "s", Exit.NOT_ALLOWED), ("x", "s", Exit.NOT_ALLOWED), ("scopeless-token", "s", Exit.NOT_ALLOWED),
     ("bob-token", "s", Exit.UNKNOWN), ("ada-token", "turns", Exit.USAGE)],
)  # fmt: skip
async def test_a_refusal_has_its_exit_code_and_the_servers_words(
    token: str, session: str, code: Exit
) -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        await house.sent("s", token="ada-token")
        async with Client(house.url(""), token) as client:
            with pytest.raises(Refused) as refused:
                await client.send(session, "t", "hello")

    assert refused.value.exit_code is code
    assert str(refused.value)


@pytest.mark.parametrize(
    ("token", "says"),
    [(None, "a valid token is needed; TURNKEEPER_TOKEN is where this command looks for one"),
     ("wr0ng", "the server does not accept the token in TURNKEEPER_TOKEN")],
)  # fmt: skip
async def test_a_token_that_is_missing_is_told_from_one_that_is_wrong(token: str | None, says: str) -> None:
    async with (
        serving(ScriptedAgent(), authenticate=by_token) as house,
        Client(house.url(""), token) as client,
    ):
        with pytest.raises(Refused) as refused:
            await client.active()

    assert str(refused.value) == says


# -- Following --------------------------------------------------------------------------------------


async def three(turn: Turn) -> None:
    """Say the first word, and the other two when the test says so."""
    for word in ("one", "two", "three"):
        turn.emit("delta", {"text": word})


async def test_events_come_once_and_in_order_over_a_lost_connection() -> None:
    agent = ScriptedAgent()
    notices: list[str] = []
    async with serving(agent) as house, relay(house.port) as between, Client(between.url) as client:
        names: list[str] = []
        ids: list[str] = []
        async with aclosing(client.events("s", notice=notices.append)) as events:
            async for event in events:
                names.append(event.name)
                ids += [event.id] if event.id else []
                match event.name:
                    case "snapshot":
                        await house.sent("s")
                    case "turn.started":
                        (await agent.run()).turn.emit("delta", {"text": "one"})
                    case "delta" if names.count("delta") == 1:
                        between.cut()
                        agent.last.turn.emit("delta", {"text": "two"})
                    case "delta":
                        await house.post("/chat/s/cancel_send_task")
                    case _:
                        pass

    assert names == ["snapshot", "turn.started", "delta", "delta", "turn.cancelled", "close"]
    assert [each.partition("-")[2] for each in ids] == ["0", "1", "2", "3"]
    assert notices[-1] == "connected again"


@pytest.mark.parametrize("turns_before", [0, 1, 50])
async def test_what_happened_while_the_connection_was_lost_is_not_missed_before_the_first_id(
    turns_before: int,
) -> None:
    async with serving(three) as house, relay(house.port) as between, Client(between.url) as client:
        for _ in range(turns_before):
            # So fast that their epochs run ahead of the clock.
            await (await house.registry.send("s", "before")).ended()
        async with aclosing(client.events("s", notice=lambda _: None)) as events:
            assert (await anext(events)).name == "snapshot"
            between.cut()
            task = await house.sent("s", "meanwhile")
            started = await anext(events)
            assert (started.name, started.data["task_id"]) == ("turn.started", task)
            assert [(await anext(events)).data["text"] for _ in range(3)] == ["one", "two", "three"]


class Leaving(Client):
    """The client of a server that says one thing and is never heard of again."""

    there = True

    async def hello(self) -> dict[str, Any]:
        if not self.there:
            raise Unreachable("it is away")
        return {"incarnation": "1"}

    async def _stream(self, _session: str, _cursor: str | None) -> AsyncGenerator[Event, None]:
        yield Event(None, "snapshot", "{}")
        self.there = False
        raise Unreachable("it has left")


async def test_a_server_that_stays_away_is_given_up_after_the_patience() -> None:
    notices: list[str] = []
    client = Leaving("http://127.0.0.1:1", patience=30.0)
    async with virtual_time() as clock, aclosing(client.events("s", notice=notices.append)) as events:
        await anext(events)
        with pytest.raises(Unreachable, match="it is away"):
            await anext(events)
        assert 30.0 < clock.elapsed <= 30.0 + PAUSES[1]

    assert notices == ["it has left; trying again"]


async def test_a_server_whose_connections_are_cut_is_told_once_and_then_given_up() -> None:
    for patience in (0.3, 3.0, 30.0):  # the first moment of its absence may already be later than that
        notices: list[str] = []
        async with (
            serving(three) as house,
            relay(house.port) as between,
            Client(between.url, patience=patience) as client,
            aclosing(client.events("s", notice=notices.append)) as events,
        ):
            await anext(events)
            between.open = False
            between.cut()
            with pytest.raises(Unreachable):
                await anext(events)
        if notices:
            break
    assert len(notices) == 1
    assert notices[0].endswith("; trying again")


async def test_a_stream_that_is_refused_is_not_tried_again() -> None:
    async with serving(three, authenticate=by_token) as house, Client(house.url(""), "x") as client:
        with pytest.raises(Refused):
            await anext(client.events("s", notice=lambda _: None))


async def test_a_server_that_was_started_anew_is_told() -> None:
    notices: list[str] = []
    async with (
        serving(three) as first,
        relay(first.port) as between,
        Client(between.url) as client,
        aclosing(client.events("s", notice=notices.append)) as events,
    ):
        await anext(events)
        async with serving(three) as second:
            between.target = second.port
            between.cut()
            await second.sent("s", "hello")
            async with asyncio.timeout(PATIENCE):
                assert (await anext(events)).name == "turn.started"

    assert "the server was started anew: what it kept is gone" in notices


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_stream_is_parsed_however_it_is_cut_into_pieces(size: int) -> None:
    wire = 'retry: 2000\n\n:\n\nid: 7-0\nevent: delta\ndata: {"text": "ü"}\r\n\r\n'
    wire += "event: close\ndata: Task\ndata: end\n\n"
    data = wire.encode()
    parser = Parser()
    events = [each for at in range(0, len(data), size) for each in parser.feed(data[at : at + size])]

    assert events == [Event("7-0", "delta", '{"text": "ü"}'), Event(None, "close", "Task\nend")]
    assert (events[0].cursor, events[0].data, events[1].data) == ("7-0", {"text": "ü"}, "Task\nend")
