"""Whose turn runs on the event loop's thread, and what is logged when the loop is late."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from traceback import walk_stack
from typing import Any

import pytest
import uvloop

from tests.fakes import done, opened, plain, waiting
from turnkeeper.actors.model.logger import logger
from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.turn.agent import Agent
from turnkeeper.actors.turn.turn import Turn
from turnkeeper.actors.turn.whose import turn_of

# -- Whose turn -------------------------------------------------------------------------------------


def here() -> Turn | None:
    """The turn for which this very line runs."""
    return turn_of(frame for frame, _ in walk_stack(None))


async def in_its_coroutine(turn: Turn) -> Turn | None:
    await asyncio.sleep(0)
    return here()


def in_a_plain_function(turn: Turn) -> Any:
    found = here()

    async def answer() -> Turn | None:
        return found

    return answer()


async def in_a_generator(turn: Turn) -> AsyncIterator[tuple[str, bool]]:
    yield "found", here() is turn


async def in_a_task(turn: Turn) -> Turn | None:
    async def look() -> Turn | None:
        await asyncio.sleep(0)
        return here()

    return await asyncio.create_task(look())


async def in_a_callback(turn: Turn) -> Turn | None:
    loop = asyncio.get_running_loop()
    found = loop.create_future()
    loop.call_later(0, lambda: found.set_result(here()))
    result: Turn | None = await found
    return result


OWN = [in_its_coroutine, Agent(in_a_plain_function, on_loop=True)]


@pytest.mark.parametrize("agent", [*OWN, in_a_task, in_a_callback], ids=plain)
async def test_a_turn_is_found_in_what_it_runs_and_in_what_it_started(agent: Any) -> None:
    async with opened(agent) as registry:
        for session in ("s1", "s2"):
            receipt = await registry.send(session, "hello")
            found = await receipt.result()
            assert isinstance(found, Turn)
            assert (found.session_id, found.turn_id) == (session, receipt.turn_id)


async def test_a_turn_is_found_in_a_generator() -> None:
    async with opened(in_a_generator) as registry:
        stream = await registry.subscribe("s1")
        await (await registry.send("s1", "hello")).result()
        assert [event.data for event in waiting(stream) if event.name == "found"] == [True]
        stream.close()


async def test_no_turn_is_found_outside_of_one() -> None:
    assert here() is None
    assert turn_of([]) is None


@pytest.mark.parametrize("agent", OWN, ids=plain)
def test_on_another_loop_a_turn_is_found_in_its_own_task(agent: Any) -> None:
    async def main() -> Turn | None:
        async with opened(agent) as registry:
            found: Turn | None = await (await registry.send("s1", "hello")).result()
            return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert isinstance(runner.run(main()), Turn)


# -- A late loop ------------------------------------------------------------------------------------

#: Seconds after which the loop is late here, and after which what a test waits for does not come.
LATE, PATIENCE = 0.05, 60.0

blocks_it = pytest.mark.blocks_the_loop("it is late on purpose")


class Log(logging.Handler):
    """Keeps the records of the tool that blocks, which does so until the first of them has come."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self.written = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        # A busy machine may make the loop late elsewhere too.
        if "a_tool_that_blocks" in (record.stack_info or ""):
            self.records.append(record)
            self.written.set()

    @property
    def entry(self) -> str:
        [record] = self.records
        return logging.Formatter("%(levelname)s %(message)s").format(record)


LOG = Log()


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    LOG.records.clear()
    LOG.written.clear()
    logger.addHandler(LOG)
    yield
    logger.removeHandler(LOG)


def a_tool_that_blocks() -> None:
    assert LOG.written.wait(PATIENCE)


async def blocks(turn: Turn) -> None:
    await asyncio.sleep(0)
    a_tool_that_blocks()


def blocks_when_it_is_called(turn: Turn) -> Any:
    a_tool_that_blocks()
    return done(turn)


async def blocks_in_a_task(turn: Turn) -> None:
    async def child() -> None:
        await asyncio.sleep(0)
        a_tool_that_blocks()

    await asyncio.create_task(child())


async def blocks_in_a_callback(turn: Turn) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.call_later(0, a_tool_that_blocks)
    loop.call_later(0, over.set)
    await over.wait()


BLOCKING = [blocks, Agent(blocks_when_it_is_called, on_loop=True)]


async def run(agent: Any, **of_send: Any) -> Any:
    async with opened(agent, slow_loop=LATE) as registry:
        await (await registry.send("s1", "hello", turn_id="t1", user="ada", **of_send)).ended()
        # The late answer is noted in the other thread.
        while (counts := await registry.counts()).loop_lag.max < LATE:
            await asyncio.sleep(0)
        return counts


@blocks_it
@pytest.mark.parametrize("agent", [*BLOCKING, blocks_in_a_task, blocks_in_a_callback], ids=plain)
async def test_a_blocked_loop_is_logged_once_with_the_turn_the_user_and_where_it_stands(agent: Any) -> None:
    """G14."""
    counts = await run(agent)
    first, *more = LOG.entry.splitlines()
    assert first.startswith("WARNING the event loop is 0.")
    assert first.endswith("s late, in turn t1 of session s1, user ada")
    assert more[0].strip() == "Stack (most recent call last):"
    assert "a_tool_that_blocks" in LOG.entry
    assert "run_forever" not in LOG.entry
    assert all(line.startswith("    ") for line in more)
    assert counts.loop_lag.count >= 1
    assert counts.loop_lag.max >= LATE


@blocks_it
@pytest.mark.parametrize(
    "agent", [*BLOCKING, *([blocks_in_a_task] if sys.version_info >= (3, 12) else [])], ids=plain
)
def test_it_holds_on_uvloop(agent: Any) -> None:
    """G14. Before Python 3.12 a task does not tell its context, and the turn that started it is not known."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(agent))
    assert "in turn t1 of session s1, user ada" in LOG.entry


@blocks_it
async def test_what_no_turn_does_is_logged_as_that() -> None:
    async with opened(done, slow_loop=LATE) as registry:
        await registry.counts()
        a_tool_that_blocks()
    assert "late, in no turn" in LOG.entry


@blocks_it
async def test_of_two_registries_the_one_whose_turn_it_is_logs_it() -> None:
    async with opened(done, slow_loop=LATE), opened(blocks, slow_loop=LATE) as registry:
        await (await registry.send("s1", "hello", turn_id="t1")).ended()
    assert "in turn t1" in LOG.entry


@blocks_it
async def test_what_a_user_is_called_forges_no_entry() -> None:
    async with opened(blocks, slow_loop=LATE) as registry:
        await (await registry.send("s1", "hello", user="ada\nERROR forged")).ended()
    assert r"user ada\nERROR forged" in LOG.entry


@blocks_it
async def test_a_loop_that_is_not_to_be_watched_is_not() -> None:
    before = threading.active_count()
    async with opened(done, slow_loop=0) as registry:
        await registry.counts()
        assert threading.active_count() == before
        assert registry.loop_lag.count == 0
    assert not LOG.records


@blocks_it
async def test_by_default_it_is_watched_until_the_registry_stops() -> None:
    assert Settings().slow_loop == 0.5
    names = [thread.name for thread in threading.enumerate()]
    async with SessionRegistry(done) as registry:
        await registry.counts()
        started = [thread for thread in threading.enumerate() if thread.name not in names]
        assert [thread.name for thread in started] == ["turnkeeper loop watch"]
    started[0].join(PATIENCE)
    assert not started[0].is_alive()
