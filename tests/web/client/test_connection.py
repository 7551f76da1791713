import json

import pytest

from tests.fakes import ScriptedAgent, chatty
from tests.web.command.terminal import answering, http
from tests.web.fakes_web import by_token, serving
from turnkeeper.web.client.client import Client
from turnkeeper.web.client.connection import VERSION, Connection
from turnkeeper.web.client.errors import Misconfigured, Refused, Unreachable

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
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="must be like http://127"):
        Connection(url)


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Other: 1", "\x00"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(Misconfigured, match="TURNKEEPER_TOKEN") as refused:
        Connection("http://x", token)

    assert token not in str(refused.value)


# -- Who answers ------------------------------------------------------------------------------------


async def test_a_port_without_a_server_is_reported_with_the_address() -> None:
    async with Connection("http://127.0.0.1:1") as connection:
        with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1:1/: Connection refused"):
            await connection.hello()


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
async def test_something_else_on_that_port_is_reported_and_never_given_the_token(answer: bytes) -> None:
    async with answering(answer) as (url, asked), Connection(url, "s3cret") as connection:
        with pytest.raises(Unreachable):
            await connection.hello()

    assert asked
    assert not any(b"s3cret" in request for request in asked)


@pytest.mark.parametrize(
    ("version", "speaks"), [(VERSION, True), ("0.1.999", True), ("0.2.0", False), ("7.0.0", False)]
)
async def test_a_server_of_another_version_is_reported(version: str, speaks: bool) -> None:
    body = json.dumps({"status": "ok", "incarnation": "1", "version": version})
    async with answering(http(body)) as (url, _), Connection(url) as connection:
        if speaks:
            assert (await connection.hello())["version"] == version
            return
        with pytest.raises(Unreachable, match=f"is turnkeeper '{version}', this is {VERSION}"):
            await connection.hello()


async def test_a_server_under_a_prefix_is_asked_there() -> None:
    async with serving(chatty, prefix="/ai") as house, Client(house.url("/")) as client:
        assert (await client.hello())["status"] == "ok"
        assert await client.active() == {}


# -- Asking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "session", "status", "code"),
    [
        ("", "s", 401, "UNAUTHORIZED"),
        ("x", "s", 401, "UNAUTHORIZED"),
        ("scopeless-token", "s", 403, "SCOPE_MISSING"),
        ("bob-token", "s", 409, "SESSION_ID_TAKEN"),
        ("ada-token", "turns", 422, "INVALID_REQUEST"),
    ],
)
async def test_a_refusal_has_the_servers_status_code_and_words(
    token: str, session: str, status: int, code: str
) -> None:
    async with serving(ScriptedAgent(), authenticate=by_token) as house:
        await house.sent("s", token="ada-token")
        async with Client(house.url(""), token) as client:
            with pytest.raises(Refused) as refused:
                await client.send(session, "t", "hello")

    assert (refused.value.status, refused.value.code) == (status, code)
    assert str(refused.value)


@pytest.mark.parametrize(
    ("token", "says"),
    [(None, "a valid token is needed: set TURNKEEPER_TOKEN"),
     ("wr0ng", "the server does not accept the token in TURNKEEPER_TOKEN")],
)  # fmt: skip
async def test_a_missing_token_is_distinguished_from_a_wrong_one(token: str | None, says: str) -> None:
    async with (
        serving(ScriptedAgent(), authenticate=by_token) as house,
        Client(house.url(""), token) as client,
    ):
        with pytest.raises(Refused) as refused:
            await client.active()

    assert str(refused.value) == says
