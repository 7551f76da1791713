"""A late event loop is noticed from a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import uvloop

from tests.fakes import settle
from turnkeeper.actors.runtime import loop_watch
from turnkeeper.actors.runtime.loop_watch import LoopWatch

#: Seconds after which a loop here is late, and after which what a test waits for does not come.
LATE, PATIENCE = 0.2, 60.0

blocks = pytest.mark.blocks_the_loop("it is late on purpose")


class Watched:
    """A watch of the running loop that notes its stalls; `seen` is set at each of them.

    A busy machine may make the loop late too: `blocked` are those stalls that were made here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, patience: float = LATE) -> None:
        self.stalls: list[tuple[float, list[str]]] = []
        self.seen = threading.Event()
        self.watch = LoopWatch(loop or asyncio.get_running_loop(), patience, self._note)

    def _note(self, late: float, frame: FrameType | None) -> None:
        names: list[str] = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        self.stalls.append((late, names))
        self.seen.set()

    @contextmanager
    def watching(self) -> Iterator[LoopWatch]:
        self.watch.start()
        try:
            yield self.watch
        finally:
            self.watch.stop()

    @property
    def blocked(self) -> list[tuple[float, list[str]]]:
        return [stall for stall in self.stalls if "block" in stall[1]]

    def block(self) -> None:
        """Block the loop until that was noticed."""
        before = len(self.blocked)
        while len(self.blocked) == before:
            self.seen.clear()
            assert self.seen.wait(PATIENCE)

    def stay_blocked(self) -> None:
        """Block the loop until that was noticed, and for some time after that."""
        self.block()
        threading.Event().wait(LATE * 5)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def recovered(watch: LoopWatch) -> None:
    """The loop has answered, and was asked again."""
    asked = watch._asked
    await until(lambda: watch._asked > asked)


def gone(watch: LoopWatch) -> bool:
    return not any(thread.name == "turnkeeper loop watch" for thread in threading.enumerate())


@blocks
async def test_a_loop_that_is_blocked_is_noticed_while_it_is_and_its_stack_is_seen() -> None:
    """G14."""
    watched = Watched()
    with watched.watching() as watch:
        watched.block()
        [(late, names)] = watched.blocked
        assert LATE <= late < PATIENCE
        assert names.index("block") < names.index("run_forever")
        await recovered(watch)
        assert watch.max >= late
        assert watch.count == len(watched.stalls)


@blocks
async def test_a_stall_is_reported_once_however_long_it_lasts_and_the_next_one_again() -> None:
    watched = Watched()
    with watched.watching() as watch:
        watched.stay_blocked()
        assert len(watched.blocked) == 1
        await recovered(watch)
        assert watch.max >= LATE * 5
        watched.stay_blocked()
        await recovered(watch)
        assert len(watched.blocked) == 2
        assert watch.count == len(watched.stalls)


async def test_a_loop_that_answers_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "ASKS", 10_000)  # it is asked often, and may take its time
    watched = Watched(patience=PATIENCE)
    with watched.watching() as watch:
        await until(lambda: watch.now > 0)
    assert not watched.stalls


async def test_when_it_is_stopped_its_thread_ends() -> None:
    watched = Watched()
    with watched.watching() as watch:
        await until(lambda: watch.now > 0)
        assert not gone(watch)
    await until(lambda: gone(watch))


@blocks
async def test_it_can_be_stopped_while_the_loop_is_late() -> None:
    watched = Watched()
    with watched.watching() as watch:
        watched.block()
        watch.stop()
        until_when = time.monotonic() + PATIENCE
        while not gone(watch):
            assert time.monotonic() < until_when
    assert len(watched.blocked) == 1


def hold(seconds: float) -> None:
    """Hold the interpreter for about so long, with one call into C."""
    count, began = 1_000_000, time.monotonic()
    sum(range(count))
    sum(range(int(count * seconds / (time.monotonic() - began))))


@blocks
async def test_what_holds_the_interpreter_itself_is_noticed_when_it_lets_go() -> None:
    """As a regular expression does that takes for ever: the watching thread cannot run either."""
    late = 0.4
    watched = Watched(patience=late)
    with watched.watching() as watch:
        for _ in range(3):  # the machine may take a break from measuring how fast it is
            await recovered(watch)
            await settle()
            hold(4 * late)
            if any("hold" in names for _, names in watched.stalls):
                break
        await recovered(watch)
        assert any("hold" in names for _, names in watched.stalls)
        assert watch.max >= late
        assert watch.count == len(watched.stalls)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_not_being_run_is_not_late_and_is_watched_when_it_is_run_again(new_loop: Any) -> None:
    loop, late = new_loop(), 0.5
    watched = Watched(loop, late)
    with watched.watching() as watch:
        assert not watched.seen.wait(late * 3)
        loop.run_until_complete(until(lambda: watch.now > 0))
        assert not watched.stalls
        assert watch.max < late
    loop.run_until_complete(until(lambda: gone(watch)))
    loop.close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_when_the_loop_is_closed_its_thread_ends(new_loop: Any) -> None:
    loop = new_loop()
    watched = Watched(loop)
    watched.watch.start()
    loop.run_until_complete(until(lambda: watched.watch.now > 0))
    loop.close()

    async def another_one_runs() -> None:
        await until(lambda: gone(watched.watch))

    asyncio.run(another_one_runs())
    # A busy machine may have made the one that was closed late, while it ran.
    assert not any("another_one_runs" in names for _, names in watched.stalls)


@blocks
async def test_a_report_that_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen = threading.Event()

    def fail(late: float, frame: FrameType | None) -> None:
        seen.set()
        raise KeyError("x")

    watch = LoopWatch(asyncio.get_running_loop(), LATE, fail)
    watch.start()
    try:
        for _ in range(2):
            seen.clear()
            assert seen.wait(PATIENCE)
            await recovered(watch)
    finally:
        watch.stop()
    assert watch.count >= 2
    assert "a late event loop could not be reported" in caplog.text
