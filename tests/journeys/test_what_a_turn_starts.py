"""A bash tool's grandchildren are gone before its Stop is answered over HTTP, seen with ``ps`` (G3, G13)."""

import asyncio
import threading
from typing import Any

from tests.web.fakes_web import House, by_token, serving
from turnkeeper.actors.turn.turn import Turn

#: A child that ends with SIGTERM, one that ignores it and has a child, and one in a group of its own.
TOOL = 'sleep 1000 & (trap "" TERM; echo ready; sleep 1000; sleep 1000) & set -m; sleep 1000 & wait'
ADA = "ada-token"


class Tool:
    """An agent whose tool runs a shell."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.leader = 0

    async def __call__(self, turn: Turn) -> None:
        async with turn.process("bash", "-c", TOOL) as process:
            assert process.stdout is not None
            self.leader = process.pid
            await process.stdout.readline()
            self.ready.set()
            await process.wait()


async def running(session: int) -> list[str]:
    """What `ps` shows of that session, but for what has ended and was not reaped."""
    ps = await asyncio.create_subprocess_exec(
        "ps", "-e", "-o", "sid=,stat=,args=", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ps.communicate()
    lines = [line.split(None, 2) for line in out.decode().splitlines()]
    return [args[0] for sid, state, *args in lines if int(sid) == session and state[0] not in "ZX"]


async def stop(house: House, **query: Any) -> Any:
    return (await house.post("/chat/s/cancel_send_task", **query)).body


async def test_ps_shows_none_of_a_tools_processes_when_its_stop_is_answered() -> None:
    tool = Tool()
    async with serving(tool, authenticate=by_token, token=ADA, cancel_grace=1.0) as house:
        await house.sent("s", "run it")
        await tool.ready.wait()
        assert len(await running(tool.leader)) > 1, "the shell, and what it has started"
        assert (await stop(house))["verdict"] == "cancelled"
        assert await running(tool.leader) == []


async def test_a_thread_that_never_returns_is_said_to_run_still_and_the_session_goes_on() -> None:
    """G6: and its place is taken, as the figures for `/metrics` show."""
    go, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def plain(turn: Turn) -> str:
        if turn.text == "for ever":
            loop.call_soon_threadsafe(started.set)
            go.wait(60)
        return "done"

    async with serving(plain, authenticate=by_token, token=ADA, cancel_grace=0.1) as house:
        task = await house.sent("s", "for ever")
        await started.wait()
        try:
            stopped = await stop(house)
            assert stopped["verdict"] == "unresponsive"
            turn = (await house.get(f"/chat/s/turns/{task}")).body
            said = stopped["still_running"], stopped["turn"]["still_running"], turn["still_running"]
            assert said == ({"tasks": 0, "threads": 1, "processes": 0},) * 3
            figures = {gauge.name: number() for gauge, number in house.registry.meter.gauges}
            assert figures == {"threads_busy": 1, "threads_waiting": 0, "processes": 0}
            await house.sent("s", "next")
        finally:
            go.set()
            while (await house.registry.turn("s", task)).ended_late is None:
                await asyncio.sleep(0)
