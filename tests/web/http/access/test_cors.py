"""Pages of other origins, as a browser asks for them (Fetch standard, section 3.2)."""

from typing import Any

import pytest
from aiohttp import web

from tests.fakes import ScriptedAgent, done
from tests.web.fakes_web import Answer, House, by_token, running, serving
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web import WebSettings, create_app, setup

PAGE, OTHER = "http://localhost:3000", "http://evil.example"
ALLOWED = "Access-Control-Allow-Origin"


def shared(answer: Answer) -> dict[str, str]:
    """What an answer says about pages of other origins."""
    names = [name for name in answer.headers if name.startswith("Access-Control-") or name == "Vary"]
    return {name: answer.headers[name] for name in names}


async def preflight(house: House, path: str, origin: str, method: str = "POST") -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return await house.ask("OPTIONS", path, headers=headers)


@pytest.mark.parametrize(
    "path", ["/chat", "/chat/s", "/chat/s/send", "/chat/active_send_tasks", "/chat/ticket", "/healthz"]
)
@pytest.mark.parametrize("authenticate", [None, by_token])
async def test_a_browser_may_ask_with_our_methods_and_headers_for_a_page_of_an_allowed_origin(
    path: str, authenticate: Any
) -> None:
    async with serving(done, authenticate=authenticate, allow_origin=PAGE) as house:
        answer = await preflight(house, path, PAGE)
        assert (answer.status, answer.text) == (204, "")
        assert answer.headers[ALLOWED] == PAGE
        assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
        for name in ("Authorization", "Content-Type", "Last-Event-ID", "If-Match", "Idempotency-Key"):
            assert name in answer.headers["Access-Control-Allow-Headers"]
        assert int(answer.headers["Access-Control-Max-Age"]) > 0


async def test_a_page_may_ask_with_headers_of_its_own_and_what_is_no_name_of_a_header_is_passed_over() -> (
    None
):
    async with serving(done, authenticate=by_token, allow_origin=PAGE) as house:
        headers = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-api-key, x-stainless-lang ,no name,\u00e9,",
        }
        answer = await house.ask("OPTIONS", "/chat/s/send", headers=headers)
        assert answer.headers["Access-Control-Allow-Headers"] == (
            "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, "
            "x-api-key, x-stainless-lang"
        )


async def test_a_preflight_of_another_origin_is_refused_and_so_are_other_uses_of_options() -> None:
    async with serving(done, authenticate=by_token, allow_origin=PAGE) as house:
        foreign = await preflight(house, "/chat/s/send", OTHER)
        assert (foreign.status, foreign.code, ALLOWED in foreign.headers) == (403, "FOREIGN_ORIGIN", False)
        plain = await house.ask("OPTIONS", "/chat/s/send", headers={"Origin": PAGE})
        assert (plain.status, plain.code) == (403, "FOREIGN_ORIGIN")
    async with serving(done, authenticate=by_token) as house:
        assert (await preflight(house, "/chat/s/send", PAGE)).status == 401


async def test_a_page_of_an_allowed_origin_reads_answers_refusals_and_streams() -> None:
    async with serving(ScriptedAgent(), authenticate=by_token, allow_origin=f"{PAGE},https://a.b") as house:
        page = {"Origin": PAGE}
        sent = await house.send("s", token="ada-token", headers=page)
        assert sent.status == 202
        assert shared(sent) == {
            ALLOWED: PAGE,
            "Access-Control-Expose-Headers": (
                "Allow, Location, Retry-After, Turnkeeper-Code, WWW-Authenticate, X-Should-Retry"
            ),
            "Vary": "Origin",
        }
        for answer in (
            await house.get("/chat/s", headers=page),
            await house.get("/chat/none", headers=page, token="ada-token"),
            await house.ask("PUT", "/chat/s", headers=page, token="ada-token"),
            await house.get("/chat/s/events", headers=page, token="ada-token"),
        ):
            assert answer.headers[ALLOWED] == PAGE, answer.text
        async with house.stream("s", headers={"Origin": "https://A.b"}, token="ada-token") as stream:
            await stream.until("turn.started")
            assert stream.response.headers.getall(ALLOWED) == ["https://A.b"]


@pytest.mark.parametrize("headers", [{"Origin": OTHER}, {"Origin": "null"}, {}])
async def test_other_pages_read_nothing_and_a_cache_knows_that_it_depends_on_the_page(
    headers: dict[str, str],
) -> None:
    async with serving(done, authenticate=by_token, allow_origin=PAGE) as house:
        answer = await house.send("s", token="ada-token", headers=headers)
        assert answer.status == 202
        assert shared(answer) == {"Vary": "Origin"}


async def test_without_allowed_origins_nothing_is_said_of_them() -> None:
    async with serving(done, authenticate=by_token) as house:
        assert shared(await house.send("s", token="ada-token", headers={"Origin": PAGE})) == {}


async def test_all_pages_may_read_where_that_is_wanted_but_never_with_cookies() -> None:
    async with serving(done, authenticate=by_token, allow_origin="*") as house:
        answer = await house.send("s", token="ada-token", headers={"Origin": OTHER})
        assert answer.headers[ALLOWED] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert (await preflight(house, "/chat/s/send", OTHER)).status == 204


async def test_cookies_are_for_the_pages_that_are_named() -> None:
    async with serving(done, authenticate=by_token, allow_origin=PAGE, allow_credentials=True) as house:
        for origin, allowed in ((PAGE, "true"), (OTHER, None)):
            answer = await house.send("s", token="ada-token", headers={"Origin": origin})
            assert answer.headers.get("Access-Control-Allow-Credentials") == allowed


async def test_without_tokens_a_page_of_an_allowed_origin_is_served_and_no_other() -> None:
    async with serving(done, allow_origin=PAGE) as house:
        for origin, status in ((PAGE, 202), (OTHER, 403)):
            for site in ("same-site", "cross-site"):
                answer = await house.send("s", headers={"Origin": origin, "Sec-Fetch-Site": site})
                assert answer.status == status
        rebound = await house.send("s", headers={"Origin": PAGE, "Host": "evil.example"})
        assert rebound.code == "FOREIGN_HOST"


def test_without_users_not_every_page_there_is_may_do_everything() -> None:
    with pytest.raises(InvalidRequest) as refused:
        create_app(done, settings=WebSettings(allow_origin="*"))
    assert refused.value.field == "allow_origin"
    create_app(done, settings=WebSettings(allow_origin="*"), authenticate=by_token)


async def test_each_of_two_mounts_says_it_once_and_the_hosts_own_answers_say_nothing() -> None:
    app = web.Application()
    chosen = WebSettings(allow_origin=PAGE, slow_loop=0)
    registry = setup(app, done, authenticate=by_token, settings=chosen)
    setup(app, done, prefix="/ai", authenticate=by_token, settings=chosen)

    async def own(_request: web.Request) -> web.Response:
        return web.Response(text="mine")

    app.router.add_get("/own", own)
    async with running(app, registry) as house:
        for path in ("/healthz", "/ai/healthz"):
            async with house.client.get(house.url(path), headers={"Origin": PAGE}) as response:
                assert response.headers.getall(ALLOWED) == [PAGE]
        assert shared(await house.get("/own", headers={"Origin": PAGE})) == {}
