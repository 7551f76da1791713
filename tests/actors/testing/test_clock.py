"""A virtual clock for asyncio."""

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from turnkeeper.actors.testing import VirtualClock, settle, virtual_time
from turnkeeper.actors.testing.clock import MONTH

#: For how many real seconds what works elsewhere is waited for: as long as a loaded machine may need.
PATIENCE = 60.0


async def test_timers_ring_in_their_order_and_no_time_is_waited() -> None:
    began, rung = time.monotonic(), list[float]()
    async with virtual_time() as clock:

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            rung.append(clock.elapsed)

        await asyncio.gather(*(sleeper(seconds) for seconds in (3600, 1, 60)))
    assert rung == pytest.approx([1, 60, 3600])
    assert time.monotonic() - began < 60


async def test_what_is_ready_comes_before_any_timer() -> None:
    async with virtual_time() as clock:
        await settle()
        assert clock.elapsed == 0
        await clock.advance(5)
        assert clock.elapsed == pytest.approx(5)
        clock.jump(7)
        assert clock.elapsed == pytest.approx(12)


async def test_the_clock_begins_where_it_is_told_and_the_loop_has_its_own_back_afterwards() -> None:
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    async with virtual_time(1000.0) as clock:
        assert loop.time() == clock.time() == 1000.0
    assert loop._selector is selector
    assert loop.time() == pytest.approx(time.monotonic(), abs=60)


async def test_where_time_jumps_already_there_is_one_clock() -> None:
    async with virtual_time() as clock:
        async with virtual_time() as same:
            assert same is clock
        await asyncio.sleep(100)
        assert clock.elapsed == pytest.approx(100)


async def test_what_a_thread_does_is_waited_for_before_time_goes_on() -> None:
    async with virtual_time(patience=PATIENCE) as clock:
        assert await asyncio.wait_for(asyncio.to_thread(_slowly), timeout=0.001) == "done"
        assert clock.elapsed == 0
        result = await asyncio.wait_for(asyncio.to_thread(_slowly), timeout=0.001)
        assert (result, clock.elapsed) == ("done", 0)


def _slowly() -> str:
    time.sleep(0.02)
    return "done"


async def test_a_thread_of_the_agents_own_is_waited_for_too() -> None:
    loop, heard = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        time.sleep(0.02)
        loop.call_soon_threadsafe(heard.set)

    async with virtual_time(patience=PATIENCE) as clock:
        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.wait_for(heard.wait(), timeout=0.001)
        assert clock.elapsed == 0
    while thread.is_alive():
        await asyncio.sleep(0)


async def test_a_process_is_waited_for_until_it_has_ended() -> None:
    async with virtual_time(patience=PATIENCE) as clock:
        process = await asyncio.create_subprocess_exec("sleep", "0.05")
        assert await asyncio.wait_for(process.wait(), timeout=0.001) == 0
        assert clock.elapsed == 0


async def test_a_connection_with_an_end_elsewhere_is_waited_for_and_one_within_is_not() -> None:
    elsewhere = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
    elsewhere += "print(s.getsockname()[1], flush=True); c = s.accept()[0]; "
    elsewhere += "time.sleep(0.05); c.sendall(b'x'); c.recv(1)"
    async with virtual_time(patience=PATIENCE) as clock:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", elsewhere, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(1), timeout=0.001) == b"x"
        assert clock.elapsed == 0
        writer.close()
        await writer.wait_closed()
        await process.wait()

        server = await asyncio.start_server(_says_nothing, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=3600)
        assert time.monotonic() - began < PATIENCE
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await settle()


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_work_that_goes_on_and_on_is_waited_for_only_so_long() -> None:
    go = threading.Event()
    async with virtual_time(patience=0.05) as clock:
        work = asyncio.ensure_future(asyncio.to_thread(go.wait))
        began = time.monotonic()
        await asyncio.sleep(3600)
        await asyncio.sleep(3600)
        assert time.monotonic() - began < 30
        assert clock.elapsed == pytest.approx(7200)
        go.set()
        await work


async def test_what_waits_for_what_will_not_come_ends_after_a_month() -> None:
    clock = VirtualClock(0)
    clock.jump(MONTH)
    loop = asyncio.new_event_loop()

    async def waits() -> None:
        async with virtual_time():
            await asyncio.wait_for(asyncio.Event().wait(), 2 * MONTH)

    def run() -> None:
        with pytest.raises(AssertionError, match="a month has passed"):
            loop.run_until_complete(waits())
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(run)


async def test_another_kind_of_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    selector = loop.__dict__.pop("_selector")
    try:
        with pytest.raises(RuntimeError, match="a selector, not on a"):
            async with virtual_time():
                pass
    finally:
        loop.__dict__["_selector"] = selector


async def test_the_fixture_is_the_clock_of_the_tests_loop(virtual_clock: VirtualClock) -> None:
    await asyncio.sleep(3600)
    assert virtual_clock.elapsed == pytest.approx(3600)
