import asyncio
import multiprocessing
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.fakes import virtual_time
from turnkeeper.web.http import single_process
from turnkeeper.web.http.single_process import EVERY, WAIT, SecondWorker, WorkerLock, master

#: Forks a worker for each prefix. Each takes its lock, prints what came of that, and holds it to the end.
FORK = """
import asyncio, os, sys
from turnkeeper.web.http import single_process
from turnkeeper.web.http.single_process import WorkerLock

single_process.WAIT = 0.0

async def one(prefix):
    lock = WorkerLock(prefix)
    try:
        await lock.take()
    except single_process.SecondWorker as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("taken", flush=True)

def worker(prefix, ready, go):
    asyncio.run(one(prefix))
    os.write(ready, b"x")
    os.read(go, 1)
    os._exit(0)

readable, ready = os.pipe()
go, let_go = os.pipe()
children = []
for prefix in sys.argv[1:]:
    child = os.fork()
    if not child:
        worker(prefix, ready, go)
    children.append(child)
    os.read(readable, 1)
os.write(let_go, b"x" * len(children))
for child in children:
    os.waitpid(child, 0)
"""


def forked(*prefixes: str) -> list[str]:
    command = [sys.executable, "-c", FORK, *prefixes]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a worker. No other test's process has the same master: it is its own."""
    monkeypatch.setattr(single_process, "master", os.getpid)


def held_elsewhere() -> Any:
    """Another process holds the lock under the prefix ``""``: it says so, and ends when its input does."""
    code = (
        "import socket, sys\n"
        "lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "lock.bind(chr(0) + sys.argv[1])\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    name = single_process._lock_name("")
    assert name is not None
    process = subprocess.Popen(
        [sys.executable, "-c", code, name.removeprefix("\0")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_forked_worker_is_refused_and_one_under_another_prefix_is_not() -> None:
    first, second, other = forked("/ai", "/ai", "/other")

    assert first == "taken"
    assert second.startswith("SecondWorker another worker of the same master")
    assert "single_process=False" in second
    assert other == "taken"


def test_a_process_that_was_not_forked_from_its_parent_is_no_worker() -> None:
    assert master() is None


def test_what_multiprocessing_started_is_a_worker_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parent:
        pid = 4711

    monkeypatch.setattr(multiprocessing, "parent_process", Parent)

    assert master() == 4711


def test_where_the_system_does_not_say_enough_there_is_no_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    monkeypatch.setattr(single_process.sys, "platform", "darwin")

    assert master() is None


async def test_two_apps_in_one_process_are_one_worker(worker: None) -> None:
    first, second = WorkerLock(""), WorkerLock("")
    await first.take()
    await second.take()
    first.give_back()
    first.give_back()
    assert len(single_process._held) == 1

    second.give_back()

    assert not single_process._held


async def test_a_worker_waits_for_the_one_it_replaces(worker: None) -> None:
    lock = WorkerLock("")
    other = await asyncio.to_thread(held_elsewhere)
    async with virtual_time(patience=0.0):  # for which the other process only waits
        taking = asyncio.create_task(lock.take())
        await asyncio.sleep(3 * EVERY)
        assert not taking.done()

    await asyncio.to_thread(other.communicate)

    await taking
    lock.give_back()


async def test_a_worker_takes_over_from_one_that_was_killed(worker: None) -> None:
    other = await asyncio.to_thread(held_elsewhere)
    other.kill()
    await asyncio.to_thread(other.communicate)
    lock = WorkerLock("")

    await lock.take()

    lock.give_back()


async def test_a_worker_does_not_wait_for_ever(worker: None) -> None:
    other = await asyncio.to_thread(held_elsewhere)
    try:
        async with virtual_time(patience=0.0) as clock:
            with pytest.raises(SecondWorker):
                await WorkerLock("").take()
            assert clock.elapsed == pytest.approx(WAIT, abs=0.1)
    finally:
        await asyncio.to_thread(other.communicate)


async def test_where_it_is_not_wanted_nothing_is_locked(worker: None) -> None:
    lock = WorkerLock("", wanted=False)
    await lock.take()

    assert not single_process._held
    lock.give_back()


async def test_a_lock_that_cannot_be_asked_for_is_not_taken_for_held(
    worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        single_process, "_lock_name", lambda _prefix: "\0" + "x" * 200
    )  # longer than a name may be

    with pytest.raises(OSError, match="too long"):
        await WorkerLock("").take()


def test_the_masters_of_two_containers_are_not_one_because_their_ids_are_equal(
    worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = single_process._lock_name("")
    monkeypatch.setattr(single_process, "_started", lambda _process: "another moment")

    assert single_process._lock_name("") != here
