"""Threads that a turn has started with `asyncio.to_thread`, as its cancel finds them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.fakes import opened
from turnkeeper.actors.model.records import StillRunning
from turnkeeper.actors.model.words import TurnStatus, Verdict
from turnkeeper.actors.turn.turn import Turn


@pytest.fixture
def until() -> Iterator[threading.Event]:
    """What the threads of a test wait for."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_thread_of_to_thread_is_named_when_its_turn_was_cancelled(until: threading.Event) -> None:
    in_thread = threading.Event()

    def work() -> None:
        in_thread.set()
        until.wait()

    async def agent(turn: Turn) -> None:
        turn.emit("delta", {"text": "on"})
        await asyncio.gather(asyncio.to_thread(work), asyncio.sleep(3600))

    async with opened(agent) as registry:
        await registry.send("s1", "hi", turn_id="t1")
        while not in_thread.is_set():
            await asyncio.sleep(0)
        answer = await registry.cancel("s1", "t1")
        assert answer.turn is not None
        assert answer.turn.status is TurnStatus.CANCELLED, "it is seen, and not waited for"
        assert answer.turn.still_running == answer.still_running == StillRunning(threads=1)
        until.set()


async def test_a_thread_of_to_thread_is_named_beside_those_of_in_thread_when_its_turn_was_given_up(
    until: threading.Event,
) -> None:
    in_threads, over = threading.Barrier(3), asyncio.Event()

    def work() -> None:
        in_threads.wait()
        until.wait()

    async def agent(turn: Turn) -> None:
        works = (asyncio.ensure_future(asyncio.to_thread(work)), turn.create_task(turn.in_thread(work)))
        while not all(each.done() for each in works):
            with suppress(asyncio.CancelledError):
                await asyncio.wait(works)
        over.set()

    async with opened(agent, cancel_grace=0.1) as registry:
        receipt = await registry.send("s1", "hi", turn_id="t1")
        await asyncio.to_thread(in_threads.wait)
        answer = await registry.cancel("s1", "t1")
        assert answer.verdict is Verdict.UNRESPONSIVE
        assert answer.still_running == StillRunning(tasks=1, threads=2)
        assert (await receipt.ended()).still_running == StillRunning(tasks=1, threads=2)
        until.set()
        await over.wait()


async def test_a_thread_of_another_turn_is_not_named(until: threading.Event) -> None:
    in_thread = threading.Event()

    def work() -> None:
        in_thread.set()
        until.wait()

    async def agent(turn: Turn) -> None:
        await (asyncio.to_thread(work) if turn.text == "works" else asyncio.Event().wait())

    async with opened(agent) as registry:
        await registry.send("s1", "works", turn_id="t1")
        await registry.send("s2", "waits", turn_id="t2")
        while not in_thread.is_set():
            await asyncio.sleep(0)
        answer = await registry.cancel("s2", "t2")
        assert answer.turn is not None
        assert answer.turn.still_running is None
        until.set()
        assert (await registry.cancel("s1", "t1")).turn is not None
