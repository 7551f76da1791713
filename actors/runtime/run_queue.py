"""The run queue of an event loop: which of the actors that have mail is next.

Theory of operation
-------------------

An idle actor costs nothing but its ref, which is its mailbox. One that has mail stands once in the run
queue of its loop, and one ``call_soon`` serves all that got mail in the same pass. In that callback each
mailbox in turn hands a bounded number of messages to its actor and goes to the end of the queue if there
are more; after a bounded number of messages in all the loop gets to do something else. So one flooded actor
holds up neither the other actors (they wait for `MESSAGES_PER_ACTOR` messages at most) nor the rest of the
loop (`MESSAGES_PER_PASS`).

A mailbox has three forms, because most of them are empty, and most of the others have one message: nothing,
one message as it is, or, from its second message until it is empty again, a deque.

*At once.* A coroutine that the loop runs, or a callback that it calls, may have its message handled before
`RunQueue.put_now` returns: the queue then runs where it stands, and not in a later pass of the loop. It is
the same run in the same context and with the same bounds, at another time. That takes place only while the
queue is at rest, with no mail anywhere and no handler under way, so that no message overtakes another and no
handler runs inside another one. After `MESSAGES_PER_PASS` of them one goes through the loop all the same, and
those that follow queue behind it: a pass in which thousands of tasks end takes no longer than it did. A
handler needs room on the stack, and a coroutine may stand at the end of a deep one: see `AsyncioRef.ask_now`.

*Which thread does what.* Everything but the inlet belongs to the loop's thread. There a put stores the
message and sees to the callback. From any other thread a put appends to the inlet, which is locked, and
wakes the loop once for all that lies there; the loop's thread moves that to the mailboxes. A put on the
loop's thread empties the inlet first, so that what was put earlier is handled earlier, from whichever thread.

*The races, and what answers each.*

1. A signal handler, or a finaliser that the garbage collector calls, puts while the loop's thread is in the
   middle of a put. The one runs between two calls, the other where something is allocated. So nothing
   stands between a look at a mailbox and the store, and where a deque has to be made the mailbox is looked
   at again. What is put in the middle of a `put_now` is handled in the same run, after its message. The
   inlet's lock is reentrant, for the same reason.
2. A thread puts while the inlet is being emptied. The mark that the loop was woken is taken back *before*
   the look into the inlet: what comes later wakes it again, and at worst it wakes for nothing.
3. The actor stops while it has mail. The mailbox is emptied by its owner, also in the middle of
   `RunQueue._run`, which therefore looks before every message; mail that still lies in the inlet is turned
   away when it is taken in.
4. The loop is closed. The next put, from whatever thread, gives up all mail that lies anywhere in the
   queue, answers all that wait for it, and raises. A loop that is closed between that look and the wake-up
   raises as well.
5. An exception that ends the process leaves a handler, and so the callback. What is left is scheduled again
   in a ``finally``: if the loop goes on, all others keep their mail.
6. A loop is run by one thread, then by another. In which one is learnt anew in every callback; until then a
   put of the new thread goes through the inlet, which is right from everywhere.

*What is weak about it.* Like the promise it leans on the global interpreter lock. Nothing bounds a mailbox:
the senders must bound what is under way. If nothing is put after a loop was closed, those that wait learn of
it only by looking (see `promise`). A handler that blocks holds up everything; nothing here can see that.
"""

# A mailbox and its queue are one thing in two classes, so they look into each other.
# pyright: reportPrivateUsage=false

import asyncio
import contextvars
import threading
import weakref
from collections import deque
from threading import get_ident
from typing import Any, Final, TypeAlias, cast

import pykka

from .promise import ActorLoopClosed, running_loop

ReplyTo: TypeAlias = "pykka.Future[Any] | None"
Mail: TypeAlias = "tuple[Any, ReplyTo]"

MESSAGES_PER_PASS: Final = 256
"""How many messages a run queue has handled before the loop gets to do something else."""

MESSAGES_PER_ACTOR: Final = 32
"""How many of them one actor may handle before it is the next one's turn."""


class Mailbox:
    """What has mail. Idle, it has neither list nor deque: one message lies here as it is."""

    __slots__ = ("_mail", "_queue", "_stopped")

    def __init__(self) -> None:
        self._mail: Mail | deque[Mail] | None = None
        self._queue: RunQueue = NOT_STARTED
        self._stopped = False

    def _handle(self, message: Any, reply_to: ReplyTo) -> None:
        """Handle one message. The run queue calls it; it lets nothing through but what ends the process."""
        raise NotImplementedError

    def _turn_away(self, mail: Mail) -> None:
        """Answer mail that came too late."""
        raise NotImplementedError

    def _loop_has_closed(self) -> None:
        """Nothing will be handled any more: answer all that wait."""
        raise NotImplementedError


class RunQueue:
    """The mailboxes of one event loop that have mail, and the callback in which it is handled.

    On the loop's thread a message costs little more than an append. Messages from other threads come in
    through an inlet, with one wake-up of the loop for all that wait there. What was put before is handled
    before, from whichever thread. Each loop has its own (`RunQueue.of`); it need not run yet, or for ever.
    """

    __slots__ = (
        "__weakref__",
        "_at_once",
        "_context",
        "_inlet",
        "_inlet_is_due",
        "_is_due",
        "_lock",
        "_ready",
        "loop",
        "thread",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Where the loop runs, as far as is known. Learnt anew in every callback.
        self.thread = get_ident() if running_loop() is loop else None
        self._ready: deque[Mailbox] = deque()
        #: Whether it runs, or the loop is going to let it run.
        self._is_due = False
        #: How many messages were handled at once since one went through the loop.
        self._at_once = 0
        self._inlet: deque[tuple[Mailbox, Mail]] = deque()
        self._inlet_is_due = False
        self._lock = threading.RLock()  # a garbage collection inside it may run code that puts
        # Handlers do not run in the context of the code that happened to wake the queue: that would carry one
        # request's context variables into the turns of another.
        self._context = contextvars.Context()

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> "RunQueue":
        """The run queue of ``loop``."""
        with _queues_lock:
            known = _queues.get(loop)
            queue = known() if known is not None else None
            if queue is None:
                queue = RunQueue(loop)
                _queues[loop] = weakref.ref(queue)
            return queue

    def put(self, box: Mailbox, mail: Mail) -> None:
        """Put ``mail`` into a mailbox, from any thread, without waiting.

        Raises:
            ActorLoopClosed: it will never be handled.

        """
        if self.loop.is_closed():
            self._give_up(box)
            raise ActorLoopClosed(f"{box} lived on an event loop that is closed")
        if get_ident() != self.thread:
            self._put_from_thread(box, mail)
            return
        if self._inlet:
            self._empty_inlet()
        self._enqueue(box, mail)

    def put_now(self, box: Mailbox, mail: Mail) -> None:
        """Put ``mail``, and handle it before this returns if nothing is in the way.

        For coroutines that the loop runs and callbacks that it calls.

        Raises:
            ActorLoopClosed: it will never be handled.

        """
        busy = self._is_due or self._inlet or self._at_once == MESSAGES_PER_PASS
        if busy or get_ident() != self.thread or self.loop.is_closed():
            self._at_once = 0
            self.put(box, mail)
            return
        self._at_once += 1
        self._context.run(self._run, box, mail)

    def _give_up(self, box: Mailbox) -> None:
        """The loop is closed: nothing else will answer those that wait."""
        box._loop_has_closed()
        while self._ready:
            self._ready.popleft()._loop_has_closed()
        while self._inlet:
            late, mail = self._inlet.popleft()
            late._turn_away(mail)

    def _enqueue(self, box: Mailbox, mail: Mail) -> None:
        waiting = box._mail
        # No call stands between this look and the store, so no signal handler that puts comes between.
        if waiting is None:
            box._mail = mail
            self._ready.append(box)
        elif isinstance(waiting, deque):
            waiting.append(mail)
        else:
            both = deque((waiting, mail))  # a garbage collection in here may have run code that puts
            if box._mail is waiting:
                box._mail = both
            else:
                cast("deque[Mail]", box._mail).append(mail)
        if not self._is_due:
            self.loop.call_soon(self._run, context=self._context)
            self._is_due = True

    def _put_from_thread(self, box: Mailbox, mail: Mail) -> None:
        with self._lock:
            self._inlet.append((box, mail))
            wake, self._inlet_is_due = not self._inlet_is_due, True
        if wake:
            try:
                self.loop.call_soon_threadsafe(self._take_in)
            except RecursionError:
                self._inlet_is_due = False  # the next one wakes the loop, for this message too
                raise
            except RuntimeError:
                raise ActorLoopClosed(f"the event loop of {box} was closed in this very moment") from None

    def _take_in(self) -> None:
        self.thread = get_ident()
        self._inlet_is_due = False  # before the look into the inlet: a later message wakes again
        self._empty_inlet()

    def _empty_inlet(self) -> None:
        inlet = self._inlet
        while inlet:
            box, mail = inlet.popleft()
            if box._stopped:
                box._turn_away(mail)
            else:
                self._enqueue(box, mail)

    def _run(self, first: Mailbox | None = None, mail: Mail = (None, None)) -> None:
        """Let the actors handle what they have, and before that this mail for ``first``."""
        self.thread = get_ident()
        ready = self._ready
        left = MESSAGES_PER_PASS
        try:
            if first is not None:
                self._is_due = True  # not before it runs: at the end of the stack it never does
                left -= 1
                first._handle(mail[0], mail[1])
            while ready and left > 0:
                box = ready.popleft()
                waiting = box._mail
                if type(waiting) is tuple:  # the usual one
                    box._mail = None
                    left -= 1
                    box._handle(waiting[0], waiting[1])
                elif isinstance(waiting, deque):
                    left -= self._run_several(box, waiting)
        finally:
            # Also when a KeyboardInterrupt leaves through here: the others keep their mail.
            if ready:
                self.loop.call_soon(self._run, context=self._context)
            else:
                self._is_due = False

    def _run_several(self, box: Mailbox, waiting: "deque[Mail]") -> int:
        count = min(len(waiting), MESSAGES_PER_ACTOR)
        try:
            for _ in range(count):
                if not waiting:  # it has stopped, and the rest was turned away
                    break
                message, reply_to = waiting.popleft()
                box._handle(message, reply_to)
        finally:
            if waiting:
                self._ready.append(box)
            else:
                box._mail = None
        return count


class _NoLoop:
    """The loop of an actor under construction."""

    def is_closed(self) -> bool:
        return False


class _NotStarted(RunQueue):
    """Where mail is put before its actor starts: it keeps."""

    __slots__ = ()

    def __init__(self) -> None:
        self.loop = cast("asyncio.AbstractEventLoop", _NoLoop())
        self.thread = None

    def put(self, box: Mailbox, mail: Mail) -> None:
        if isinstance(box._mail, deque):
            box._mail.append(mail)
        else:
            box._mail = deque((mail,))

    put_now = put


NOT_STARTED: Final = _NotStarted()

# The values are weak as well, because a run queue holds its loop. Its mailboxes hold it.
_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[RunQueue]]"
_queues = weakref.WeakKeyDictionary()
_queues_lock = threading.RLock()
