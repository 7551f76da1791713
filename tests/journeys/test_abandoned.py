"""What a turn comes to whose readers have gone, over real HTTP (G8)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.fakes import ScriptedAgent
from tests.web.fakes_web import Door, serving, until
from turnkeeper.web import WebSettings, create_app
from turnkeeper.web.server.run import _serve

#: Seconds without a reader after which a turn is cancelled here.
ALONE = 0.4
#: A mounted app notices by its heartbeat that a reader has left.
SETTINGS: dict[str, Any] = {"abandon_after": ALONE, "heartbeat": 0.15, "slow_loop": 0}


@asynccontextmanager
async def mounted(agent: Any, **settings: Any) -> AsyncIterator[Door]:
    async with serving(agent, **SETTINGS, **settings) as house:
        yield house


@asynccontextmanager
async def served(agent: Any, **settings: Any) -> AsyncIterator[Door]:
    """The server of `turnkeeper serve`, in this process: it notices at once that a reader has left."""
    chosen = WebSettings(port=0, **SETTINGS, **settings)
    app = create_app(agent, settings=chosen, pages=False, docs=False)
    stop, addresses = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(_serve(app, chosen, addresses.put_nowait, stop, 0.2))
    port = int((await addresses.get()).rpartition(":")[2].strip("/"))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            yield Door(port, client)
    finally:
        agent.release()
        stop.set()
        await task


both = pytest.mark.parametrize("house_of", [mounted, served], ids=["mounted", "served"])


async def turn_of(door: Door, task: str) -> Any:
    return (await door.get(f"/chat/s/turns/{task}")).body


async def over(door: Door, task: str) -> Any:
    """The turn, once it has ended."""

    async def ended() -> bool:
        return (await turn_of(door, task))["ended_at"] is not None

    await until(ended)
    return await turn_of(door, task)


@both
async def test_a_turn_whose_reader_has_left_is_cancelled_after_a_while(house_of: Any) -> None:
    async with house_of(ScriptedAgent(), on_disconnect="cancel") as door:
        async with door.stream("s") as stream:
            await stream.next()
            task = await door.sent("s")
            await stream.until("turn.started")
            left_at = time.time()
        turn = await over(door, task)
    assert (turn["status"], turn["by"]) == ("cancelled", None)
    assert turn["reason"] == {"code": "client_disconnected", "by": None, "text": f"no reader for {ALONE} s"}
    assert turn["cancel_requested_at"] - left_at > ALONE - 0.05


@both
async def test_a_reader_that_comes_back_in_time_finds_it_running(house_of: Any) -> None:
    async with house_of(ScriptedAgent(), on_disconnect="cancel") as door:
        task = await door.sent("s")
        began, last = time.monotonic(), None
        while time.monotonic() - began < 3 * ALONE:
            query = "" if last is None else f"?last_event_id={last}"
            async with door.stream("s", query) as stream:
                await stream.comment()
                last = stream.parser.last_event_id or last
            assert (await turn_of(door, task))["status"] == "running"
        assert (await over(door, task))["reason"]["code"] == "client_disconnected"


@both
@pytest.mark.parametrize("path", ["/chat/s/turns/{task}/events", "/chat/events?log_ids=s,other"])
async def test_readers_of_the_turn_and_of_several_sessions_count(house_of: Any, path: str) -> None:
    async with house_of(ScriptedAgent(), on_disconnect="cancel") as door:
        task = await door.sent("s")
        async with door.client.get(door.url(path.format(task=task))) as response:
            began = time.monotonic()
            while time.monotonic() - began < 2 * ALONE:
                await response.content.readany()
            assert (await turn_of(door, task))["status"] == "running"
        assert (await over(door, task))["reason"]["code"] == "client_disconnected"


async def test_a_send_that_no_one_ever_reads_is_cancelled_after_a_while() -> None:
    async with mounted(ScriptedAgent(), on_disconnect="cancel") as door:
        turn = await over(door, await door.sent("s"))
        assert turn["reason"]["code"] == "client_disconnected"
        assert turn["cancel_requested_at"] - turn["started_at"] > ALONE - 0.05


async def test_by_default_it_goes_on() -> None:
    async with mounted(ScriptedAgent()) as door:
        async with door.stream("other") as other:
            async with door.stream("s") as stream:
                await stream.next()
                task = await door.sent("s")
            began = time.monotonic()
            while time.monotonic() - began < 2 * ALONE:
                await other.comment()
        assert (await turn_of(door, task))["status"] == "running"
