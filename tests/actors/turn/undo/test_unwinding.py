"""How a turn's hooks run, with nothing around them."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from tests.fakes import settle
from turnkeeper.actors.turn.undo.unwinding import Unwinding


def unwinding(hooks: list[Callable[[], Any]], report: Callable[[int], object]) -> Unwinding:
    return Unwinding("turn t1 of session s1", hooks, report, asyncio.get_running_loop(), copy_context())


async def test_the_last_one_is_called_first_and_each_is_waited_for() -> None:
    called: list[str] = []
    failed: list[int] = []

    async def slow() -> None:
        called.append("slow begins")
        await asyncio.sleep(0)
        called.append("slow ends")

    unwinding([lambda: called.append("first"), slow, lambda: called.append("last")], failed.append)
    await settle()
    assert called == ["last", "slow begins", "slow ends", "first"]
    assert failed == [0]


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError, Odd])
async def test_one_that_fails_stops_none_of_the_others(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []
    failed: list[int] = []

    async def fails() -> None:
        raise error

    def fails_at_once() -> None:
        raise error

    with caplog.at_level(logging.ERROR):
        unwinding([lambda: called.append("first"), fails, fails_at_once], failed.append)
        await settle()
    assert called == ["first"]
    assert failed == [2]
    assert [record.getMessage() for record in caplog.records] == [
        "a hook that undoes turn t1 of session s1 failed"
    ] * 2


@pytest.mark.parametrize("swallows", [False, True])
async def test_those_that_are_cut_short_are_cancelled_and_report_nothing(swallows: bool) -> None:
    called: list[str] = []
    failed: list[int] = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            called.append("cancelled")
            if not swallows:
                raise

    running = unwinding([lambda: called.append("first"), hangs, lambda: called.append("last")], failed.append)
    await settle()
    assert running.cut() == 2
    await settle()
    assert called == ["last", "cancelled"]
    assert failed == []
    assert running.task.done()


async def test_a_task_that_something_else_cancels_reports_what_it_has_not_done() -> None:
    failed: list[int] = []
    running = unwinding([lambda: None, asyncio.Event().wait], failed.append)
    await settle()
    running.task.cancel()
    await settle()
    assert failed == [2]
