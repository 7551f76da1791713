"""How long answers are waited for, with one alarm for all of them."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .future import AsyncioFuture
from .promise import ExcInfo
from .query import Query
from .ref import AsyncioRef
from .timer import Timer

R = TypeVar("R")


class Patience(Generic[R]):
    """Asks, and waits so many seconds for each answer; ``late`` is the answer where none comes in time.

    A timeout of its own for each wait would cost as much as many a question. As all wait equally long, the
    one that asked first is the first whose time is up; where ``span`` says less than it did, those that
    asked since are answered with the last one that asked before. Only a wait that is to be longer than the
    others has a timeout of its own. Everything here belongs to one loop.
    """

    def __init__(self, span: Callable[[], float], late: R) -> None:
        self._span = span
        self._late = late
        # When the time of each wait is up, the first one first.
        self._waits: dict[_Answer[R], float] = {}
        self._timer: Timer | None = None

    @property
    def seconds(self) -> float:
        """How long the next answer is waited for."""
        return self._span()

    async def ask(self, ref: AsyncioRef[Any], query: Query[R], more: Callable[[], float] | None = None) -> R:
        """Ask at once, and return the answer. Whatever ends the wait, the actor goes on.

        ``more``, asked then, is for how many seconds longer this one is waited for.
        """
        answer: _Answer[R] = _Answer()  # `_Answer[R]()` is ten times as dear
        if ref.ask_now(query, answer).done():
            return await answer
        loop = asyncio.get_running_loop()
        longer = 0.0 if more is None else more()
        if longer > 0.0:
            late = loop.call_later(self._span() + longer, answer.set, self._late)
            try:
                return await answer
            finally:
                late.cancel()
        if self._timer is None:
            self._timer = Timer(loop, self._ring)
        self._waits[answer] = due = loop.time() + self._span()
        self._timer.set(due)
        try:
            return await answer
        finally:
            del self._waits[answer]

    def _ring(self) -> None:
        assert self._timer is not None
        now = asyncio.get_running_loop().time()
        for answer, due in self._waits.items():
            if due > now:
                self._timer.set(due)
                return
            answer.set(self._late)


class _Answer(AsyncioFuture[R]):
    """What comes first: the actor's answer, or the one in its place."""

    def set(self, value: R | None = None) -> None:
        if not self.done():
            super().set(value)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        if not self.done():
            super().set_exception(exc_info)
