import asyncio
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import FOREVER, ScriptedAgent, done, plain
from tests.web.fakes_web import Stream, running, serving
from turnkeeper.actors.model.exceptions import AlreadyStarted, InvalidRequest
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.context import Context
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.web import REGISTRY, Tokens, WebSettings, create_app, setup

PAGES = web.AppKey("pages", bool)

# -- Mounting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/ai", "/a/b-c"])
async def test_a_mount_answers_under_its_prefix_and_nowhere_else(prefix: str) -> None:
    async with serving(done, prefix=prefix) as house:
        answer = await house.send("s")
        assert answer.status == 202
        assert answer.headers["Location"] == f"{prefix}/chat/s/turns/{answer.body['task_id']}"
        assert (await house.get("/healthz")).status == 200
        if prefix:
            async with house.client.get(f"http://{house.host}/healthz") as elsewhere:
                assert elsewhere.status == 404


@pytest.mark.parametrize("prefix", ["/", "ai", "/ai/", "/{x}", " ", "ai/"])
def test_a_prefix_of_another_form_is_refused(prefix: str) -> None:
    app = web.Application()

    with pytest.raises(InvalidRequest) as refused:
        setup(app, done, prefix=prefix)

    assert refused.value.field == "prefix"
    assert not list(app.router.routes())


@pytest.mark.parametrize("agents", [None, {}, "echo", {"a": 1}, {1: done}])
def test_what_is_no_agent_is_refused_before_anything_is_mounted(agents: Any) -> None:
    app = web.Application()

    with pytest.raises(InvalidRequest) as refused:
        setup(app, agents)

    assert refused.value.field == "agents"
    assert not list(app.router.routes())
    setup(app, done)


@pytest.mark.parametrize(
    ("argument", "wrong", "why"),
    [
        ("authenticate", lambda: None, "authenticate cannot be called with a request"),
        ("authenticate", Tokens, "authenticate is a class: pass an instance"),
        ("authenticate", "ada:s3cret", "authenticate cannot be called"),
        ("load_context", done, "load_context cannot be called with a session and a user"),
        ("save_context", lambda: None, "save_context cannot be called with a context"),
        ("settings", {"cancel_grace": 1}, "settings are a dict: pass WebSettings(**settings)"),
        ("settings", Settings(), "settings are a Settings: pass WebSettings(...)"),
    ],
    ids=plain,
)
def test_what_could_not_work_is_refused_before_anything_is_mounted(
    argument: str, wrong: Any, why: str
) -> None:
    app = web.Application()
    with pytest.raises(InvalidRequest) as caught:
        setup(app, done, **{argument: wrong})
    assert (str(caught.value), caught.value.field) == (why, argument)
    assert not list(app.router.routes())
    setup(app, done)


def test_a_second_mount_under_the_same_prefix_is_an_error_and_changes_nothing() -> None:
    app = web.Application()
    setup(app, done, prefix="/ai")
    before = (len(app.router.routes()), len(app.cleanup_ctx), len(app.on_shutdown))

    with pytest.raises(AlreadyStarted, match="/ai"):
        setup(app, done, prefix="/ai")

    assert (len(app.router.routes()), len(app.cleanup_ctx), len(app.on_shutdown)) == before


async def test_two_mounts_keep_their_sessions_apart() -> None:
    app = web.Application()
    first = setup(app, ScriptedAgent(), prefix="/a")
    second = setup(app, done, prefix="/b", settings=WebSettings(max_body=100))

    async with running(app, first) as house:
        assert app[REGISTRY] is first
        assert (await house.post("/a/chat/s/send", json={"message": "x"})).status == 202
        assert (await house.get("/b/chat/s")).status == 404
        assert (await house.post("/b/chat/s/send", json={"message": "x" * 100})).status == 413
        assert (await house.post("/a/chat/s/send", json={"message": "x" * 100})).status == 202
        incarnations = {(await house.get(f"/{mount}/healthz")).body["incarnation"] for mount in "ab"}
        assert incarnations == {first.incarnation, second.incarnation}


async def test_the_hosts_own_code_finds_the_registry_in_its_app() -> None:
    async def mine(request: web.Request) -> web.Response:
        receipt = await request.app[REGISTRY].send("s", "hello", user="ada")
        return web.Response(text=await receipt.result())

    app = web.Application()
    registry = setup(app, done)
    app.router.add_get("/mine", mine)
    async with running(app, registry) as house:
        assert (await house.get("/mine")).text == "done: hello"


async def test_a_mount_in_a_subapp_gives_locations_that_hold() -> None:
    sub = web.Application()
    registry = setup(sub, ScriptedAgent())
    app = web.Application()
    app.add_subapp("/deep/er", sub)

    async with running(app, registry, prefix="/deep/er") as house:
        answer = await house.send("s")
        assert answer.status == 202
        async with house.client.get(f"http://{house.host}{answer.headers['Location']}") as turn:
            assert turn.status == 200
        async with house.stream("s") as stream:
            await stream.until("turn.started")
            await house.post("/chat/s/cancel_send_task")
            assert (await stream.rest())[-1].event == "close"
    assert not registry.accepting


async def test_nothing_of_the_hosts_is_touched() -> None:
    seen: list[str] = []

    @web.middleware
    async def hosts(request: web.Request, handler: Any) -> Any:
        seen.append(request.path)
        return await handler(request)

    async def upload(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def fails(_request: web.Request) -> web.Response:
        raise web.HTTPGone(text="short and stout")

    app = web.Application(middlewares=[hosts], client_max_size=100)
    app.router.add_post("/upload", upload)
    app.router.add_get("/fails", fails)
    registry = setup(app, done, prefix="/ai", settings=WebSettings(max_body=1000))
    assert list(app.middlewares) == [hosts]

    async with running(app, registry) as house:
        assert (await house.post("/upload", data=b"x" * 50)).text == "50"
        too_large = await house.post("/upload", data=b"x" * 500)
        assert (too_large.status, too_large.headers["Content-Type"][:10]) == (413, "text/plain")
        assert (await house.post("/ai/chat/s/send", json={"message": "x" * 500})).status == 202
        assert (await house.post("/ai/chat/s/send", json={"message": "x" * 1000})).status == 413
        assert (await house.get("/fails")).text == "short and stout"
        assert (await house.get("/nowhere")).headers["Content-Type"][:10] == "text/plain"
    assert seen.count("/ai/chat/s/send") == 2, "the host's middlewares see our requests too"


async def test_a_host_brings_its_own_contexts() -> None:
    kept: list[Context] = []

    async def load(session_id: str, user: str) -> Context:
        return Context(session_id, user, messages=["from the host"])

    async def save(context: Context) -> None:
        kept.append(context)

    async def agent(turn: Turn) -> None:
        turn.context.messages.append(turn.text)

    app = web.Application()
    registry = setup(app, agent, load_context=load, save_context=save)
    async with running(app, registry) as house, house.stream("s") as stream:
        await house.sent("s", "hi")
        await stream.until("turn.completed")
    assert [context.messages for context in kept] == [["from the host", "hi"]]


@pytest.fixture(params=[True, False], ids=["pages", "no pages"])
def with_or_without_pages(request: pytest.FixtureRequest) -> web.Application:
    # Made before the loop runs, because the page's files are read.
    app = web.Application()
    setup(app, done, prefix="/ai", pages=request.param)
    app[PAGES] = request.param
    return app


async def test_the_page_is_there_if_it_is_asked_for(with_or_without_pages: web.Application) -> None:
    app = with_or_without_pages
    async with running(app, app[REGISTRY], prefix="/ai") as house:
        assert (await house.get("/")).status == (200 if app[PAGES] else 404)


@pytest.fixture
def app_of_its_own() -> web.Application:
    return create_app(done)


async def test_an_app_of_its_own_has_the_page_at_the_root(app_of_its_own: web.Application) -> None:
    async with running(app_of_its_own, app_of_its_own[REGISTRY]) as house:
        page = await house.get("/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


# -- The registry's life in the app's -----------------------------------------------------------------


async def test_the_registry_lives_as_long_as_the_app() -> None:
    async with serving(done) as house:
        registry = house.registry
        assert registry.accepting
    assert not registry.accepting


async def test_a_host_whose_own_start_fails_leaves_no_registry_behind() -> None:
    async def fails(_app: web.Application) -> None:
        raise RuntimeError("no database")

    app = web.Application()
    registry = setup(app, done)
    app.on_startup.append(fails)
    runner = web.AppRunner(app)
    with pytest.raises(RuntimeError, match="no database"):
        await runner.setup()
    await runner.cleanup()

    assert not registry.accepting


async def test_on_shutdown_streams_are_closed_and_cleanup_does_not_wait_for_them() -> None:
    agent = ScriptedAgent()
    async with serving(agent, runner={"shutdown_timeout": 60.0}) as house:
        await house.sent("s")
        async with house.stream("s") as busy, house.stream("idle") as idle:
            await busy.until("turn.started")
            await idle.until("snapshot")
            async with asyncio.timeout(30):
                await house.runner.cleanup()
            *_, terminal, close = await busy.rest()
            assert (terminal.event, terminal.json["reason"]["code"]) == ("turn.cancelled", "shutdown")
            assert (close.event, close.data) == ("close", "Server shutting down")
            assert [(each.event, each.data) for each in await idle.rest()] == [
                ("close", "Server shutting down")
            ]


async def test_on_shutdown_no_mount_waits_for_another_ones_stubborn_turns() -> None:
    stubborn = ScriptedAgent(swallows=FOREVER)
    app = web.Application()
    patient = WebSettings(cancel_grace=60.0, shutdown_deadline=60.0)
    first = setup(app, stubborn, prefix="/a", settings=patient)
    setup(app, ScriptedAgent(), prefix="/b")
    async with running(app, first) as house:
        await house.post("/a/chat/s/send", json={"message": "x"})
        run = await stubborn.run()
        response = await house.client.get(house.url("/b/chat/s/events"))
        stream = Stream(response)
        await stream.until("snapshot")
        ending = asyncio.create_task(house.runner.cleanup())
        try:
            await run.cancelled.wait()
            assert (await stream.until("close")).data == "Server shutting down"
        finally:
            stubborn.release()
            await ending


async def test_everyone_who_waits_is_answered_on_shutdown() -> None:
    agent = ScriptedAgent(swallows=FOREVER)
    async with serving(agent, shutdown_deadline=0.8) as house:
        task = await house.sent("s")
        run = await agent.run()
        cancel = asyncio.create_task(house.post(f"/chat/s/{task}/cancel"))
        await run.cancelled.wait()
        successor = asyncio.create_task(house.send("s"))
        while not (await house.get("/chat/s")).body["queue"]:
            pass
        async with asyncio.timeout(30):
            await house.runner.cleanup()

        assert (await cancel).body["verdict"] == "unresponsive"
        answer = await successor
        assert (answer.status, answer.body["task_status"]) == (202, "cancelled")
