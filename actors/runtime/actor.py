"""Where Pykka meets asyncio: actors that live on an event loop.

An actor has no thread, no task and no queue. What it is sent lies in its ref, and is handled in the
callback of the loop's `RunQueue`.

Pykka's documented behaviour is kept; `docs/reference/pykka.md` lists where it cannot be.
"""

# An actor and its ref are one thing in two classes, so they look into each other.
# pyright: reportPrivateUsage=false

import asyncio
import inspect
import logging
import sys
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

import pykka
from pykka.messages import _ActorStop

from .errors import LoopClosed
from .future import AsyncioFuture
from .promise import running_loop
from .query import Query
from .ref import START, AsyncioRef, Inbox, Stopped, is_answered, request_stop
from .run_queue import ReplyTo, RunQueue

R = TypeVar("R")

logger = logging.getLogger("pykka")  # the name and the levels that Pykka's documentation gives


class AsyncioActor(pykka.Actor):
    """An actor that lives on an event loop.

    Everything `pykka.Actor` documents holds, with handlers that must not block, because all actors of a
    loop share its thread. ``start()`` takes the running loop; elsewhere use ``start_on(loop, ...)`` or
    override `get_loop`. Handlers are plain functions: work that takes time is an `asyncio.Task`, started
    there, whose end comes back as a message.
    """

    registered: ClassVar[bool] = True
    """Whether instances are listed in `pykka.ActorRegistry`, a list in which removal is O(n)."""

    _actor_ref: AsyncioRef[Any]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("on_message", "on_receive", "on_start", "on_stop", "on_failure"):
            if inspect.iscoroutinefunction(getattr(cls, name)):
                raise TypeError(
                    f"{cls.__name__}.{name} is a coroutine function, but a handler never waits: "
                    "start a task in it and let the task's end be a message"
                )

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Not Pykka's: its Event and the inbox's deque would be most of an idle actor's memory.
        self._actor_ref = AsyncioRef(self)  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def get_loop(cls) -> asyncio.AbstractEventLoop:
        """The event loop for a new actor: the running one. Override it to start actors from other threads.

        Raises:
            LoopClosed: no loop runs in this thread.

        """
        loop = running_loop()
        if loop is None:
            raise LoopClosed(
                f"no event loop runs in this thread: use {cls.__name__}.start_on(loop, ...), "
                f"or override {cls.__name__}.get_loop()"
            )
        return loop

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, *args: Any, **kwargs: Any
    ) -> AsyncioRef[Self]:
        """Start an actor on ``cls.get_loop()``; the arguments go to its constructor.

        Raises:
            LoopClosed: there is no loop for it.

        """
        return cls.start_on(cls.get_loop(), *args, **kwargs)

    @classmethod
    def start_on(cls, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> AsyncioRef[Self]:
        """Start an actor on ``loop``, from any thread; the arguments go to its constructor.

        Raises:
            LoopClosed: the loop is closed.

        """
        if loop.is_closed():
            raise LoopClosed(f"cannot start a {cls.__name__} on an event loop that is closed")
        actor = cls(*args, **kwargs)
        ref = getattr(actor, "_actor_ref", None)
        assert ref is not None, f"{cls.__name__}.__init__() did not call super().__init__()"
        if cls.registered:
            pykka.ActorRegistry.register(ref)
        logger.debug("Starting %s", actor)
        early, ref._mail, ref._queue = ref._mail or (), None, RunQueue.of(loop)
        actor._start_actor_loop()
        for mail in early:
            ref._queue.put(ref, mail)
        return cast("AsyncioRef[Self]", ref)

    def _start_actor_loop(self) -> None:
        if type(self).on_start is not pykka.Actor.on_start:
            self._actor_ref.tell(START)

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise NotImplementedError("an AsyncioActor's mail is kept in its ref")

    @staticmethod
    def _create_future() -> AsyncioFuture[Any]:
        return AsyncioFuture()

    @property
    def actor_ref(self) -> AsyncioRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The actor's ref."""
        return self._actor_ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """The actor's URN, made when first asked for."""
        return self._actor_ref.actor_urn

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """The actor's inbox, as Pykka knows it."""
        return self._actor_ref.actor_inbox

    @property
    def actor_stopped(self) -> Stopped:  # type: ignore[override]
        """Whether the actor has stopped, as Pykka's event."""
        return self._actor_ref.actor_stopped

    def on_message(self, message: Any, reply_to: ReplyTo) -> None:
        """Handle one message and its answer: the point to extend for answers that come later.

        The default calls `on_receive` and answers with what it returns. An override takes over the duty
        to answer ``reply_to`` (None without an asker): at once, later, or by forwarding it. What it raises
        is the answer if there is none yet, else (or without an asker) the actor fails as in Pykka.
        Pykka's own messages (stop, proxies) do not come here.
        """
        reply = self.on_receive(message)
        if reply_to is not None:
            reply_to.set(reply)

    def _receive(self, message: Any, reply_to: ReplyTo) -> None:
        """Handle one of Pykka's own messages."""
        if message is START:
            try:
                self.on_start()
            except Exception:  # noqa: BLE001
                self._handle_failure(*sys.exc_info())
            return
        if isinstance(message, _ActorStop):
            self.on_stop_request(reply_to)
            return
        reply = self._handle_receive(message)
        if reply_to is not None:
            reply_to.set(reply)

    def on_stop_request(self, reply_to: ReplyTo) -> None:
        """Stop now, and say so: the point to extend for an actor that has to wind up first.

        An override calls this in a later handler, once for each request or with the last one's address.
        """
        self._stop()
        if reply_to is not None:
            reply_to.set(True)

    def why_unhandled(self, error: Exception) -> Exception:
        """The answer to mail that it still had when it stopped: the point to extend for a better one.

        ``error`` is the `pykka.ActorDeadError` that Pykka answers with.
        """
        return error

    def request_stop(self, reply_to: ReplyTo) -> None:
        """Ask this actor to stop after the messages it has; ``reply_to`` is answered when it has stopped."""
        request_stop(self._actor_ref, reply_to)

    def _raised(self, error: BaseException, reply_to: ReplyTo) -> None:
        if isinstance(error, asyncio.CancelledError):
            # Passed on as it is, it would look to the task that awaits like a cancellation of its own.
            cause, error = error, RuntimeError(f"{self} met a CancelledError that was not its own")
            error.__cause__ = cause
        exc_info = type(error), error, error.__traceback__
        if reply_to is not None and not is_answered(reply_to):
            logger.info("Exception returned from %s to caller:", self, exc_info=exc_info)
            reply_to.set_exception(exc_info)
            return
        self._handle_failure(*exc_info)
        try:
            self.on_failure(*exc_info)
        except Exception:  # noqa: BLE001
            self._handle_failure(*sys.exc_info())

    def _raised_to_end_all(self, error: BaseException, message: Any, reply_to: ReplyTo) -> None:
        logger.debug("%r in %s. Stopping all actors.", error, self)
        self._stop()
        self._actor_ref._turn_away((message, reply_to))
        pykka.ActorRegistry.stop_all(block=False)  # waiting for them on their own loop would never end

    def _stop(self) -> None:
        self._retire()
        logger.debug("Stopped %s", self)
        try:
            self.on_stop()
        except Exception:  # noqa: BLE001
            self._handle_failure(*sys.exc_info())

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        exc_info = cast("Any", (exception_type, exception_value, traceback))
        logger.error("Unhandled exception in %s:", self, exc_info=exc_info)
        self._retire()

    def _retire(self) -> None:
        if self.registered:
            pykka.ActorRegistry.unregister(self._actor_ref)
        self.actor_stopped.set()


def ask(ref: AsyncioRef[Any], query: Query[R]) -> AsyncioFuture[R]:
    """Send ``query``; awaiting the future that this returns gives its reply, with the reply's type.

    Never raises: a dead actor's answer is `pykka.ActorDeadError`. Cancelling the wait leaves the actor alone.
    """
    return ref.ask(query, block=False)


def forward(to: "AsyncioRef[Any] | AsyncioActor", message: Any, reply_to: ReplyTo) -> None:
    """Send ``message`` to an actor which is to answer ``reply_to``; see `AsyncioRef.forward`."""
    (to if isinstance(to, AsyncioRef) else to.actor_ref).forward(message, reply_to)
