"""How what a turn's end runs is run, with nothing around it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from tests.fakes import settle
from turnkeeper.actors.turn.winding.winding_up import Kind, Step, WindingUp

CANCEL, UNDO = Kind.ON_CANCEL, Kind.ON_ROLLBACK


class Steps:
    """Steps of a turn's end, and what is reported of them."""

    def __init__(self, *calls: Callable[[], Any], kind: Kind = UNDO) -> None:
        self.failed = Counter[Kind]()
        self.reports = 0
        steps = [Step(kind, call) for call in calls]
        name, loop = "turn t1 of session s1", asyncio.get_running_loop()
        self.winding = WindingUp(name, steps, self.failed, self._report, loop, copy_context())

    def _report(self) -> None:
        self.reports += 1


async def test_they_are_called_in_their_order_and_each_is_waited_for() -> None:
    called: list[str] = []

    async def slow() -> None:
        called.append("slow begins")
        await asyncio.sleep(0)
        called.append("slow ends")

    steps = Steps(lambda: called.append("first"), slow, lambda: called.append("last"))
    await settle()
    assert called == ["first", "slow begins", "slow ends", "last"]
    assert (steps.failed, steps.reports) == (Counter(), 1)


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError, Odd])
async def test_one_that_fails_stops_none_of_the_others(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    async def fails() -> None:
        raise error

    def fails_at_once() -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        steps = Steps(fails_at_once, fails, lambda: called.append("last"), kind=CANCEL)
        await settle()
    assert called == ["last"]
    assert (steps.failed, steps.reports) == (Counter({CANCEL: 2}), 1)
    assert [record.getMessage() for record in caplog.records] == [
        "a hook of turn t1 of session s1 failed: on_cancel"
    ] * 2


async def test_a_keyboard_interrupt_of_its_own_is_a_failure_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnkeeper.actors.turn.exits.is_operators", lambda _error: False)
    called: list[str] = []

    async def interrupts() -> None:
        raise KeyboardInterrupt

    steps = Steps(interrupts, lambda: called.append("last"))
    await settle()
    assert (called, steps.failed) == (["last"], Counter({UNDO: 1}))


@pytest.mark.parametrize("swallows", [False, True])
async def test_those_that_are_cut_short_are_cancelled_and_report_nothing(
    swallows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            called.append("cancelled")
            if not swallows:
                raise

    steps = Steps(lambda: called.append("first"), hangs, lambda: called.append("last"))
    await settle()
    assert steps.winding.cut() == Counter({UNDO: 2})
    await settle()
    assert called == ["first", "cancelled"]
    assert (steps.failed, steps.reports) == (Counter(), 0)
    assert steps.winding.task.done()
    (record,) = caplog.records
    assert record.getMessage() == "2 hooks of turn t1 of session s1 were not done in time: on_rollback"


async def test_a_task_that_something_else_cancels_reports_what_it_has_not_done() -> None:
    steps = Steps(asyncio.Event().wait, lambda: None)
    await settle()
    steps.winding.task.cancel()
    await settle()
    assert (steps.failed, steps.reports) == (Counter({UNDO: 2}), 1)
