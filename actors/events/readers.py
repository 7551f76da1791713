"""All readers of one session: which are woken when, and whose streams end."""

import asyncio
from collections.abc import Iterable, Iterator
from contextvars import Context
from functools import partial

from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.actors.runtime import in_batches

from .outlet import Encoded
from .subscription import Subscription

#: How many readers are handed something in one pass of the loop; the others wait for the next pass.
WAKE_BATCH = 256
#: After how many events the readers' lags are looked at.
LAG_CHECK = 64
#: So many readers are handed an event by the call that publishes it, not in the next pass of the loop.
FEW = 4
#: For so many seconds after that, what is published waits for the next pass: a burst is written whole.
BURST = 0.001


class Readers:
    """The subscriptions of a session that has any; a session without keeps no such object."""

    __slots__ = ("_context", "_handed_out_at", "_head", "_loop", "_passing", "_subscriptions")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: dict[Subscription, None] = {}
        #: That of the log when an event was last published.
        self._head = 0
        #: Whether a pass is under way, or due in the next pass of the loop.
        self._passing = False
        #: When an event was last handed out by the call that published it, by the loop's clock.
        self._handed_out_at = -BURST
        #: Not that of the turn that publishes: connections are no business of its.
        self._context = Context()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, reader: object) -> bool:
        return reader in self._subscriptions

    def __iter__(self) -> Iterator[Subscription]:
        """A snapshot of them: what is done to one may remove it."""
        return iter(list(self._subscriptions))

    def add(self, reader: Subscription) -> None:
        """Hand out to this reader from now on."""
        self._subscriptions[reader] = None

    def remove(self, reader: Subscription) -> None:
        """Let go of this reader."""
        del self._subscriptions[reader]

    def published(self, head: int) -> None:
        """An event was appended to the log, whose head is now ``head``.

        A few readers get it at once. More of them, and those that have just been given one, get it in the
        next pass of the loop, together with all that is published until then.
        """
        self._head = head
        if head % LAG_CHECK == 0:
            for reader in self:
                if not reader.ended and reader.lag > reader.max_lag:
                    reader.overflow()
        if self._passing:
            return
        if len(self._subscriptions) <= FEW:
            now = self._loop.time()
            if now - self._handed_out_at >= BURST:
                self._handed_out_at = now
                self._context.run(self._hand_out, self._subscriptions)
                return
        self._passing = True
        self._loop.call_soon(self._pass, context=self._context)

    def _pass(self) -> None:
        """Hand out what was published, batch by batch: ten thousand writes at once would hold up all else."""
        if len(self._subscriptions) <= WAKE_BATCH:
            self._passing = False
            self._hand_out(self._subscriptions)
        else:
            done = partial(self._passed, self._head)
            in_batches(self._loop, iter(list(self._subscriptions)), WAKE_BATCH, self._hand_out, done)

    def _hand_out(self, readers: Iterable[Subscription]) -> None:
        head = self._head
        encoded: Encoded = {}
        for reader in readers:
            reader.published(head, encoded)

    def _passed(self, head: int) -> None:
        """A pass that began at ``head`` is over: begin another one if more was published meanwhile."""
        if self._head == head:
            self._passing = False
        else:
            self._loop.call_soon(self._pass)

    def end(self, end: StreamEnd, *, superseded: bool = False) -> None:
        """A `close` is due: each does what it was asked for (see `Subscription.end`)."""
        for reader in self:
            reader.end(end, superseded=superseded)
