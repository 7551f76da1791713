"""Routes of a host's own, for the users of a mount."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import aiohttp
import pytest
from aiohttp import web

from tests.fakes import ScriptedAgent, VirtualClock, chatty, done
from tests.web.fakes_web import House, by_token, running, serving, until
from turnkeeper.actors.events.event import CLOSE, Event
from turnkeeper.actors.journal.memory import MemoryJournal
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.actors.model.words import CancelCode, TurnStatus
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import Call, Problem, WebSettings, route, setup

ADA, BOB = "ada-token", "bob-token"


class Lines:
    """The names of a turn's events, one on each line."""

    headers: Mapping[str, str] = {"X-Wire": "lines"}
    heartbeat = b".\n"

    def begin(self) -> bytes:
        return b"begin\n"

    def write(self, events: Sequence[Event], /) -> bytes:
        return "".join(f"{event.name}\n" for event in events if event.name != CLOSE).encode()

    def end(self) -> bytes:
        return b"end\n"


async def follow(call: Call) -> web.StreamResponse:
    """Send, and answer with the stream."""
    said = await call.json()
    policy = call.ends_with_its_reader(said.get("agent"))
    accepted = await call.send(
        "s", said["text"], agent=said.get("agent"), turn_id="t1", policy=policy, params=said.get("params")
    )
    reader = await call.follow("s", accepted.turn_id)
    return await call.stream(reader, Lines())


async def wait(call: Call) -> web.StreamResponse:
    """Send, and answer with how many events there were."""
    accepted = await call.send(
        "s", (await call.json())["text"], turn_id="t1", policy=call.ends_with_its_reader()
    )
    reader = await call.follow("s", accepted.turn_id)
    return web.json_response(sum([len(batch) async for batch in call.events(reader)]))


ROUTES = {"/follow": follow, "/wait": wait}


async def read(house: House, path: str, token: str = "", text: str = "1") -> list[str]:
    """The lines of a stream."""
    body, headers = {"text": text}, {"Authorization": f"Bearer {token}"}
    async with house.client.post(house.url(path), json=body, headers=headers) as answer:
        assert answer.status == 200
        return (await answer.text()).split()


async def hang_up(house: House, path: str, agent: ScriptedAgent) -> Any:
    """Send over a connection of its own, and close that once the agent runs; the agent's run."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = b'{"text": "hello"}'
    head = f"POST {path} HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    run = await agent.run()
    writer.close()
    del reader
    return run


async def test_a_turn_is_followed_in_the_words_of_the_hosts_own_protocol() -> None:
    async with serving(chatty, authenticate=by_token, token=ADA, routes=ROUTES) as house:
        url, headers = house.url("/follow"), {"Authorization": f"Bearer {ADA}"}
        async with house.client.post(url, json={"text": "2"}, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["X-Wire"] == "lines"
            text = await answer.text()
        assert text.split() == ["begin", "turn.started", "word", "word", "turn.completed", "end"]


async def test_a_send_may_say_more_to_its_agent() -> None:
    async def agent(turn: Turn) -> None:
        turn.emit(turn.params["name"], None)

    async with serving(agent, routes=ROUTES) as house:
        body = {"text": "hello", "params": {"name": "said"}}
        async with house.client.post(house.url("/follow"), json=body) as answer:
            assert (await answer.text()).split() == ["begin", "turn.started", "said", "turn.completed", "end"]


async def test_a_request_may_wait_for_the_end_of_its_turn() -> None:
    async with serving(chatty, authenticate=by_token, token=ADA, routes=ROUTES) as house:
        answer = await house.post("/wait", json={"text": "2"})
        assert answer.body == 5  # with the `close`


@pytest.mark.parametrize("path", ROUTES)
async def test_a_turn_is_cancelled_when_the_request_that_it_is_to_end_with_has_gone(path: str) -> None:
    agent = ScriptedAgent()
    async with serving(agent, routes=ROUTES) as house:
        run = await hang_up(house, path, agent)
        await run.cancelled.wait()
        run.finish()
        record = await house.registry.turn("s", "t1")
        assert record.cancellation is not None
        assert record.cancellation.reason.code is CancelCode.CLIENT_DISCONNECTED


async def test_a_turn_waits_for_its_reader_which_comes_late_on_a_busy_loop() -> None:
    agent, may_follow = ScriptedAgent(), asyncio.Event()

    async def follow_late(call: Call) -> web.StreamResponse:
        accepted = await call.send("s", "hello", turn_id="t1", policy=call.ends_with_its_reader())
        await may_follow.wait()
        return await call.stream(await call.follow("s", accepted.turn_id), Lines())

    async def never_follow(call: Call) -> web.StreamResponse:
        await call.send("other", "hello", turn_id="t1", policy=call.ends_with_its_reader())
        return web.Response()

    async with serving(agent, routes={"/late": follow_late, "/never": never_follow}) as house:
        reading = asyncio.create_task(read(house, "/late"))
        mine = await agent.run()
        await house.post("/never")
        other = await agent.run()
        await other.cancelled.wait()
        other.finish()
        # The one that began later was given up by now, as its request had ended.
        assert not mine.cancelled.is_set()
        may_follow.set()
        mine.finish()
        assert await reading == ["begin", "turn.started", "turn.completed", "end"]


async def test_a_turn_goes_on_where_the_host_says_so_itself() -> None:
    agent = ScriptedAgent()
    async with serving(
        {"default": agent}, routes=ROUTES, users={"local": {"on_disconnect": "continue"}}
    ) as house:
        run = await hang_up(house, "/follow", agent)
        while house.registry.directory.entries["s"].subscribers:
            await asyncio.sleep(0)
        run.finish()
        receipt = await house.registry.send("s", "hello", turn_id="t1")
        record = await receipt.ended()
        assert record.status is TurnStatus.COMPLETED
        assert record.cancellation is None


async def test_a_turn_whose_stream_is_refused_is_not_sent() -> None:
    """G8: it ran without a reader, stopped its predecessor, and was sent anew by clients that try again."""

    async def run(call: Call) -> web.StreamResponse:
        return await call.stream(await call.run("s", "hello"), Lines())

    agent = ScriptedAgent()
    async with serving(agent, max_streams=1, authenticate=by_token, routes={"/run": run}) as house:
        receipt = await house.registry.send("s", "before", user="ada")
        before = await agent.run()
        held = await house.registry.subscribe("other", user="ada")
        answer = await house.post("/run", token=ADA)
        assert (answer.status, answer.body["code"]) == (429, "TOO_MANY_STREAMS")
        assert (await house.registry.counts()).counters["too_many_streams_total"] == 1
        held.close()
        before.finish()
        assert (await receipt.ended()).status is TurnStatus.COMPLETED
        assert len(agent.runs) == 1
        asked = asyncio.create_task(read(house, "/run", ADA))
        (await agent.run()).finish()
        assert (await asked)[-1] == "end"


async def test_of_turns_that_are_sent_at_once_only_as_many_run_as_there_is_room_for_streams() -> None:
    """G8."""

    async def run(call: Call) -> web.StreamResponse:
        session = call.request.query["s"]
        return await call.stream(await call.run(session, "hello"), Lines())

    agent = ScriptedAgent()
    async with serving(agent, max_streams=1, authenticate=by_token, routes={"/run": run}) as house:

        async def ask(session: str) -> int:
            headers = {"Authorization": f"Bearer {ADA}"}
            async with house.client.post(house.url(f"/run?s={session}"), headers=headers) as answer:
                await answer.read()
                return answer.status

        answers = asyncio.as_completed([asyncio.create_task(ask(f"s{number}")) for number in range(8)])
        run = await agent.run()
        assert [await next(answers) for _ in range(7)] == [429] * 7
        run.finish()
        assert await next(answers) == 200
        assert len(agent.runs) == 1


async def test_what_is_refused_becomes_a_problem() -> None:
    async with serving(done, authenticate=by_token, routes=ROUTES) as house:
        answer = await house.post("/follow", json={"text": "2"})
        assert (answer.status, answer.body["code"]) == (401, "UNAUTHORIZED")
        answer = await house.post("/follow", data=b"{", token=ADA)
        assert (answer.status, answer.body["code"]) == (422, "INVALID_JSON")


async def test_another_user_is_refused_as_everywhere() -> None:
    async with serving(done, authenticate=by_token, routes=ROUTES) as house:
        await house.post("/wait", json={"text": "mine"}, token=ADA)
        answer = await house.post("/wait", json={"text": "mine too"}, token=BOB)
        assert (answer.status, answer.body["code"]) == (409, "SESSION_ID_TAKEN")


async def test_a_refusal_may_have_another_form() -> None:
    def refuse(problem: Problem) -> web.Response:
        return web.Response(status=418, text=problem.code)

    app = web.Application()
    setup(app, done, prefix="/ai", authenticate=lambda _request: None)
    route(app, "GET", "/own", follow, prefix="/ai", refuse=refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/own"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            assert (answer.status, await answer.text()) == (418, "UNAUTHORIZED")
    finally:
        await runner.cleanup()


def test_a_route_needs_a_mount() -> None:
    with pytest.raises(InvalidRequest, match="call setup first"):
        route(web.Application(), "GET", "/own", follow)


@pytest.mark.parametrize("path", ["/ai/chat", "/ai/chat/own", "/ai/chat/{id}/own"])
def test_a_route_is_not_below_the_paths_of_the_mount_which_would_hide_it(path: str) -> None:
    app = web.Application()
    setup(app, done, prefix="/ai")
    with pytest.raises(InvalidRequest, match="own"):
        route(app, "GET", path, follow, prefix="/ai")
    route(app, "GET", "/ai/chats", follow, prefix="/ai")
    route(app, "GET", "/chat", follow, prefix="/ai")


async def test_the_methods_of_one_path_are_routes_of_their_own() -> None:
    async def say(call: Call) -> web.StreamResponse:
        return web.json_response([call.request.method, call.user])

    app = web.Application()
    registry = setup(app, done, settings=WebSettings(allow_origin="https://page.example"))
    for method in ("GET", "POST", "DELETE"):
        route(app, method, "/own/{id}", say)
    async with running(app, registry) as house:
        for method in ("GET", "POST", "DELETE"):
            assert (await house.ask(method, "/own/x")).body == [method, "local"]
        assert (await house.ask("PUT", "/own/x")).status == 405


# -- Pages of other origins -------------------------------------------------------------------------

PAGE = "https://page.example"
ASKING = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, x-stainless-os",
}


async def test_a_page_of_an_allowed_origin_may_use_a_route_with_the_headers_of_its_client() -> None:
    async with serving(chatty, routes=ROUTES, allow_origin=PAGE) as house:
        answer = await house.ask("OPTIONS", "/wait", headers=ASKING)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "x-stainless-os" in answer.headers["Access-Control-Allow-Headers"].split(", ")
        for path in ROUTES:
            async with house.client.post(
                house.url(path), json={"text": "1"}, headers={"Origin": PAGE}
            ) as said:
                assert said.status == 200
                assert said.headers["Access-Control-Allow-Origin"] == PAGE
        answer = await house.post("/wait", data=b"{", headers={"Origin": PAGE})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (422, PAGE)


async def test_a_page_of_another_origin_is_refused() -> None:
    async with serving(chatty, routes=ROUTES, allow_origin=PAGE) as house:
        answer = await house.ask("OPTIONS", "/wait", headers={**ASKING, "Origin": "https://evil.example"})
        assert (answer.status, answer.body["code"]) == (403, "FOREIGN_ORIGIN")
    async with serving(chatty, routes=ROUTES) as house:
        assert (await house.ask("OPTIONS", "/wait", headers=ASKING)).status == 405


# -- The request ------------------------------------------------------------------------------------


class Order(TypedDict):
    text: str
    times: NotRequired[int]
    parts: NotRequired[list[dict[str, str]]]


async def order(call: Call) -> web.StreamResponse:
    return web.json_response(await call.json(Order))


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"text": "x", "more": 1}, None, None),
        ({"text": 1}, "text", "the body: Expected `str`, got `int` - at `$.text`"),
        ({}, "text", "the body: Object missing required field `text`"),
        (
            {"text": "", "parts": [{"a": 1}]},
            "parts",
            "the body: Expected `str`, got `int` - at `$.parts[0][...]`",
        ),
        ([], "body", "the body: Expected `object`, got `array`"),
    ],
)
async def test_a_body_is_checked_against_a_type_of_the_hosts(
    body: Any, field: str | None, detail: str | None
) -> None:
    async with serving(done, routes={"/order": order}) as house:
        answer = await house.post("/order", json=body)
        if field is None:
            assert (answer.status, answer.body) == (200, {"text": "x"})
        else:
            assert (answer.code, answer.body["field"], answer.body["detail"]) == (
                "INVALID_REQUEST",
                field,
                detail,
            )


async def test_a_body_is_bounded_as_the_mount_says() -> None:
    async with serving(done, routes={"/order": order}, max_body=100) as house:
        answer = await house.post("/order", json={"text": "x" * 100})
        assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")


async def test_an_expectation_is_met_as_on_the_mounts_own_routes() -> None:
    async with serving(done, routes={"/order": order}) as house:
        head = f"POST /order HTTP/1.1\r\nHost: {house.host}\r\nContent-Length: 2\r\nExpect: "
        answer = await house.raw(f"{head}tea\r\n\r\n[]".encode())
        assert (answer.status, answer.code) == (417, "EXPECTATION_FAILED")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(f"{head}100-continue\r\nConnection: close\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"[]")
        assert b"INVALID_REQUEST" in await reader.read()
        writer.close()


# -- What a host may do wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("again", ["stream", "events"])
async def test_a_reader_is_used_once(again: str) -> None:
    raised: list[RuntimeError] = []

    async def twice(call: Call) -> web.StreamResponse:
        reader = await call.run("s", "1")
        async for _ in call.events(reader):
            pass
        using = call.stream(reader, Lines()) if again == "stream" else anext(call.events(reader))
        with pytest.raises(RuntimeError, match="follow the turn again") as error:
            await using
        raised.append(error.value)
        return web.Response()

    async with serving(chatty, routes={"/twice": twice}) as house:
        assert (await house.post("/twice")).status == 200
    assert raised


async def test_a_request_may_follow_one_turn_after_another() -> None:
    async def both(call: Call) -> web.StreamResponse:
        found = 0
        for text in ("1", "2"):
            found += sum([len(batch) async for batch in call.events(await call.run("s", text))])
        return await call.stream(
            await call.follow("s", "t1") if found < 0 else await call.run("s", "1"), Lines()
        )

    async with serving(chatty, routes={"/both": both}) as house:
        assert await read(house, "/both") == ["begin", "turn.started", "word", "turn.completed", "end"]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_server_that_shuts_down_refuses_a_request(path: str) -> None:
    async with serving(chatty, routes=ROUTES) as house:
        await house.registry.drain()
        answer = await house.post(path, json={"text": "1"})
        assert (answer.status, answer.code) == (503, "SHUTTING_DOWN")


async def test_what_a_route_raises_itself_is_no_ones_business(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(call: Call) -> web.StreamResponse:
        raise ConnectionError("the host's own database, secret")

    async with serving(done, routes={"/broken": broken}) as house:
        answer = await house.post("/broken")
        assert (answer.status, answer.code) == (500, "INTERNAL")
        assert "secret" not in answer.text
    assert "secret" in caplog.text


async def test_a_hang_up_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    agent = ScriptedAgent()
    async with serving(agent, routes=ROUTES) as house:
        for path in ROUTES:
            run = await hang_up(house, path, agent)
            await run.cancelled.wait()
            await until(lambda: not house.registry.directory.entries["s"].subscribers)
            await house.registry.close("s", free=True)
    assert caplog.text == ""


async def test_a_reader_that_is_not_used_is_closed_with_the_request_and_so_its_turn_ends() -> None:
    agent = ScriptedAgent()

    async def breaks(call: Call) -> web.StreamResponse:
        await call.run("s", "hello", turn_id="t1")
        raise InvalidRequest("on second thoughts")

    async with serving(agent, routes={"/breaks": breaks}) as house:
        assert (await house.post("/breaks")).status == 422
        assert house.registry.directory.entries["s"].subscribers == 0
        await (await agent.run()).cancelled.wait()


# -- A turn that memory does not keep whole ---------------------------------------------------------


@pytest.mark.parametrize("words", [10, 500, 1_234])
async def test_a_turn_is_followed_to_its_end_where_only_the_journal_has_it_whole(words: int) -> None:
    async def stream(call: Call) -> web.StreamResponse:
        return await call.stream(await call.follow("s", "t1"), Lines())

    async def count(call: Call) -> web.StreamResponse:
        return web.json_response(
            sum([len(batch) async for batch in call.events(await call.follow("s", "t1"))])
        )

    ways = {**ROUTES, "/stream": stream, "/count": count}
    async with serving(chatty, journal=MemoryJournal(), routes=ways, log_events=100) as house:
        assert await read(house, "/follow", text=str(words)) == [
            "begin",
            "turn.started",
            *["word"] * words,
            "turn.completed",
            "end",
        ]
        assert len(await read(house, "/stream")) == words + 4
        assert (await house.post("/count")).body == words + 3


async def test_without_a_journal_what_is_not_kept_is_refused() -> None:
    async def stream(call: Call) -> web.StreamResponse:
        return await call.stream(await call.follow("s", "t1"), Lines())

    async with serving(chatty, routes={**ROUTES, "/stream": stream}, log_events=100) as house:
        await house.post("/wait", json={"text": "500"})
        answer = await house.post("/stream")
        assert (answer.status, answer.code) == (410, "EVENTS_LOST")


# -- A turn that ends with its request --------------------------------------------------------------


async def test_a_message_that_was_sent_before_is_followed_from_its_beginning() -> None:
    async def run(call: Call) -> web.StreamResponse:
        return await call.stream(await call.run("s", "2", turn_id="t1"), Lines())

    async with serving(chatty, authenticate=by_token, token=ADA, routes={"/run": run}) as house:
        for _ in range(2):
            said = await read(house, "/run", token=ADA)
            assert said == ["begin", "turn.started", "word", "word", "turn.completed", "end"]


async def test_a_message_that_joins_another_ones_turn_is_answered_with_that() -> None:
    agent = ScriptedAgent()

    async def run(call: Call) -> web.StreamResponse:
        return await call.stream(await call.run("s", "more", strategy="collapse"), Lines())

    async with serving(agent, routes={"/run": run}) as house:
        await house.registry.send("s", "first")
        answers = [asyncio.create_task(read(house, "/run")) for _ in range(2)]
        await until(lambda: house.registry.directory.entries["s"].subscribers == 2)
        (await agent.run()).finish()
        (await agent.run()).finish()
        for answer in await asyncio.gather(*answers):
            assert answer == ["begin", "turn.started", "turn.completed", "end"]
        assert len(agent.runs) == 2


async def test_a_policy_of_the_requests_own_comes_before_that(virtual_clock: VirtualClock) -> None:
    agent = ScriptedAgent()

    async def run(call: Call) -> web.StreamResponse:
        (await call.run("s", "hello", turn_id="t1", policy={"on_disconnect": "continue"})).close()
        return web.Response()

    async with serving(agent, routes={"/run": run}) as house:
        await house.post("/run")
        await virtual_clock.advance(100)
        assert (await house.registry.turn("s", "t1")).status is TurnStatus.RUNNING
