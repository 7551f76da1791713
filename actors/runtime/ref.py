"""A reference to an actor on an event loop: its mailbox, and the way in for everyone else.

An idle actor is its ref and itself, nothing more. What is sent lies in the ref until the `RunQueue` of the
loop lets the actor handle it.
"""

# An actor and its ref are one thing in two classes, so they look into each other.
# pyright: reportPrivateUsage=false

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeVar, cast, overload

import pykka
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from .errors import BlockingCallOnLoop
from .future import AsyncioFuture
from .promise import ActorLoopClosed, ExcInfo, running_loop
from .query import Query
from .run_queue import Mail, Mailbox, ReplyTo
from .stack import is_deep

R = TypeVar("R")
A = TypeVar("A", bound=pykka.Actor)

_lock: Final = threading.RLock()


class Start:
    """The first message of an actor that has an ``on_start``."""


START: Final = Start()
_PYKKAS_OWN: Final = frozenset({_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr, Start})


class _Living(Protocol):
    """What a ref calls of its actor."""

    registered: bool

    def on_message(self, message: Any, reply_to: ReplyTo) -> None: ...
    def _receive(self, message: Any, reply_to: ReplyTo) -> None: ...
    def _raised(self, error: BaseException, reply_to: ReplyTo) -> None: ...
    def _raised_to_end_all(self, error: BaseException, message: Any, reply_to: ReplyTo) -> None: ...
    def why_unhandled(self, error: Exception) -> Exception: ...


class Inbox:
    """What Pykka calls an actor's inbox, as a view: the mail itself is kept in the ref."""

    __slots__ = ("_ref",)

    def __init__(self, ref: "AsyncioRef[Any]") -> None:
        self._ref = ref

    def put(self, envelope: Any, /) -> None:
        """Put an envelope of Pykka's."""
        self._ref._queue.put(self._ref, (envelope.message, envelope.reply_to))

    def get(self) -> Any:
        """Pykka's threads wait here; nothing does so on a loop."""
        raise NotImplementedError("the run queue hands an AsyncioActor its messages")

    def empty(self) -> bool:
        """Whether the actor has no mail."""
        return not self._ref._mail


class Stopped:
    """What Pykka calls `actor_stopped`, as a view: ``is_set``, ``set`` and ``wait`` of an Event."""

    __slots__ = ("_ref",)

    def __init__(self, ref: "AsyncioRef[Any]") -> None:
        self._ref = ref

    def is_set(self) -> bool:
        """Whether the actor has stopped."""
        return self._ref._stopped

    def set(self) -> None:
        """The actor has stopped: wake all that wait for it."""
        self._ref._stopped = True
        if self._ref._ended is not None and not self._ref._ended.done():
            self._ref._ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait in this thread for the actor to stop; whether it has."""
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
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """The actor's inbox, as Pykka knows it."""
        return Inbox(self)

    @property
    def actor_stopped(self) -> Stopped:  # type: ignore[override]
        """Whether the actor has stopped, as Pykka's event."""
        return Stopped(self)

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

    def tell_if_alive(self, message: Any, *, now: bool = False) -> bool:
        """Send ``message`` unless the actor has stopped or its loop is closed; whether it was sent.

        With ``now``, in a coroutine or callback of the loop's, it is handled before this returns if nothing
        is in the way (see `run_queue`).
        """
        if self._stopped:
            return False
        queue = self._queue
        try:
            (queue.put_now if now else queue.put)(self, (message, None))
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
        _ask(self, message, future, self._queue.put)
        return future.get(timeout=timeout) if block else future

    def ask_now(self, message: Query[R], future: AsyncioFuture[R] | None = None) -> AsyncioFuture[R]:
        """Send ``message`` and get a future of the reply, in a coroutine or callback of the loop's.

        It is handled before this returns if nothing is in the way (see `run_queue`) and the stack is not
        deep. ``future`` may be given.
        """
        asked = AsyncioFuture() if future is None else future
        _ask(self, message, asked, self._queue.put if is_deep() else self._queue.put_now)
        return asked

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
        actor: Any = self._actor  # a `_Living`; a cast would be a call for every message
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
        actor, self._actor = self._actor, None
        if isinstance(waiting, deque):
            while waiting:  # emptied, because the run queue may be in the middle of it
                self._turn_away(waiting.popleft(), actor)
        elif waiting is not None:
            self._turn_away(waiting, actor)

    def _turn_away(self, mail: Mail, actor: Any = None) -> None:
        """Answer mail that is not handled any more; ``actor`` is whose end this is, if it is just ending."""
        message, reply_to = mail
        if reply_to is None or is_answered(reply_to):
            return
        if isinstance(message, _ActorStop):
            reply_to.set(True)
        else:
            error = pykka.ActorDeadError(f"{self} stopped before handling the message")
            reply_to.set_exception(_info(error if actor is None else actor.why_unhandled(error)))

    def _loop_has_closed(self) -> None:
        if not self._stopped:
            self.actor_stopped.set()
            if cast("type[_Living]", self.actor_class).registered:
                pykka.ActorRegistry.unregister(self)
            self._lay_to_rest()


def request_stop(ref: AsyncioRef[Any], reply_to: ReplyTo) -> None:
    """Ask an actor to stop after the messages it has; ``reply_to`` is answered when it has stopped."""
    ref.forward(_ActorStop(), reply_to)


def _refuse_on_loop(call: str) -> None:
    if running_loop() is not None:
        raise BlockingCallOnLoop(
            f"a blocking {call}() would block the event loop of this thread; nothing was sent. "
            f"Use `await ref.{call}(..., block=False)`"
        )


def _ask(
    ref: AsyncioRef[Any], message: Any, future: AsyncioFuture[Any], put: Callable[[Mailbox, Mail], None]
) -> None:
    if ref._stopped:
        future.set_exception(_info(_dead(ref)))
        return
    future.source = ref._queue
    try:
        put(ref, (message, future))
    except ActorLoopClosed:
        future.set_exception()


def _dead(ref: AsyncioRef[Any]) -> pykka.ActorDeadError:
    return pykka.ActorDeadError(f"{ref} not found")


def _info(error: BaseException) -> ExcInfo:
    return type(error), error, error.__traceback__


def is_answered(reply_to: "pykka.Future[Any]") -> bool:
    """Whether there is an answer already, as far as can be known."""
    return isinstance(reply_to, AsyncioFuture) and reply_to.done()
