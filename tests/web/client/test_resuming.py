import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tests.fakes import virtual_time
from turnkeeper.web.client.connection import Connection
from turnkeeper.web.client.errors import Unreachable
from turnkeeper.web.client.resuming import PAUSES, resumed

PATIENCE = 30.0


class Server(Connection):
    """A server as its client sees it: there or not."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.is_there = True
        self.asked = 0

    async def hello(self) -> dict[str, Any]:
        self.asked += 1
        if not self.is_there:
            raise Unreachable("it is away")
        return {"incarnation": "1"}


async def test_a_server_that_stays_away_is_given_up_after_the_patience_and_reported_once() -> None:
    server, notices = Server(), list[str]()

    async def connect() -> AsyncGenerator[int, None]:
        yield 1
        server.is_there = False
        raise Unreachable("it has left")

    async with virtual_time() as clock:
        async with aclosing(resumed(server, connect, PATIENCE, notices.append)) as found:
            assert await anext(found) == 1
            with pytest.raises(Unreachable, match="it is away"):
                await anext(found)
        assert PATIENCE < clock.elapsed <= PATIENCE + PAUSES[1]

    assert notices == ["it has left; trying again"]


async def test_one_that_was_quiet_for_long_and_then_away_is_waited_for_as_long_as_any_other() -> None:
    server, notices, connections = Server(), list[str](), 0

    async def connect() -> AsyncGenerator[int, None]:
        nonlocal connections
        connections += 1
        yield connections
        await asyncio.sleep(10 * PATIENCE)
        server.is_there = False
        asyncio.get_running_loop().call_later(PATIENCE / 2, setattr, server, "is_there", True)
        raise Unreachable("it has left")

    async with virtual_time(), aclosing(resumed(server, connect, PATIENCE, notices.append)) as found:
        assert [await anext(found) for _ in range(3)] == [1, 2, 3]

    assert notices == ["it has left; trying again", "connected again"] * 2


async def test_one_that_cuts_off_every_stream_at_once_is_given_up_all_the_same() -> None:
    server = Server()

    async def connect() -> AsyncGenerator[int, None]:
        raise Unreachable("it has cut the stream off")
        yield 1

    async with virtual_time() as clock:
        async with aclosing(resumed(server, connect, PATIENCE, lambda _: None)) as found:
            with pytest.raises(Unreachable, match="cut the stream off"):
                await anext(found)
        assert PATIENCE < clock.elapsed <= PATIENCE + PAUSES[1]


async def test_one_that_was_never_reached_is_not_tried_again() -> None:
    server = Server()
    server.is_there = False

    def connect() -> AsyncGenerator[int, None]:
        raise AssertionError("there is no server")

    with pytest.raises(Unreachable, match="it is away"):
        await anext(resumed(server, connect, PATIENCE, pytest.fail))
    assert server.asked == 1
