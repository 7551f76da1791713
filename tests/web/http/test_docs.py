"""What is documented is what is there."""

import json
import re
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.fakes import done
from tests.web.fakes_web import House, by_token, running, serving
from turnkeeper.web import REGISTRY, Tokens, setup
from turnkeeper.web.http.body import (
    AdmissionBody,
    CancelManyBody,
    ChangeBody,
    SendJSON,
    StreamBody,
    TicketBody,
    TitleBody,
    decode_admission,
    decode_cancel_many,
    decode_change,
    decode_send,
    decode_stream,
    decode_ticket,
    decode_title,
)
from turnkeeper.web.http.codec import encode
from turnkeeper.web.http.docs import describe
from turnkeeper.web.http.routes import ROUTES, TAGS
from turnkeeper.web.openapi.page import SECURITY


@pytest.fixture(scope="module")
def data() -> Any:
    return msgspec.json.decode(encode(describe(tokens=True, metrics=True)))


def test_every_route_is_documented_and_nothing_else(data: Any) -> None:
    found = {(method.upper(), path) for path, methods in data["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in ROUTES}


def test_a_mount_that_does_not_show_its_figures_documents_no_such_route() -> None:
    documented = describe(tokens=True, metrics=False)["paths"]
    assert set(describe(tokens=True, metrics=True)["paths"]) - set(documented) == {"/metrics"}


def test_every_name_in_the_path_is_a_parameter_and_every_group_has_a_word_about_it() -> None:
    for route in ROUTES:
        named = [each.name for each in route.parameters if each.where == "path"]
        assert named == re.findall(r"\{(\w+)\}", route.path), route.path
        assert route.tag in TAGS


def test_every_reference_leads_somewhere(data: Any) -> None:
    for name in set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', encode(data).decode())):
        assert name in data["components"]["schemas"]


def test_every_member_and_every_parameter_says_what_it_is(data: Any) -> None:
    silent = [
        f"{name}.{member}"
        for name, schema in data["components"]["schemas"].items()
        for member, each in schema.get("properties", {}).items()
        if not says_something(data, each)
    ]
    assert not silent, "these lack a description in their msgspec.Meta"
    assert all(parameter.meaning for route in ROUTES for parameter in route.parameters)


def says_something(data: Any, schema: Any) -> bool:
    ways = [schema, *schema.get("anyOf", ())]
    names = [each["$ref"].rsplit("/", 1)[-1] for each in ways if "$ref" in each]
    return any(
        "description" in each for each in [*ways, *(data["components"]["schemas"][name] for name in names)]
    )


DECODERS: dict[Any, Any] = {
    AdmissionBody: decode_admission,
    CancelManyBody: decode_cancel_many,
    SendJSON: decode_send,
    TicketBody: decode_ticket,
    ChangeBody: decode_change,
    TitleBody: decode_title,
    StreamBody: decode_stream,
}


def test_every_example_of_a_body_is_one_that_is_taken() -> None:
    for route in ROUTES:
        for body in route.examples.values():
            DECODERS[route.body](json.dumps(body).encode())
        assert bool(route.examples) == (route.body is not None), "a body has examples"


def test_every_example_of_an_answer_is_of_its_type(data: Any) -> None:
    for route in ROUTES:
        responses = data["paths"][route.path][route.method.lower()]["responses"]
        for status, answer in route.answers.items():
            if answer.kind is None:
                assert "content" not in responses[str(status)]
                continue
            example = responses[str(status)]["content"][answer.media].get("example")
            if answer.media not in ("text/event-stream", "text/plain"):
                read = msgspec.json.decode(msgspec.json.encode(example), type=answer.kind)
                assert msgspec.json.decode(encode(read)) == example


def test_every_word_that_goes_over_the_wire_says_what_it_means(data: Any) -> None:
    for name, schema in data["components"]["schemas"].items():
        for word in schema.get("enum", ()):
            assert f"* `{word}`: " in schema["description"], name  # a word of the vocabulary is a `Word`


@pytest.fixture(params=[None, by_token, Tokens(["ada:s3cret"])], ids=["local", "host's own", "tokens"])
def documented(request: pytest.FixtureRequest) -> web.Application:
    # Made before the loop runs, because the page's files are read.
    app = web.Application()
    setup(app, done, prefix="/ai", docs=True, authenticate=request.param)
    return app


PATHS = ("/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui/swagger-ui-bundle.js")


async def test_a_user_who_may_ask_is_shown_the_document_and_its_page(documented: web.Application) -> None:
    async with running(documented, documented[REGISTRY], prefix="/ai") as house:
        answers = [await house.get(path) for path in PATHS]

        assert [answer.status for answer in answers] == [200] * len(PATHS)
        document, page, *_ = answers
        assert document.body["openapi"].startswith("3.1")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Content-Security-Policy"] == SECURITY["Content-Security-Policy"]
        for path in PATHS:
            refused = await house.post(path)
            assert (refused.status, refused.code, refused.headers["Allow"]) == (
                405,
                "METHOD_NOT_ALLOWED",
                "GET, HEAD",
            )


@pytest.fixture(params=["", "/ai"])
def spoken(request: pytest.FixtureRequest) -> tuple[web.Application, str]:
    """An app that speaks to other clients, too, and its prefix."""
    app = web.Application()
    setup(app, done, prefix=request.param, docs=True, speaks=["openai", "ai-sdk"])
    return app, request.param


async def test_other_protocols_are_named_and_not_described(spoken: tuple[web.Application, str]) -> None:
    app, prefix = spoken
    async with running(app, app[REGISTRY], prefix=prefix) as house:
        document = (await house.get("/openapi.json")).body
        alone = describe(tokens=False, metrics=False)
        assert document["info"]["description"].endswith(
            f"\n\n* OpenAI's API at `{prefix}/v1`\n* the AI SDK's useChat at `{prefix}/api/chat`"
        )
        assert "also speaks" not in alone["info"]["description"]
        assert document["paths"].keys() == alone["paths"].keys()


async def test_only_a_server_with_tokens_says_how_they_are_sent(documented: web.Application) -> None:
    async with running(documented, documented[REGISTRY], prefix="/ai") as house:
        schemes = (await house.get("/openapi.json")).body["components"].get("securitySchemes", {})
        answer = await house.get("/chat/active_send_tasks", token="ada:s3cret")

        assert ("bearer" in schemes) == (answer.status == 200 and not await is_open(house))


async def is_open(house: House) -> bool:
    """Whether it is open to everyone."""
    return (await house.get("/chat/active_send_tasks")).status == 200


async def test_a_server_without_tokens_shows_it_to_this_machine_only(documented: web.Application) -> None:
    async with running(documented, documented[REGISTRY], prefix="/ai") as house:
        expected = 403 if await is_open(house) else 200
        for path in PATHS:
            assert (await house.get(path, headers={"Host": "evil.example"})).status == expected


async def test_a_mount_documents_itself_only_if_it_is_asked_to() -> None:
    async with serving(done) as house:
        for path in PATHS:
            answer = await house.get(path)
            assert (answer.status, answer.headers["Content-Type"][:10]) == (404, "text/plain")
