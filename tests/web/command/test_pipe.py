import asyncio
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from turnkeeper.web.command.pipe import broken_pipe_noticed


class Pipe:
    """A pipe with a reader at its other end."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self.out: TextIO = open(writer, "w", encoding="utf-8")  # noqa: SIM115 - closed below
        self._is_read = True

    def leave(self) -> None:
        if self._is_read:
            self._is_read = False
            os.close(self._reader)

    def close(self) -> None:
        self.out.close()
        self.leave()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


async def wait() -> None:
    with broken_pipe_noticed():
        await asyncio.Event().wait()


async def test_a_reader_that_goes_is_noticed_though_nothing_is_written(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", pipe.out)
    asyncio.get_running_loop().call_soon(pipe.leave)
    with pytest.raises(BrokenPipeError):
        await wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_reader_that_has_gone_before_is_noticed(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", pipe.out)
    pipe.leave()
    with pytest.raises(BrokenPipeError):
        await wait()


async def test_being_cancelled_is_not_taken_for_a_reader_that_goes(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", pipe.out)
    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_is_no_pipe_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with broken_pipe_noticed():
        await asyncio.sleep(0)
