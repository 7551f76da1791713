"""The future that an actor's answer comes in, and the futures that are made of futures.

Theory of operation
-------------------

What comes once and how it is waited for is the promise's (see `promise`). A future adds Pykka's *get hook*:
an answer that is not set, but computed where it is wanted. `map`, `filter`, `reduce` and `join` are
futures with a hook that gets the answers of other futures, their *sources*, and calls a function with them.

*Which thread does what.* The hook runs in the thread that wants the answer, under a lock of that future,
until it succeeds once; its answer is kept, its exceptions are not. A hook may block: Pykka's do. On a loop
that must not happen, so awaiting such a future first awaits its *leaves*, the plain futures that it is made
of in the end. With all their answers there the hook does not wait, and runs on the loop. A hook of unknown
make, or one with a future of another kind among its leaves (a thread actor's), runs in a helper thread of
its own, and the loop awaits that.

*The races, and what answers each.*

1. A thread computes while a task on a loop wants the same answer. The task must not wait for the lock: it
   tries it, and if that fails, lets a helper thread wait for it. ``get()`` on a loop's thread refuses
   instead.
2. Two tasks await the same future. Each awaits the leaves; the first to go on computes, in one piece, and
   the other one finds the answer. The function runs once.
3. A leaf fails. Awaiting stops there, and the hook meets the error again: its function may want it, or
   raise it.
4. The task that awaits is cancelled. Only its own wait at a leaf ends.

*What is weak about it.* A hook that fails runs again when the answer is asked for again, as Pykka says, so a
function with effects has them twice. The helper thread is a daemon and outlives the loop if its source
never answers.
"""

import functools
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import pykka

from .errors import BlockingCallOnLoop
from .promise import PENDING, Promise, running_loop

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")


class AsyncioFuture(Promise[T]):
    """An actor's answer, now or later.

    * ``await future`` on an event loop, the actor's or another. Cancelling the wait abandons only the
      wait: the actor goes on, and others that await or ``get()`` the same future still get the answer.
    * ``future.get(timeout=...)`` in any other thread; raises `pykka.Timeout`. On a thread whose event
      loop runs it returns what is there and raises `BlockingCallOnLoop` where it would have to wait.
    * ``map``, ``filter``, ``reduce``, ``join`` give futures that can be awaited as well. The function
      runs where the answer is wanted, once when it succeeds, as in Pykka.

    An exception that is never asked for is dropped silently. Setting twice raises `queue.Full`, as in Pykka.
    """

    # The defaults stand in the class, so that making a future stores nothing.
    _get_hook: Callable[[float | None], T] | None = None
    _hook_lock: Any = None
    _sources: "tuple[pykka.Future[Any], ...]" = ()

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let ``get(timeout)`` return what ``func(timeout)`` returns; it is called until it succeeds once.

        Awaiting such a future calls ``func(None)`` in a helper thread, since it may block.

        Raises:
            queue.Full: there is an answer already.

        """
        if self._value is not PENDING:
            raise queue.Full
        self._hook_lock = threading.RLock()
        self._get_hook = func
        self._computed = True

    def _compute(self, timeout: float | None) -> None:
        if not self._hook_lock.acquire(blocking=running_loop() is None):
            raise BlockingCallOnLoop("another thread is computing this future: `await` it instead of get()")
        self._call_hook(timeout)

    def _call_hook(self, timeout: float | None) -> None:
        """Call the hook and keep what it returns; the caller has taken the hook's lock."""
        try:
            if self._value is PENDING and self._get_hook is not None:
                self._value = self._get_hook(timeout)
        finally:
            self._hook_lock.release()

    def _await_computed(self) -> Generator[Any, None, T]:
        return self._await_hook().__await__()

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
        """The plain futures that this one is made of in the end; None if one of them cannot be awaited."""
        if self._get_hook is None:
            return [self]
        found: list[AsyncioFuture[Any]] = []
        for source in self._sources:
            leaves = source._leaves() if isinstance(source, AsyncioFuture) else None
            if leaves is None:
                return None
            found += leaves
        return found if self._sources else None

    # -- futures made of futures ----------------------------------------------------------------------

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
        except BaseException:  # noqa: BLE001  it is raised again where the future is awaited
            fetched.set_exception()
        else:
            fetched.set(value)

    threading.Thread(target=fetch, name="asyncio-future", daemon=True).start()
    return fetched
