"""The strict rig: what every test here is held to, whatever else it checks.

* A warning is an error (``setup.cfg``).
* A blocking call on a running event loop fails the test, also when the code under test swallowed the error:
  ``@pytest.mark.blocks_the_loop("why")`` lets one block.
* An asyncio task, a thread, a socket, a process, a live Pykka actor or a file in the temporary directory left
  behind fails the test: ``@pytest.mark.leaves_behind("sockets", why="...")`` names what may stay.
* A test that hangs fails at its own timeout (``setup.cfg``), and the others go on.
* An exception that only reached the event loop's exception handler fails the test:
  ``@pytest.mark.loop_errors("why")`` expects one.
* With ``NO_SKIPS=1`` a skip or an xfail is a failure.
* The name of a test is the same in every process: an address in it ends the run before it begins.

Set-up runs from the top of the next line to its end, tear-down backwards::

    _nothing_left_behind -> _loop_not_blocked -> the plugin's loop -> _no_task_left -> other fixtures -> test

so tasks are looked for while the loop still lives and after every other fixture has closed what it opened;
threads and sockets when the loop and its executor are gone. ``test_rig.py`` shows that each check can fail.
"""

import asyncio
import fcntl
import functools
import gc
import logging
import os
import re
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import blockbuster
import hypothesis
import pykka
import pytest
import pytest_asyncio
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from turnkeeper.actors.testing.leftovers import descriptors
from turnkeeper.actors.testing.outside import started

# The kit that hosts test their agents with: our tests use it, too.
pytest_plugins = ["turnkeeper.actors.testing"]

NO_SKIPS = os.environ.get("NO_SKIPS") == "1"

T = TypeVar("T")

KINDS = ("tasks", "threads", "sockets", "processes", "actors", "files")
# How often the loop turns for what has ended and only has to notice it.
PASSES = 50
# How many seconds what a test has ended may take to be gone, and how often it is looked for at least: a
# machine that stalls must not make a leak of it. The tests of the rig leave much behind, and wait less.
PATIENCE, LOOKS = float(os.environ.get("RIG_PATIENCE") or 10), 20

# Where tests take seconds each: workers begin with these, so that none is at it when the others have ended.
LONG = (
    "tests/attacks/",
    "tests/journeys/test_command.py",
    "tests/test_benchmarks.py",
    "tests/web/audit/test_run.py",
    "tests/web/command/stopping/",
    "tests/web/server/test_run.py",
)
# How many tests a worker may have ahead.
MOST_AHEAD = 24

# What a shell starts in the background ignores Ctrl-C, and so does all that it starts: the tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Settings of the environment are not what the tests test.
for name in [name for name in os.environ if name.startswith("TURNKEEPER_")]:
    del os.environ[name]
# Nor is a file where a test happens to start a server.
os.environ["TURNKEEPER_DATA"] = ":memory:"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
# Ends at the first example that fails, however long that is.
hypothesis.settings.register_profile("first", deadline=None, phases=(hypothesis.Phase.generate,))
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


# --- the temporary directory --------------------------------------------------------------------------------

# This process has one of its own, with all that it starts: other tests run beside it.
_temporary: tempfile.TemporaryDirectory[str] | None = None


def pytest_sessionstart() -> None:
    global _temporary
    # What pytest keeps of the last runs stays where one looks for it.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    _temporary = tempfile.TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True)
    os.environ["TMPDIR"] = tempfile.tempdir = _temporary.name


def pytest_unconfigure() -> None:
    if _temporary is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = str(Path(_temporary.name).parent)
        _temporary.cleanup()


def _files() -> set[str]:
    """What lies in the temporary directory."""
    return set(os.listdir(tempfile.gettempdir()))


# --- no skips -----------------------------------------------------------------------------------------------


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.outcome == "skipped":
        why = getattr(report, "wasxfail", None) or report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing is skipped or excused with NO_SKIPS=1: {why}"
        report.__dict__.pop("wasxfail", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    # What was captured goes to another process: half a character that a test has logged cannot.
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


# --- names of tests, and where they run -------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let one worker collect before the others, for which it keeps each module with its asserts rewritten."""
    assert _temporary is not None
    gc.disable()  # nearly all that is made here stays
    with ExitStack() as stack:
        stack.callback(gc.enable)
        if "PYTEST_XDIST_WORKER" in os.environ:
            collected = Path(_temporary.name).parent / "collected"  # where all workers see it
            shared = stack.enter_context(collected.open("a"))
            fcntl.flock(shared, fcntl.LOCK_EX)
            if collected.stat().st_size:
                fcntl.flock(shared, fcntl.LOCK_UN)
            else:
                collected.write_text("once")
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a name that another process would spell otherwise; workers begin with what takes long."""
    unstable = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]+", item.nodeid)]
    if unstable:
        raise pytest.UsageError("an address in the name of a test: " + ", ".join(unstable))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what is there for good: all modules, and all tests.

    To look through that for each thread that a test leaves time to end would take more than the test.
    """
    gc.collect()
    gc.freeze()


class _Scheduler(LoadScopeScheduling):
    """Deals the tests out one by one, but keeps a file together that makes something once for its tests.

    xdist 3.8's own ``loadgroup`` does nothing under pytest 9.2. Its ``loadscope`` looks, for each test,
    through all that the worker has done and the names of all tests: with very many that takes long.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _makes_something_once(self.config.rootpath / file) else nodeid

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        """Where each test stands in the collection, which is the same for all workers."""
        assert self.collection is not None
        return {nodeid: place for place, nodeid in enumerate(self.collection)}

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget what is done of a worker's tests, and give it others."""
        nodeid = self.registered_collections[node][item_index]
        work, scope = self.assigned_work[node], self._split_scope(nodeid)
        work[scope][nodeid] = True
        if all(work[scope].values()):
            del work[scope]
        self._reschedule(node)

    def _reschedule(self, node: WorkerController) -> None:
        """Let a worker have some tests ahead, so that it need not wait for this process; few at the end."""
        if node.shutting_down:
            return
        if not self.workqueue:
            node.shutdown()
            return
        ahead = max(2, min(MOST_AHEAD, len(self.workqueue) // (8 * len(self.assigned_work))))
        if self._pending_of(self.assigned_work[node]) <= ahead // 2 + 1:
            while self.workqueue and self._pending_of(self.assigned_work[node]) <= ahead:
                self._assign_work_unit(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        scope, tests = self.workqueue.popitem(last=False)
        self.assigned_work[node][scope] = tests
        node.send_runtest_some([self._places[nodeid] for nodeid, done in tests.items() if not done])


@functools.cache
def _makes_something_once(file: Path) -> bool:
    return 'scope="module"' in file.read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduler:
    return _Scheduler(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Two a core: half of what the tests take is waiting, for Chromium and other processes."""
    return 2 * (os.cpu_count() or 1)


# --- nothing left behind ------------------------------------------------------------------------------------


def _allowed(request: pytest.FixtureRequest) -> set[str]:
    allowed: set[str] = set()
    for marker in request.node.iter_markers("leaves_behind"):
        if not marker.kwargs.get("why") or not marker.args or not set(marker.args) <= set(KINDS):
            pytest.fail(f"leaves_behind takes some of {', '.join(KINDS)} and why=, not {marker}")
        allowed.update(marker.args)
    return allowed


def _sockets() -> set[str]:
    """The open sockets of this process, each by its inode (Linux; elsewhere none are seen)."""
    return {target for target in descriptors() if target.startswith("socket:")}


def _settle(new: Callable[[], set[T]]) -> set[T]:
    """What is still there of ``new()`` once it had its time to go."""
    until, looks = time.monotonic() + PATIENCE, 0
    while (left := new()) and (time.monotonic() < until or looks < LOOKS):
        looks += 1
        gc.collect()
        time.sleep(0.01)
    return left


class _LoopErrors(logging.Handler):
    """Keeps what event loops reported because no task or caller could get it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """The outermost fixture: what is left of threads, sockets, files and actors, and unheard errors."""
    allowed = _allowed(request)
    threads, sockets, processes, files = set(threading.enumerate()), _sockets(), started(), _files()
    actors = set(pykka.ActorRegistry.get_all())
    errors = _LoopErrors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(errors)
    yield
    left: list[str] = []
    # Actors first: a leaked thread is then reported by its cause.
    if "actors" not in allowed:
        for ref in _settle(lambda: set(pykka.ActorRegistry.get_all()) - actors):
            left.append(f"actor {ref}")
            pykka.ActorRegistry.unregister(ref)
    if "threads" not in allowed:
        left += [f"thread {t.name}" for t in _settle(lambda: set(threading.enumerate()) - threads)]
    if "sockets" not in allowed:
        left += [f"open {s}" for s in _settle(lambda: _sockets() - sockets)]
    if "processes" not in allowed:
        left += [f"process {pid}" for pid in _settle(lambda: started() - processes)]
    if "files" not in allowed:
        left += [f"file {name}" for name in _settle(lambda: _files() - files)]
    logger.removeHandler(errors)
    if left:
        pytest.fail("the test left behind: " + "; ".join(sorted(left)), pytrace=False)
    if errors.seen and request.node.get_closest_marker("loop_errors") is None:
        pytest.fail("the event loop reported:\n" + "\n".join(errors.seen), pytrace=False)


@pytest.fixture(autouse=True)
def _tasks_watched(request: pytest.FixtureRequest, _loop_not_blocked: None) -> None:
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_no_task_left")


@pytest_asyncio.fixture
async def _no_task_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """On the test's own loop, the first async fixture to be set up and so the last to be torn down."""
    before = asyncio.all_tasks()
    yield
    if "tasks" in _allowed(request):
        return
    here = asyncio.current_task()
    left: set[asyncio.Task[Any]] = set()
    for _ in range(PASSES):
        left = {task for task in asyncio.all_tasks() if task is not here} - before
        if not left:
            return
        await asyncio.sleep(0)
    pytest.fail("the test left behind: " + "; ".join(sorted(map(repr, left))), pytrace=False)


@pytest.fixture(scope="session")
def forks() -> Iterator[None]:
    """Commands are forked from a process that has imported what they need."""
    from tests.web.command.forking import forking

    with forking():
        yield


# --- nothing blocks the loop --------------------------------------------------------------------------------

_blocked: list[str] = []


def _record_blocking() -> None:
    """Remember each BlockingError where it is made: code under test may catch it, the test still fails."""
    original = blockbuster.BlockingError.__init__

    def init(self: blockbuster.BlockingError, func: str) -> None:
        original(self, func)
        _blocked.append(f"Blocking call to {func}\n" + "".join(traceback.format_stack(limit=12)[:-2]))

    blockbuster.BlockingError.__init__ = init  # type: ignore[method-assign]


_record_blocking()


@pytest.fixture(scope="session")
def _blockbuster() -> blockbuster.BlockBuster:
    buster = blockbuster.BlockBuster()
    for function in buster.functions.values():
        # Importing on the loop is Python's own business, once per process; so is rewriting asserts.
        function.can_block_in("<frozen importlib._bootstrap>", {"_find_and_load", "_load_unlocked"})
        function.can_block_in("_pytest/assertion/rewrite.py", {"exec_module", "find_spec"})
        # Reading source lines for a traceback, and the table of MIME types, once.
        function.can_block_in("linecache.py", {"checkcache", "updatecache", "getlines"})
        function.can_block_in("mimetypes.py", {"init"})
        # Tests wait for processes of their own in asyncio's subprocess support.
        function.can_block_in("asyncio/base_events.py", {"subprocess_exec", "subprocess_shell"})
        # What the kernel says of processes is in memory: a few calls for each, where one is killed.
        function.can_block_in("turn/work/group.py", {"__init__"})
        # Where log lines go is the host's choice; pytest's own handler writes them to a file.
        function.can_block_in("logging/__init__.py", {"emit", "flush"})
        # Pytest shows the source of what failed.
        function.can_block_in("_pytest/_code/source.py", {"findsource", "getsource"})
    return buster


@pytest.fixture(autouse=True)
def _loop_not_blocked(
    request: pytest.FixtureRequest, _nothing_left_behind: None, _blockbuster: blockbuster.BlockBuster
) -> Iterator[None]:
    marker = request.node.get_closest_marker("blocks_the_loop")
    if marker is not None:
        if not (marker.args or marker.kwargs.get("why")):
            pytest.fail("blocks_the_loop says why")
        yield
        return
    _blocked.clear()
    _blockbuster.activate()
    try:
        yield
    finally:
        _blockbuster.deactivate()
    if _blocked:
        pytest.fail("the test blocked the event loop:\n" + "\n".join(_blocked), pytrace=False)
