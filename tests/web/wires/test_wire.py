"""What a wire does not serve, in an app of its own and in a host's."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import done
from tests.web.fakes_web import House, by_token, running, serving
from turnkeeper.web import REGISTRY, WebSettings, create_app

PAGE = "http://localhost:3000"
UNSERVED = ["/v1", "/v1/embeddings", "/v1/images/generations", "/v1/conversations/c/items/i"]


@pytest.fixture
def app() -> web.Application:
    return create_app(done, settings=WebSettings(slow_loop=0), authenticate=by_token)


@pytest.fixture
def open_app() -> web.Application:
    """One that pages of another origin may use."""
    return create_app(done, settings=WebSettings(slow_loop=0, allow_origin=PAGE), authenticate=by_token)


@pytest.fixture
async def house(app: web.Application) -> AsyncIterator[House]:
    async with running(app, app[REGISTRY], token="ada-token") as house:
        yield house


def refusals(house: House) -> Mapping[str, int]:
    return house.registry.meter.refusals


@pytest.mark.parametrize("path", UNSERVED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_served_is_refused_as_that_api_does(house: House, method: str, path: str) -> None:
    answer = await house.ask(method, path)
    error = answer.body["error"]
    assert (answer.status, error["code"]) == (404, "not_found")
    assert error["message"] == f"turnkeeper does not serve {path}"
    assert refusals(house)["NOT_FOUND"] == 1


async def test_of_a_long_path_only_the_beginning_is_repeated(house: House) -> None:
    answer = await house.get("/v1/" + 1000 * "x")
    assert answer.body["error"]["message"] == "turnkeeper does not serve /v1/" + 196 * "x"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/responses/r", "GET, DELETE"),
        ("POST", "/v1/models", "GET"),
    ],
)
async def test_another_method_is_refused_as_that_api_does(
    house: House, method: str, path: str, allowed: str
) -> None:
    answer = await house.ask(method, path)
    assert (answer.status, answer.body["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed
    assert refusals(house)["METHOD_NOT_ALLOWED"] == 1


async def test_a_chat_is_answered_in_its_own_form(house: House) -> None:
    answer = await house.get("/api/chat/c/history")
    assert (answer.status, answer.text) == (404, "turnkeeper does not serve /api/chat/c/history")
    answer = await house.get("/api/chat")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_who_asks_is_asked_first(house: House) -> None:
    answer = await house.get("/v1/embeddings", token="nonsense")
    assert (answer.status, answer.body["error"]["code"]) == (401, "invalid_api_key")


async def test_what_is_served_still_is(house: House) -> None:
    body: Any = {"input": "hello"}
    response = await house.post("/v1/responses", json=body)
    assert response.status == 200
    assert (await house.get(f"/v1/responses/{response.body['id']}")).body == response.body


async def test_the_rest_of_a_host_s_paths_are_the_host_s() -> None:
    async with serving(done, speaks=["openai"]) as house:
        answer = await house.get("/v1/embeddings")
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
        assert not refusals(house)


@pytest.mark.parametrize("path", ["/v1/responses", "/api/chat", *UNSERVED])
async def test_a_page_of_an_allowed_origin_reads_what_is_refused(
    open_app: web.Application, path: str
) -> None:
    async with running(open_app, open_app[REGISTRY], token="ada-token") as house:
        asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        assert (await house.ask("OPTIONS", path, headers=asks)).status == 204
        answer = await house.ask("PUT", path, headers={"Origin": PAGE})
        assert answer.status in (404, 405)
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
