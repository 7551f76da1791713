"""A pytest plugin: Pykka's suite with our actors, on a loop in a background thread.

The suite's tests take a fixture ``runtime``, which has the actor and future classes to use.
This plugin parametrizes it with ours. The tests themselves stay in the main thread, as with Pykka.
"""

import asyncio
import importlib
import threading
import time
from typing import Any

import pytest

from turnkeeper.actors.runtime import AsyncioActor, AsyncioFuture

_THREADS = "is about the thread that each ThreadingActor has; an AsyncioActor has none"

CANNOT_APPLY = {
    "tests/test_threading_actor.py::test_actor_thread_is_named_after_pykka_actor_class": _THREADS,
    "tests/test_threading_actor.py::test_actor_thread_is_not_daemonic_by_default": _THREADS,
    "tests/test_threading_actor.py::test_actor_thread_is_daemonic_if_use_daemon_thread_flag_is_set": _THREADS,
}

AT_LEAST = 120
"""So many tests take the ``runtime``; fewer means that this plugin no longer reaches them."""

loop = asyncio.new_event_loop()
complaints: list[str] = []


class LoopActor(AsyncioActor):
    """An actor that is started from the main thread and lives on the background loop."""

    @classmethod
    def get_loop(cls) -> asyncio.AbstractEventLoop:
        """The loop in the background."""
        return loop


def pytest_sessionstart() -> None:
    """Start the loop."""
    loop.set_exception_handler(lambda _loop, context: complaints.append(repr(context)))
    threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if anything reached the loop's exception handler."""
    if complaints:
        print("\nthe loop's exception handler was called:", *complaints, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``runtime`` our classes."""
    if "runtime" in metafunc.fixturenames:
        # Pykka's own, from the sdist.
        ours: Any = importlib.import_module("tests.types").Runtime(
            name="asyncio",
            actor_class=LoopActor,
            event_class=threading.Event,
            future_class=AsyncioFuture,
            sleep_func=time.sleep,
        )
        runtime = pytest.mark.parametrize(
            "runtime", [pytest.param(ours, id="asyncio")], indirect=True, scope="session"
        )
        metafunc.definition.add_marker(runtime)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot apply; refuse a list that no longer fits the suite."""
    if config.args != ["tests"]:
        return  # only some tests were asked for
    names = {item.nodeid.partition("[")[0] for item in items}
    unknown = sorted(CANNOT_APPLY.keys() - names)
    if unknown:
        raise pytest.UsageError(f"listed as not applicable, but not in Pykka's suite: {unknown}")
    reached = sum("[asyncio" in item.nodeid for item in items)
    if reached < AT_LEAST:
        raise pytest.UsageError(f"only {reached} of Pykka's tests were given our runtime")
    left_out = [item for item in items if item.nodeid.partition("[")[0] in CANNOT_APPLY]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    for name, reason in CANNOT_APPLY.items():
        terminalreporter.write_line(f"not applicable: {name}: {reason}")
