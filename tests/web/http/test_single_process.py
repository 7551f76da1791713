import asyncio
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import virtual_time
from turnkeeper.web.http import single_process
from turnkeeper.web.http.single_process import WAIT, SecondWorker, WorkerLock, master

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(single_process.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


@pytest.fixture
def worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the worker of process 17."""
    monkeypatch.setattr(single_process, "master", lambda: 17)


def held_elsewhere(folder: Path) -> Any:
    """Another process holds every lock that is there: it says so, and lets go when its input ends."""
    code = (
        "import fcntl, os, sys\n"
        "fds = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]\n"
        "for fd in fds: fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    paths = [str(path) for path in folder.glob("*.lock")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


async def test_two_apps_in_one_process_are_one_worker(worker: None, folder: Path) -> None:
    first, second = WorkerLock(""), WorkerLock("")
    await first.take()
    await second.take()
    first.give_back()
    first.give_back()
    assert len(single_process._held) == 1

    second.give_back()

    assert not single_process._held


async def test_a_worker_waits_for_the_one_it_replaces(worker: None, folder: Path) -> None:
    lock = WorkerLock("")
    await lock.take()
    lock.give_back()
    other = await asyncio.to_thread(held_elsewhere, folder)
    taking = asyncio.create_task(lock.take())
    await asyncio.sleep(0)
    assert not taking.done()

    await asyncio.to_thread(other.communicate)

    await taking
    lock.give_back()


async def test_a_worker_does_not_wait_for_ever(worker: None, folder: Path) -> None:
    lock = WorkerLock("")
    await lock.take()
    lock.give_back()
    other = await asyncio.to_thread(held_elsewhere, folder)
    try:
        async with virtual_time() as clock:
            with pytest.raises(SecondWorker):
                await lock.take()
            assert clock.elapsed == pytest.approx(WAIT, abs=0.1)
    finally:
        await asyncio.to_thread(other.communicate)


@pytest.mark.blocks_the_loop("it looks into a folder")
async def test_where_it_is_not_wanted_nothing_is_locked(worker: None, folder: Path) -> None:
    lock = WorkerLock("", wanted=False)
    await lock.take()
    lock.give_back()

    assert not os.listdir(folder)


@pytest.mark.blocks_the_loop("it looks at a file")
async def test_the_lock_is_its_owners_alone(worker: None, folder: Path) -> None:
    lock = WorkerLock("/ai")
    await lock.take()
    (path,) = single_process._held

    assert os.stat(path).st_mode & 0o777 == 0o600
    assert str(os.getuid()) in path.name
    lock.give_back()
