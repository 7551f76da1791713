"""Where Pykka meets asyncio: actors that live on an event loop.

An actor and its ref are all there is of an idle actor: no thread, no task, no queue. What it is sent is
handled in its turn by the `RunQueue` of its loop.

Pykka's documented behaviour is kept; `docs/reference/pykka.md` lists where it cannot be.
"""

# An actor and its ref are one thing in two classes, so they look into each other.
# pyright: reportPrivateUsage=false

import asyncio
import inspect
import logging
import sys
import threading
import uuid
from collections import deque
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, Self, TypeVar, cast, overload

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from .errors import BlockingCallOnLoop, LoopClosed
from .future import AsyncioFuture
from .promise import ActorLoopClosed, ExcInfo, running_loop
from .query import Query
from .run_queue import Mail, Mailbox, ReplyTo, RunQueue

R = TypeVar("R")
A = TypeVar("A", bound="AsyncioActor")

logger = logging.getLogger("pykka")  # the name and the levels that Pykka's documentation gives


class _Start:
    """The first message of an actor that has an ``on_start``."""


_START: Final = _Start()
_PYKKAS_OWN: Final = frozenset({_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr, _Start})
_lock: Final = threading.RLock()


class _Inbox:
    """What Pykka calls an actor's inbox, as a view: the mail itself is kept in the ref."""

    __slots__ = ("_ref",)

    def __init__(self, ref: "AsyncioRef[Any]") -> None:
        self._ref = ref

    def put(self, envelope: Any, /) -> None:
        self._ref._queue.put(self._ref, (envelope.message, envelope.reply_to))

    def get(self) -> Any:
        raise NotImplementedError("the run queue hands an AsyncioActor its messages")

    def empty(self) -> bool:
        return not self._ref._mail


class _Stopped:
    """What Pykka calls `actor_stopped`, as a view: ``is_set``, ``set`` and ``wait`` of an Event."""

    __slots__ = ("_ref",)

    def __init__(self, ref: "AsyncioRef[Any]") -> None:
        self._ref = ref

    def is_set(self) -> bool:
        return self._ref._stopped

    def set(self) -> None:
        self._ref._stopped = True
        if self._ref._ended is not None and not self._ref._ended.done():
            self._ref._ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        with _lock:
            ended = self._ref._ended = self._ref._ended or AsyncioFuture()
        if not self._ref._stopped:
            try:
                ended.get(timeout=timeout)
            except pykka.Timeout:
                return self._ref._stopped
        return True


class AsyncioRef(Mailbox, pykka.ActorRef[A]):
    """A reference to an actor on an event loop; usable, like any `pykka.ActorRef`, from every thread.

    It holds the actor until that has stopped: an actor that is not registered with Pykka lives as long
    as something holds its ref, or it has mail.
    """

    __slots__ = ("_actor", "_urn", "actor_class")
    actor_class: type[A]
    _ended: AsyncioFuture[None] | None = None

    def __init__(self, actor: A) -> None:
        Mailbox.__init__(self)
        self.actor_class = type(actor)
        self._actor: A | None = actor
        self._urn: str | None = None

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """The actor's URN, made when first asked for."""
        if self._urn is None:
            with _lock:
                self._urn = cast("str | None", self._urn) or uuid.uuid4().urn
        return self._urn

    @property
    def actor_inbox(self) -> _Inbox:  # type: ignore[override]
        """The actor's inbox, as Pykka knows it."""
        return _Inbox(self)

    @property
    def actor_stopped(self) -> _Stopped:  # type: ignore[override]
        """Whether the actor has stopped, as Pykka's event."""
        return _Stopped(self)

    def _actor_weakref(self) -> A | None:  # type: ignore[override]  # a proxy calls it
        return self._actor

    def is_alive(self) -> bool:
        """Whether the actor has not stopped and its event loop is not closed."""
        return not (self._stopped or self._queue.loop.is_closed())

    def tell(self, message: Any) -> None:
        """Send ``message`` and wait for nothing.

        Raises:
            pykka.ActorDeadError: the actor has stopped, or its loop is closed.

        """
        if self._stopped:
            raise _dead(self)
        self._queue.put(self, (message, None))

    def tell_if_alive(self, message: Any) -> bool:
        """Send ``message`` unless the actor has stopped or its loop is closed; whether it was sent."""
        if self._stopped:
            return False
        try:
            self._queue.put(self, (message, None))
        except ActorLoopClosed:
            return False
        return True

    # Narrower than Pykka's: the type of the reply is that of the query.
    @overload  # type: ignore[override]
    def ask(
        self, message: Query[R], *, block: Literal[False], timeout: float | None = None
    ) -> AsyncioFuture[R]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = None
    ) -> AsyncioFuture[Any]: ...
    @overload
    def ask(self, message: Query[R], *, block: Literal[True] = True, timeout: float | None = None) -> R: ...
    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send ``message`` and get a future of the reply (``block=False``), or wait for the reply itself.

        Raises:
            BlockingCallOnLoop: ``block=True`` in a thread whose event loop runs; nothing was sent.
            pykka.Timeout: ``block=True`` and no reply within ``timeout`` seconds; the actor goes on.
            Exception: ``block=True``, and whatever the handler raised, or `pykka.ActorDeadError`.

        """
        if block:
            _refuse_on_loop("ask")
        future: AsyncioFuture[Any] = AsyncioFuture()
        if self._stopped:
            future.set_exception(_info(_dead(self)))
        else:
            future.source = queue = self._queue
            try:
                queue.put(self, (message, future))
            except ActorLoopClosed:
                future.set_exception()
        return future.get(timeout=timeout) if block else future

    def forward(self, message: Any, reply_to: ReplyTo) -> None:
        """Send ``message`` with the reply address of another asker: the actor answers there.

        Never raises for a dead actor when there is a ``reply_to``: that gets the `pykka.ActorDeadError`.
        """
        try:
            if self._stopped:
                raise _dead(self)
            self._queue.put(self, (message, reply_to))
        except pykka.ActorDeadError:
            if reply_to is None:
                raise
            reply_to.set_exception()

    @overload
    def stop(self, *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...
    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> AsyncioFuture[bool]: ...
    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | AsyncioFuture[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | AsyncioFuture[bool]:
        """Ask the actor to stop after the messages it has; True if it was alive, False if it was not.

        Raises:
            BlockingCallOnLoop: ``block=True`` in a thread whose event loop runs; nothing was sent.
            pykka.Timeout: ``block=True``, and it did not stop within ``timeout`` seconds; it still will.

        """
        if block:
            _refuse_on_loop("stop")
        future: AsyncioFuture[bool] = AsyncioFuture()
        future.source = self._queue
        try:
            if self._stopped:
                raise _dead(self)
            self._queue.put(self, (_ActorStop(), future))
        except pykka.ActorDeadError:
            future.set(False)
        return future.get(timeout=timeout) if block else future

    # -- for the run queue ----------------------------------------------------------------

    def _handle(self, message: Any, reply_to: ReplyTo) -> None:
        """Let the actor handle one message; the end of the actor if this was its last."""
        actor = self._actor
        if actor is None:
            self._turn_away((message, reply_to))
            return
        try:
            if type(message) in _PYKKAS_OWN:
                actor._receive(message, reply_to)
            else:
                actor.on_message(message, reply_to)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            actor._raised(error, reply_to)
        except BaseException as error:
            actor._raised_to_end_all(error, message, reply_to)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # what is to end the process ends it, on the loop as anywhere
        finally:
            if self._stopped:
                self._lay_to_rest()

    def _lay_to_rest(self) -> None:
        """Answer everyone still waiting, and let go of the actor."""
        waiting, self._mail = self._mail, None
        self._actor = None
        if isinstance(waiting, deque):
            while waiting:  # emptied, because the run queue may be in the middle of it
                self._turn_away(waiting.popleft())
        elif waiting is not None:
            self._turn_away(waiting)

    def _turn_away(self, mail: Mail) -> None:
        message, reply_to = mail
        if reply_to is None or _is_answered(reply_to):
            return
        if isinstance(message, _ActorStop):
            reply_to.set(True)
        else:
            reply_to.set_exception(_info(pykka.ActorDeadError(f"{self} stopped before handling the message")))

    def _loop_has_closed(self) -> None:
        if not self._stopped:
            self.actor_stopped.set()
            if self.actor_class.registered:
                pykka.ActorRegistry.unregister(self)
            self._lay_to_rest()


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
            self._actor_ref.tell(_START)

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
    def actor_inbox(self) -> _Inbox:  # type: ignore[override]
        """The actor's inbox, as Pykka knows it."""
        return self._actor_ref.actor_inbox

    @property
    def actor_stopped(self) -> _Stopped:  # type: ignore[override]
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
        if message is _START:
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

    def request_stop(self, reply_to: ReplyTo) -> None:
        """Ask this actor to stop after the messages it has; ``reply_to`` is answered when it has stopped."""
        self._actor_ref.forward(_ActorStop(), reply_to)

    def _raised(self, error: BaseException, reply_to: ReplyTo) -> None:
        if isinstance(error, asyncio.CancelledError):
            # Passed on as it is, it would look to the task that awaits like a cancellation of its own.
            cause, error = error, RuntimeError(f"{self} met a CancelledError that was not its own")
            error.__cause__ = cause
        exc_info = type(error), error, error.__traceback__
        if reply_to is not None and not _is_answered(reply_to):
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


def _refuse_on_loop(call: str) -> None:
    if running_loop() is not None:
        raise BlockingCallOnLoop(
            f"a blocking {call}() would block the event loop of this thread; nothing was sent. "
            f"Use `await ref.{call}(..., block=False)`"
        )


def _dead(ref: AsyncioRef[Any]) -> pykka.ActorDeadError:
    return pykka.ActorDeadError(f"{ref} not found")


def _info(error: BaseException) -> ExcInfo:
    return type(error), error, error.__traceback__


def _is_answered(reply_to: "pykka.Future[Any]") -> bool:
    return isinstance(reply_to, AsyncioFuture) and reply_to.done()
