import asyncio
import logging
from typing import Any

import pytest

from tests.fakes import virtual_time
from turnkeeper.web.server.descriptors import BACKLOG, COMPLAIN_EVERY, SPARE, complain_rarely, raise_limit


def test_this_process_may_have_as_many_descriptors_as_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    asked: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: asked.append(limits))

    assert raise_limit() == (4096 - 512 - BACKLOG, BACKLOG)
    assert asked == [(4096, 4096)]


def test_a_limit_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")

    def refuse(_which: int, _limits: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert raise_limit() == (256 - SPARE - 32, 32)


async def test_connections_that_cannot_be_accepted_are_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    complain_rarely(loop)
    try:
        context = {"message": "socket.accept() out of system resource", "exception": OSError(24, "x")}
        async with virtual_time():
            caplog.set_level(logging.ERROR)
            for _ in range(50):
                loop.call_exception_handler(context)
            await asyncio.sleep(COMPLAIN_EVERY)
            loop.call_exception_handler(context)
    finally:
        loop.set_exception_handler(before)

    assert [record.getMessage() for record in caplog.records] == [
        "could not accept connections, 1 times: OSError",
        "could not accept connections, 50 times: OSError",
    ]
