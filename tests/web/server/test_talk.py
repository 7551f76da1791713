import asyncio
import json
import logging
import signal

import aiohttp
import pytest
from aiohttp import web

from tests.web.fakes_web import PATIENCE, served
from turnkeeper.web.server.talk import SERVER, http_logger, name_server


@pytest.fixture
def http(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO)
    return http_logger()


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.http_exceptions.BadHttpMessage("secret"),
        web.RequestPayloadError("secret"),
        aiohttp.ClientPayloadError("secret"),
        ConnectionResetError("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_the_peers_doing_is_one_line_that_quotes_nothing(
    error: Exception, http: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    http.error("Error handling request from %s", "somewhere", exc_info=error)

    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert type(error).__name__ in record.getMessage()
    assert "secret" not in caplog.text


def test_what_is_our_own_doing_keeps_its_traceback(
    http: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    http.error("Error handling request from %s", "somewhere", exc_info=ValueError("ours"))

    assert "ValueError: ours" in caplog.text


async def test_an_answer_names_the_server_without_versions() -> None:
    response = web.Response()
    await name_server(None, response)  # type: ignore[arg-type]

    assert response.headers["Server"] == SERVER == "turnkeeper"


async def test_what_is_not_http_is_refused_with_a_problem_body_and_no_version() -> None:
    async with served() as (process, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"HELO example\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
        writer.close()

        assert head.startswith(b"HTTP/1.0 400")
        assert b"Server: turnkeeper\r\n" in head + b"\r\n"
        assert json.loads(body)["code"] == "MALFORMED_REQUEST"
        process.signal(signal.SIGTERM)
        await process.ended()
        assert (await process.complaint()).count("\n") == 1
