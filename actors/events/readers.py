"""All readers of one session: which are woken when, and whose streams end."""

import asyncio
from collections.abc import Iterable, Iterator
from contextvars import Context
from itertools import islice

from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.actors.runtime.stack import is_deep

from .mark import Mark
from .outlet import Encoded
from .subscription import Subscription

#: How many readers are handed something in one pass of the loop; the others wait for the next pass.
WAKE_BATCH = 256
#: So many readers are handed an event by the call that publishes it, not in the next pass of the loop.
FEW = 4
#: For so many seconds after that, what is published waits for the next pass: a burst is written whole.
BURST = 0.001
#: How many streams are ended in one pass: the end of each costs its connection much more than an event does.
END_BATCH = 64


class Readers:
    """The subscriptions of a session that has any; a session without keeps no such object."""

    __slots__ = (
        "_context",
        "_handed_out_at",
        "_head",
        "_heeded",
        "_loop",
        "_mark",
        "_passing",
        "_subscriptions",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: dict[Subscription, None] = {}
        #: That of the log when an event was last published.
        self._head = 0
        #: The last `close` that was due to all, and the last one that a whole pass has brought to each.
        self._mark = self._heeded = Mark(0, StreamEnd.SHUTDOWN, superseded=False)
        #: Whether a pass is under way, or due in the next pass of the loop.
        self._passing = False
        #: When an event was last handed out by the call that published it, by the loop's clock.
        self._handed_out_at = -BURST
        #: Not that of the turn that publishes: connections are no business of its.
        self._context = Context()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._subscriptions)

    def __contains__(self, reader: object) -> bool:
        return reader in self._subscriptions

    def add(self, reader: Subscription) -> None:
        """Hand out to this reader from now on."""
        self._subscriptions[reader] = None
        reader.heed_from(self._mark)

    def remove(self, reader: Subscription) -> None:
        """Let go of this reader."""
        del self._subscriptions[reader]

    def published(self, head: int) -> None:
        """An event was appended to the log, whose head is now ``head``.

        A few readers get it at once. More of them, those that have just been given one, and all where the
        stack is deep get it in the next pass of the loop, together with all that is published until then.
        """
        self._head = head
        if self._passing:
            return
        if len(self._subscriptions) <= FEW:
            now = self._loop.time()
            if now - self._handed_out_at >= BURST and not is_deep():
                self._handed_out_at = now
                self._context.run(self._hand_out, self._subscriptions)
                return
        self._begin()

    def end(self, head: int, end: StreamEnd, *, superseded: bool = False) -> None:
        """A `close` is due at ``head``, the log's: each does what it was asked for (see `Subscription.end`).

        A reader that looks finds it at once; those that wait are woken in the next passes of the loop.
        """
        mark = Mark(head, end, superseded=superseded)
        self._mark.next, self._mark, self._head = mark, mark, head
        if not self._passing:
            self._begin()

    def _begin(self) -> None:
        self._loop.call_soon(self._pass, context=self._context)
        self._passing = True  # not before: an agent may publish where the stack has no room for that call

    @property
    def _batch(self) -> int:
        return WAKE_BATCH if self._mark is self._heeded else END_BATCH

    def _pass(self) -> None:
        """Hand out what was published, batch by batch: ten thousand writes at once would hold up all else."""
        if len(self._subscriptions) <= self._batch:
            self._passing, self._heeded = False, self._mark
            self._hand_out(self._subscriptions)
        else:
            self._go_on(iter(list(self._subscriptions)), self._head, self._mark)

    def _go_on(self, readers: Iterator[Subscription], head: int, mark: Mark) -> None:
        """Go on with a pass that began there; begin another one if something was due meanwhile."""
        size = self._batch
        batch = list(islice(readers, size))
        self._hand_out(batch)
        if len(batch) == size:
            self._loop.call_soon(self._go_on, readers, head, mark)
            return
        self._heeded = mark
        if self._mark is mark and self._head == head:
            self._passing = False
        else:
            self._loop.call_soon(self._pass)

    def _hand_out(self, readers: Iterable[Subscription]) -> None:
        head = self._head
        encoded: Encoded = {}
        for reader in readers:
            reader.published(head, encoded)
