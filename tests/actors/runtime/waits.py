"""Threads and tasks that wait for futures."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from turnkeeper.actors.runtime import AsyncioFuture


class Thread:
    """Runs one function in a thread; `result()` joins it and gives what it returned or raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value: Any = self._function()
            self._error: BaseException | None = None
        except BaseException as error:  # noqa: BLE001
            self._error = error

    def result(self) -> Any:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._value


def fail(future: AsyncioFuture[Any], error: BaseException) -> None:
    future.set_exception((type(error), error, None))


def until_somebody_waits_for(future: AsyncioFuture[Any]) -> None:
    while future._waiters is None:
        pass


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def awaited(future: AsyncioFuture[Any]) -> Any:
    return await future
