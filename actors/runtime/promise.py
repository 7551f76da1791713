"""An answer that comes once: one side sets it, the other awaits it on event loops or waits for it in threads.

Theory of operation
-------------------

Most promises are set by one thread, the loop's, and awaited by one task of that loop. So a promise makes
nothing for waiting until something really waits: no lock, no condition, no asyncio future. Until then it is
an empty object whose defaults stand in the class.

*Which thread does what.* Any thread may set, any loop's thread may await, any other thread may ``get()``. A
waiter is a pair: on a loop (the id of its thread, an asyncio future of that loop), in a thread (``None``, a
lock that is held until there is an answer). An asyncio future is touched by its own loop's thread only: by
the setter directly if that is the one, else through ``call_soon_threadsafe``.

*The races, and what answers each.*

1. An answer comes while a wait is being set up. The waiter registers *first* and looks for the answer
   *afterwards*; the setter stores the answer first and looks for waiters afterwards. Whatever the order of
   the four steps, one of the two sees the other, and if both do, the waiter is handed its answer twice,
   which does no harm.
2. Two threads come to wait at the same time. The first waiter is stored without a lock, because no call
   stands between the look and the store, and the interpreter switches threads (and runs signal handlers)
   only between calls and at backward jumps. Every further one is added under a lock; so is what `get`
   removes at its timeout.
3. A value and an error cannot be stored in one step. The error is stored first, the value last, and only
   the value is looked at to know whether there is an answer.
4. The task that awaits is cancelled. Its asyncio future is done then, and is left alone; the promise and
   the others that wait at it are not concerned.
5. The loop whose actor owes the answer is closed. Nothing will set the promise any more, so a thread in
   `get` looks up now and then (`CLOSED_LOOP_CHECK`), and looks at the loop *before* it looks at the answer:
   an answer that was given before the loop was closed counts.

*What is weak about it.* Race 2 leans on how CPython switches threads; without a global interpreter lock the
first store would need the lock, too. Setting twice at the same moment from two threads may lose the second
value instead of raising `queue.Full`: an answer has one setter. A task that awaits on a loop other than the
actor's is not woken when the actor's loop is closed: it needs a timeout of its own. A thread learns of that
within a second, not at once.
"""

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Generator
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import pykka

from .errors import BlockingCallOnLoop, LoopClosed

T = TypeVar("T")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
Waiter: TypeAlias = "tuple[int, asyncio.Future[Any]] | tuple[None, threading.Lock]"

PENDING: Final = object()
"""The value of a promise that has no answer yet."""

# One for all, since seldom more than one waits. A garbage collection inside it may run code that waits.
_registering: Final = threading.RLock()

CLOSED_LOOP_CHECK: float = 1.0
"""Seconds after which a thread that waits looks whether the loop that owes the answer is closed."""


class ReplySource(Protocol):
    """Where an answer comes from: what a promise needs to know of the run queue of the actor asked."""

    loop: asyncio.AbstractEventLoop
    thread: int | None
    """The thread in which the loop runs, if that is known."""


class ActorLoopClosed(LoopClosed, pykka.ActorDeadError):
    """The actor's event loop is closed, so nothing will ever handle or answer the message."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Promise(pykka.Future[T]):
    """An answer, now or later. A subclass may have it computed by the side that waits (see ``_computed``)."""

    source: ReplySource | None = None
    """Where the answer comes from, if that is known: once its loop is closed, none comes any more."""

    # The defaults stand in the class, so that making a promise stores nothing.
    _value: Any = PENDING
    _error: BaseException | None = None
    _traceback: TracebackType | None = None
    _waiters: "Waiter | list[Waiter] | None" = None
    _computed: bool = False
    """Whether the answer is not set, but computed by `_compute` and `_await_computed`."""

    if not TYPE_CHECKING:
        __init__ = object.__init__  # half the price of calling one written in Python

    def _compute(self, timeout: float | None) -> None:
        """Compute the answer in this thread, and store it."""
        raise NotImplementedError

    def _await_computed(self) -> Generator[Any, None, T]:
        """Compute the answer without blocking the running loop, and return it."""
        raise NotImplementedError

    def done(self) -> bool:
        """Whether the answer is there."""
        return self._value is not PENDING

    # -- setting --------------------------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Set the answer and wake all that wait for it.

        Raises:
            queue.Full: there is an answer already, or it is computed.

        """
        if self._value is not PENDING or self._computed:
            raise queue.Full
        self._value = value
        waiter: Any = self._waiters
        if waiter is None:
            return
        if type(waiter) is tuple and waiter[0] == get_ident():  # the usual one, without three calls
            self._waiters = None
            try:  # noqa: SIM105  contextlib.suppress() costs more than all the rest of this
                waiter[1].set_result(value)
            except (asyncio.InvalidStateError, RuntimeError):
                pass  # the task that awaited was cancelled, or its loop is closed
            return
        self._wake()

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set an exception as the answer: ``exc_info``, or the one being handled.

        Raises:
            queue.Full: there is an answer already, or it is computed.

        """
        if self._value is not PENDING or self._computed:
            raise queue.Full
        kind, error, traceback = sys.exc_info() if exc_info is None else exc_info
        if error is None:
            if kind is None:
                raise ValueError("set_exception() outside an except block needs an exc_info")
            error = kind()
        self._error, self._traceback = error, traceback
        self._value = None  # last, because this is what the others look at
        if self._waiters is not None:
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters if isinstance(waiters, list) else (waiters,):
            if waiter is not None:
                self._wake_one(waiter)

    def _wake_one(self, waiter: Waiter) -> None:
        thread, handle = waiter
        try:
            if isinstance(handle, asyncio.Future):
                if thread == get_ident():
                    self._hand_over(handle)
                else:
                    handle.get_loop().call_soon_threadsafe(self._hand_over, handle)
            else:
                handle.release()
        except RuntimeError:
            pass  # its loop is closed, or it was woken already: nothing waits there any more

    def _hand_over(self, waiter: "asyncio.Future[Any]") -> None:
        if waiter.done():
            return  # the task that awaited was cancelled
        error = self._error
        if error is None:
            waiter.set_result(self._value)
            return
        if isinstance(error, StopIteration):  # asyncio refuses it, since it would end the coroutine
            error = RuntimeError("the actor raised StopIteration")
            error.__cause__ = self._error
        waiter.set_exception(error.with_traceback(self._traceback))
        waiter.exception()  # marks it as seen: no "exception was never retrieved" for an abandoned wait

    # -- waiting --------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:
        if self._value is not PENDING:
            return self._give()
        if self._computed:
            return self._await_computed()
        thread, source = get_ident(), self.source
        # The source knows its loop's thread; get_running_loop() is a system call on Python 3.11.
        loop = source.loop if source is not None and source.thread == thread else asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        mine = thread, waiter
        if self._waiters is None:  # no call between this look and the store, so no other thread either
            self._waiters = mine
        else:
            self._register(mine)
        if self._value is not PENDING:
            self._hand_over(waiter)
        return iter(waiter)

    __iter__ = __await__

    def get(self, *, timeout: float | None = None) -> T:
        """Wait in this thread for the answer, at most ``timeout`` seconds, and return or raise it.

        Raises:
            pykka.Timeout: the answer did not come in time.
            BlockingCallOnLoop: it is not there and an event loop runs in this thread.
            ActorLoopClosed: it will not come, because the actor's event loop is closed.

        """
        if self._value is PENDING:
            if self._computed:
                self._compute(timeout)
            else:
                self._wait(timeout)
        return self._outcome()

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)
        value: T = self._value  # without a `cast`, which is a call
        return value

    def _give(self) -> Generator[Any, None, T]:
        yield from ()  # makes this a generator: one that is over before it has yielded
        return self._outcome()

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            raise pykka.Timeout(f"{timeout} seconds")
        if running_loop() is not None:
            raise BlockingCallOnLoop(
                "get() would block the event loop of this thread: `await` the future instead"
            )
        lock = threading.Lock()
        lock.acquire()
        waiter: Waiter = (None, lock)
        self._register(waiter)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # Looked at before the answer: what the actor answered before its loop was closed counts.
            closed = self.source is not None and self.source.loop.is_closed()
            if self._value is not PENDING:
                return
            left = CLOSED_LOOP_CHECK if deadline is None else deadline - time.monotonic()
            if closed or left <= 0:
                self._forget(waiter)
                if closed:
                    raise ActorLoopClosed("the actor's event loop was closed before it answered")
                raise pykka.Timeout(f"{timeout} seconds")
            lock.acquire(timeout=min(left, CLOSED_LOOP_CHECK))

    def _register(self, waiter: Waiter) -> None:
        with _registering:
            waiters = self._waiters
            if waiters is None:
                self._waiters = waiter
                return
            if not isinstance(waiters, list):
                waiters = self._waiters = [waiters]
            elif len(waiters) & (len(waiters) - 1) == 0:
                # Now and then drop those that gave up, or polling with a timeout would pile them up.
                waiters[:] = [each for each in waiters if _waits(each)]
            waiters.append(waiter)

    def _forget(self, waiter: Waiter) -> None:
        with _registering:
            if self._waiters is waiter:
                self._waiters = None
            elif isinstance(self._waiters, list) and waiter in self._waiters:
                self._waiters.remove(waiter)


def _waits(waiter: Waiter) -> bool:
    """Whether it has not given up. A thread that does is forgotten at once."""
    return not (isinstance(waiter[1], asyncio.Future) and waiter[1].done())


def is_awaited(to: Any) -> bool:
    """Whether a task or a thread waits for an answer there now, as far as can be known: else it does."""
    if not isinstance(to, Promise):
        return to is not None
    waiters = to._waiters
    if waiters is None or to.done():
        return False
    return any(map(_waits, list(waiters) if isinstance(waiters, list) else (waiters,)))
