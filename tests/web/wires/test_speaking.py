"""The wires by their names."""

import re
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import done, plain
from tests.web.fakes_web import by_token, serving
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web import create_app, setup
from turnkeeper.web.wires.speaking import WIRES, wires_named
from turnkeeper.web.wires.wire import Wire


def test_each_is_found_by_its_name_and_once() -> None:
    assert [wire.name for wire in wires_named(["openai", "openai"])] == ["openai"]
    assert wires_named(()) == ()
    for name, wire in WIRES.items():
        assert wire.name == name


@pytest.mark.parametrize("names", ["openai", ["gopher"], [1], None, 5], ids=plain)
def test_what_is_no_name_is_refused(names: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        setup(web.Application(), done, speaks=names)
    assert refused.value.field == "speaks"


async def test_a_mount_speaks_no_other_protocol_unless_it_is_asked_to() -> None:
    async with serving(done) as house:
        assert (await house.get("/v1/models")).status == 404


async def test_a_wire_stands_under_the_prefix_of_its_mount() -> None:
    async with serving(done, prefix="/ai", speaks=["openai"]) as house:
        assert (await house.get("/v1/models")).status == 200


def test_an_app_of_its_own_speaks_all_of_them() -> None:
    paths = {resource.canonical for resource in create_app(done).router.resources()}
    for wire in WIRES.values():
        assert paths.issuperset(route.path for route in wire.routes)


@pytest.mark.parametrize("wire", WIRES.values(), ids=lambda wire: wire.name)
async def test_a_page_of_an_allowed_origin_may_ask_every_route_of_a_wire(wire: Wire) -> None:
    page, other = "http://localhost:3000", "http://evil.example"
    asks = {"Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"}
    async with serving(done, authenticate=by_token, speaks=[wire.name], allow_origin=page) as house:
        for route in wire.routes:
            path = re.sub(r"{\w+}", "x", route.path)
            asks["Access-Control-Request-Method"] = route.method
            answer = await house.ask("OPTIONS", path, headers={**asks, "Origin": page})
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, page)
            assert route.method in answer.headers["Access-Control-Allow-Methods"].split(", ")
            allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
            assert {"authorization", "content-type", "x-stainless-os"} <= set(allowed)
            refused = await house.ask("OPTIONS", path, headers={**asks, "Origin": other})
            assert (refused.status, "Access-Control-Allow-Origin" in refused.headers) == (403, False)
            # What is refused can be read as well.
            unknown = await house.ask(route.method, path, headers={"Origin": page})
            assert (unknown.status, unknown.headers["Access-Control-Allow-Origin"]) == (401, page)


async def test_a_wire_says_nothing_to_browsers_where_no_other_origin_is_allowed() -> None:
    async with serving(done, authenticate=by_token, speaks=["openai"]) as house:
        asks = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
        answer = await house.ask("OPTIONS", "/v1/models", headers=asks)
        assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (405, False)
