"""The plain functions that one turn runs in threads, and what they may do there."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from threading import get_ident
from typing import Any, TypeVar

from turnkeeper.actors.model.exceptions import LoopClosed
from turnkeeper.actors.runtime import AsyncioFuture
from turnkeeper.actors.runtime.promise import ReplySource
from turnkeeper.actors.turn.exits import contained

from .begun import Begun, Counted
from .patient import until_done
from .pool import Pool

T = TypeVar("T")


class Call:
    """One plain function that runs in a thread, for a turn."""

    __slots__ = ("_end", "_error", "_function", "_home", "_result", "cancel_requested", "ended", "thread")

    def __init__(
        self, function: Callable[[], Any], end: "Callable[[Call], object]", home: ReplySource
    ) -> None:
        """``end`` is called on the loop of ``home`` when it has returned or raised."""
        self._function: Callable[[], Any] | None = function
        self._end = end
        self._home = home
        self._result: Any = None
        self._error: BaseException | None = None
        #: Whether the task that waits for it was cancelled. The thread reads it.
        self.cancel_requested = False
        #: The thread that runs it, once one does.
        self.thread: int | None = None
        #: Done when it has returned or raised.
        self.ended: asyncio.Future[Any] = home.loop.create_future()

    # -- In the thread ----------------------------------------------------------------------------------

    def __call__(self) -> Callable[[], None]:
        """Run the function; return what reports that."""
        assert self._function is not None
        self.thread = get_ident()
        try:
            self._result = self._function()
        except (KeyboardInterrupt, SystemExit) as error:
            exited = contained(error)
            assert exited is not None, "the operator's Ctrl-C comes in the main thread"
            exited.__cause__ = error
            self._error = exited
        except BaseException as error:  # noqa: BLE001  whatever it is, who waits for it gets it
            self._error = error
        self._function = self.thread = None
        return self._report

    def _report(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits for it
            self._home.loop.call_soon_threadsafe(self._settle)

    def on_loop(self, do: Callable[[], T]) -> T:
        """Have the loop do that, and return what it returns, or raise what it raises.

        Raises `LoopClosed` if the loop is.
        """
        done: AsyncioFuture[T] = AsyncioFuture()
        done.source = self._home
        try:
            self._home.loop.call_soon_threadsafe(_answer, do, done)
        except RuntimeError as error:
            raise LoopClosed("the event loop of this turn is closed") from error
        return done.get()

    # -- On the loop ------------------------------------------------------------------------------------

    def _settle(self) -> None:
        error, self._error = self._error, None
        if error is None:
            self.ended.set_result(self._result)
        elif isinstance(error, StopIteration):  # asyncio refuses it, since it would end the coroutine
            refused = RuntimeError("the function raised StopIteration")
            refused.__cause__ = error
            self.ended.set_exception(refused)
        else:
            self.ended.set_exception(error)
        self._result = None
        self._end(self)

    def ask_to_stop(self) -> None:
        """The task that waits for it was cancelled, or its turn is on its way out."""
        self.cancel_requested = True

    async def result(self) -> Any:
        """What it returns. A cancellation is heard when it has returned, and flagged for it to see before."""
        cancelled = await until_done(self.ended, self.ask_to_stop)
        if cancelled is not None:
            self.ended.exception()  # looked at, or asyncio logs that it was not
            raise cancelled
        return self.ended.result()


#: The call of which this is the thread.
current_call: ContextVar[Call | None] = ContextVar("turnkeeper_call", default=None)


def call_here() -> Call | None:
    """The call that runs in this thread. What it has the loop do does not."""
    call = current_call.get()
    return call if call is not None and call.thread == get_ident() else None


def _answer(do: Callable[[], T], done: "AsyncioFuture[T]") -> None:
    try:
        done.set(do())
    except BaseException as error:  # noqa: BLE001  the thread gets it
        done.set_exception((type(error), error, error.__traceback__))


class Threads:
    """The calls of one turn that run in threads."""

    counted_as: Counted = "threads"

    __slots__ = ("_begun", "_calls", "_home", "_pool", "_user")

    def __init__(self, begun: Begun, pool: Pool, user: str, home: ReplySource) -> None:
        """``home`` is the loop, with its thread."""
        self._begun = begun
        self._home = home
        self._pool = pool
        self._user = user
        self._calls: set[Call] = set()
        begun.kinds.append(self)

    @property
    def running(self) -> int:
        """How many of them run."""
        return len(self._calls)

    def stop(self, *, again: bool) -> None:
        """Let them see that they are to return: no thread can be stopped from outside."""
        for call in self._calls:
            call.ask_to_stop()

    def settle(self) -> None:
        """Nothing is left to be done."""

    async def run(self, function: Callable[[], Any], begin: Callable[[], object]) -> Any:
        """Run the function in a thread, in the caller's context; return what it returns, or raise that.

        Waits for a thread; ``begin`` is called when there is one. Cancelling gives up that wait, and is heard
        only after the function's return once it runs. Raises `ThreadNotStarted`.
        """
        await self._pool.enter(self._user)
        context = copy_context()
        call = Call(partial(context.run, function), self._ended, self._home)
        context.run(current_call.set, call)
        self._calls.add(call)
        try:
            begin()
            self._pool.run(call)
        except BaseException:
            self._ended(call)
            raise
        return await call.result()

    def _ended(self, call: Call) -> None:
        self._calls.discard(call)
        self._pool.leave(self._user)
        self._begun.one_ended()
