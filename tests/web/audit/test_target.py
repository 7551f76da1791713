import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from tests.web.fakes_web import free_port
from turnkeeper.actors.model.exceptions import InvalidRequest
from turnkeeper.web.audit.adapters.adapter import Adapter
from turnkeeper.web.audit.adapters.verb import Call
from turnkeeper.web.audit.plan import Pace
from turnkeeper.web.audit.target import CannotAudit, Target, check_url, reached


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost:1/", "http://[::1]:80/x/"])
def test_a_server_on_this_machine_may_be_audited(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://192.0.2.1:80", "http://0.0.0.0:80", "http://localhost.example.com",
     "http://127.0.0.1@example.com/", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://[::1", "",
     "http://127.0.0.1:80/?x=1", "http://127.0.0.1:99999"],
)  # fmt: skip
def test_no_other_server_is_audited(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url)


# -- Asking -----------------------------------------------------------------------------------------


async def asked(answer: web.Response | None, patience: float = 60.0) -> tuple[int, object]:
    """What a target's answer comes to; ``None`` is none at all."""

    async def handle(_request: web.Request) -> web.Response:
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return await Target(client, url, Adapter(), Pace(patience=patience)).ask(Call("GET", "/", {}))
    finally:
        await runner.cleanup()


async def test_an_answer_is_its_status_and_its_json() -> None:
    assert await asked(web.json_response({"a": 1}, status=409)) == (409, {"a": 1})
    assert await asked(web.Response(text="plain")) == (200, None)


async def test_no_answer_is_status_0() -> None:
    assert await asked(None, patience=0.05) == (0, None)


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    assert await asked(web.Response(status=307, headers={"Location": "http://192.0.2.1/"})) == (307, None)


# -- Being there ------------------------------------------------------------------------------------


async def test_a_server_that_takes_no_connections_is_not_audited() -> None:
    with pytest.raises(CannotAudit, match=r"no server answers at http://\S+: Connection refused"):
        async with reached(f"http://127.0.0.1:{free_port()}", "", ""):
            raise AssertionError


async def test_a_turnkeeper_is_started_and_is_gone_afterwards() -> None:
    async with aiohttp.ClientSession() as client:
        async with reached(None, "echo", "http://127.0.0.1:1") as (address, _):
            answer = await client.get(f"{address}/healthz")
            assert "incarnation" in json.loads(await answer.read())
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"{address}/healthz")
