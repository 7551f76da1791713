"""A coroutine that is run step by step, under the eyes of an observer."""

import asyncio
import ctypes
from collections.abc import Coroutine, Generator
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from .place import chain


class Observer(Protocol):
    """Hears of the steps of a coroutine."""

    def began(self, stepped: "Stepped", /) -> None:
        """A step begins."""
        ...

    def thrown(self, stepped: "Stepped", error: Any, /) -> None:
        """The next step raises this in it."""
        ...

    def suspended(self, stepped: "Stepped", seconds: float, /) -> None:
        """It is suspended, after a step that took so many real seconds."""
        ...

    def ended(self, stepped: "Stepped", seconds: float, /) -> None:
        """It has returned or raised."""
        ...


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that does what the one inside does, and is observed."""

    __slots__ = ("_discarded", "_inner", "_observer")

    def __init__(self, inner: Coroutine[Any, Any, Any], observer: Observer) -> None:
        self._inner = inner
        self._observer = observer
        self._discarded = False

    @property
    def inner(self) -> Coroutine[Any, Any, Any]:
        """The coroutine itself."""
        return self._inner

    @property
    def name(self) -> str:
        """The name of its function."""
        return getattr(self._inner, "__qualname__", type(self._inner).__name__)

    def send(self, value: Any, /) -> Any:
        """Run it to its next suspension."""
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise that in it, and run it to its next suspension."""
        self._observer.thrown(self, error[0])
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def discard(self) -> None:
        """Run none of it any more: its task ends with its next step, whatever it catches."""
        self._discarded = True

    def _step(self, go_on: Any, *value: Any) -> Any:
        if self._discarded:
            _end(self._inner)
            raise asyncio.CancelledError
        self._observer.began(self)
        began = monotonic()
        try:
            yielded = go_on(*value)
        except BaseException:
            self._observer.ended(self, monotonic() - began)
            raise
        self._observer.suspended(self, monotonic() - began)
        return yielded

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self._inner.__await__())

    def __getattr__(self, name: str) -> Any:
        # Its frame, code and name, for those who look at a task's coroutine.
        return getattr(self._inner, name)


def _end(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close it. One that catches even GeneratorExit is never collected: Python would close it once more.

    By then no loop runs, so that what it awaits raises at once: it would go round for ever.
    """
    suspended = list(chain(coroutine))
    try:
        coroutine.close()
    except BaseException:  # noqa: BLE001  whatever it does about that: it is over
        with suppress(AttributeError):  # a Python that does not count references
            for each in suspended:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


#: What each step of one runs in.
STEP: Final = Stepped._step.__code__


def discard(task: "asyncio.Task[Any]") -> None:
    """End this task now, whatever it catches."""
    coroutine = task.get_coro()
    if isinstance(coroutine, Stepped):
        coroutine.discard()
    with suppress(RuntimeError):  # its loop is closed
        task.cancel()
