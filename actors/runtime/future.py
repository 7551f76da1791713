"""The future of an actor's answer: awaited on any event loop, waited for with ``get()`` in any thread.

It costs little until somebody really waits: no lock, no condition, no asyncio future. ``set`` is safe
from every thread; what must not be torn apart is one attribute store, which the GIL keeps whole, and
whoever waits registers *first* and looks *again*, so that a wake-up cannot fall between the two.
"""

import asyncio
import functools
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, cast

import pykka

from .errors import BlockingCallOnLoop, LoopClosed

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
# Who waits: (id of the thread its loop runs in, asyncio future), or (None, locked lock) for a thread.
Waiter: TypeAlias = "tuple[int, asyncio.Future[Any]] | tuple[None, threading.Lock]"

_PENDING: Final = object()
# Of all futures, for seldom does a second one wait. A garbage collection inside it may run code that waits.
_registering: Final = threading.RLock()

CLOSED_LOOP_CHECK: float = 1.0
"""Seconds after which a thread that waits looks whether the loop that owes the answer is closed."""


class ReplySource(Protocol):
    """Where an answer comes from: what a future needs to know of the run queue of the actor asked."""

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


class AsyncioFuture(pykka.Future[T]):
    """An actor's answer, now or later.

    * ``await future`` on an event loop, the actor's or another. Cancelling the wait abandons only the
      wait: the actor goes on, and others who await or ``get()`` the same future still get the answer.
    * ``future.get(timeout=...)`` in any other thread; raises `pykka.Timeout`. On a thread whose event
      loop runs it returns what is there and raises `BlockingCallOnLoop` where it would have to wait.
    * ``map``, ``filter``, ``reduce``, ``join`` give futures that can be awaited as well. The function
      runs in whoever waits, once when it succeeds, as in Pykka.

    An exception nobody asks for is dropped silently. Setting twice raises `queue.Full`, as in Pykka.
    """

    source: ReplySource | None = None
    """Where the answer comes from, if that is known: once its loop is closed, none comes any more."""

    # The defaults stand in the class, so that making a future stores nothing.
    _get_hook: Callable[[float | None], T] | None = None
    _hook_lock: Any = None
    _sources: "tuple[pykka.Future[Any], ...]" = ()
    _value: Any = _PENDING
    _error: BaseException | None = None
    _traceback: TracebackType | None = None
    _waiters: "Waiter | list[Waiter] | None" = None

    if not TYPE_CHECKING:
        __init__ = object.__init__  # half the price of calling one written in Python

    def done(self) -> bool:
        """Whether the answer is there (of a mapped or joined future: has been computed)."""
        return self._value is not _PENDING

    # -- setting --------------------------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Set the answer and wake everyone who waits for it.

        Raises:
            queue.Full: there is an answer, or a get hook, already.

        """
        if self._value is not _PENDING or self._get_hook is not None:
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
                pass  # whoever awaited was cancelled, or its loop is closed
            return
        self._wake()

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set an exception as the answer: ``exc_info``, or the one being handled.

        Raises:
            queue.Full: there is an answer, or a get hook, already.

        """
        if self._value is not _PENDING or self._get_hook is not None:
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

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let ``get(timeout)`` return what ``func(timeout)`` returns; it is called until it succeeds once.

        Awaiting such a future calls ``func(None)`` in a helper thread, since it may block.

        Raises:
            queue.Full: there is an answer already.

        """
        if self._value is not _PENDING:
            raise queue.Full
        self._hook_lock = threading.RLock()
        self._get_hook = func

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
            pass  # its loop is closed, or it was woken already: nobody waits there any more

    def _hand_over(self, waiter: "asyncio.Future[Any]") -> None:
        if waiter.done():
            return  # cancelled: whoever awaited has gone
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
        if self._value is not _PENDING:
            return self._give()
        if self._get_hook is not None:
            return self._await_hook().__await__()
        thread, source = get_ident(), self.source
        # The source knows its loop's thread; get_running_loop() is a system call on Python 3.11.
        loop = source.loop if source is not None and source.thread == thread else asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        mine = thread, waiter
        if self._waiters is None:  # no call between this look and the store, so no other thread either
            self._waiters = mine
        else:
            self._register(mine)
        if self._value is not _PENDING:
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
        if self._value is _PENDING:
            if self._get_hook is None:
                self._wait(timeout)
            elif self._hook_lock.acquire(blocking=running_loop() is None):
                self._call_hook(timeout)
            else:
                raise BlockingCallOnLoop(
                    "another thread is computing this future: `await` it instead of get()"
                )
        return self._outcome()

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)
        return cast("T", self._value)

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
            if self._value is not _PENDING:
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
                # Now and then drop those who gave up, or polling with a timeout would pile them up.
                waiters[:] = [
                    each for each in waiters if not (isinstance(each[1], asyncio.Future) and each[1].done())
                ]
            waiters.append(waiter)

    def _forget(self, waiter: Waiter) -> None:
        with _registering:
            if self._waiters is waiter:
                self._waiters = None
            elif isinstance(self._waiters, list) and waiter in self._waiters:
                self._waiters.remove(waiter)

    # -- futures made of futures ----------------------------------------------------------------------

    def _call_hook(self, timeout: float | None) -> None:
        """Call the hook and keep what it returns; the caller has taken the hook's lock."""
        try:
            if self._value is _PENDING and self._get_hook is not None:
                self._value = self._get_hook(timeout)
        finally:
            self._hook_lock.release()

    async def _await_hook(self) -> T:
        leaves = self._leaves()
        if leaves is not None:
            for leaf in leaves:
                try:
                    await leaf
                except Exception:  # noqa: BLE001  the hook meets it again, and its function may want it
                    break
            # Everything the hook needs is there: it does not wait, and runs once, here on the loop.
            if self._hook_lock.acquire(blocking=False):
                self._call_hook(0)
                return self._outcome()
        return await _get_in_thread(self)

    def _leaves(self) -> "list[AsyncioFuture[Any]] | None":
        """The futures that this one is made of in the end; None if one of them cannot be awaited."""
        if self._get_hook is None:
            return [self]
        found: list[AsyncioFuture[Any]] = []
        for source in self._sources:
            leaves = source._leaves() if isinstance(source, AsyncioFuture) else None
            if leaves is None:
                return None
            found += leaves
        return found if self._sources else None

    @staticmethod
    def _made_of(
        sources: "tuple[pykka.Future[Any], ...]", hook: Callable[[float | None], M]
    ) -> "AsyncioFuture[M]":
        future: AsyncioFuture[M] = AsyncioFuture()
        future.set_get_hook(hook)
        future._sources = sources
        return future

    def map(self, func: Callable[[T], M]) -> "AsyncioFuture[M]":
        """A future of ``func(answer)``."""
        return self._made_of((self,), lambda timeout: func(self.get(timeout=timeout)))

    def filter(self: "AsyncioFuture[Iterable[J]]", func: Callable[[J], bool]) -> "AsyncioFuture[Iterable[J]]":
        """A future of the answer's items for which ``func(item)`` is true."""
        return self._made_of(
            (self,), lambda timeout: [each for each in self.get(timeout=timeout) if func(each)]
        )

    def reduce(self: "AsyncioFuture[Iterable[J]]", func: Callable[[R, J], R], *args: R) -> "AsyncioFuture[R]":
        """A future of the answer's items reduced to one value; a second argument is the initial one."""
        return self._made_of(
            (self,), lambda timeout: functools.reduce(func, self.get(timeout=timeout), *args)
        )

    def join(self: "AsyncioFuture[Any]", *futures: "pykka.Future[Any]") -> "AsyncioFuture[Iterable[Any]]":
        """A future of the list of this answer and those of ``futures``.

        Futures of other Pykka actors (threads) may be among them; awaiting then takes a helper thread.
        """
        all_of_them = (self, *futures)
        return self._made_of(all_of_them, lambda timeout: [each.get(timeout=timeout) for each in all_of_them])


def _get_in_thread(future: "pykka.Future[T]") -> AsyncioFuture[T]:
    """``future.get()`` in a thread of its own, which ends when the answer comes.

    A daemon and none of the executor's: the loop's and the process's end do not wait for it.
    """
    fetched: AsyncioFuture[T] = AsyncioFuture()

    def fetch() -> None:
        try:
            value = future.get()
        except BaseException:  # noqa: BLE001  it is raised again in whoever awaits
            fetched.set_exception()
        else:
            fetched.set(value)

    threading.Thread(target=fetch, name="asyncio-future", daemon=True).start()
    return fetched
