"""All readers of one session: which are woken when, and whose streams end."""

import asyncio
from collections.abc import Iterator

from turnkeeper.actors.model.words import StreamEnd
from turnkeeper.actors.runtime import in_batches

from .subscription import Subscription

#: How many readers are woken in one pass of the loop; the others wait for the next pass.
WAKE_BATCH = 256
#: After how many events the readers' lags are looked at.
LAG_CHECK = 64


class Readers:
    """The subscriptions of a session that has any; a session without keeps no such object."""

    __slots__ = ("_loop", "_subscriptions", "_waking")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: dict[Subscription, None] = {}
        self._waking = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, reader: object) -> bool:
        return reader in self._subscriptions

    def __iter__(self) -> Iterator[Subscription]:
        """A snapshot of them: what is done to one may remove it."""
        return iter(list(self._subscriptions))

    def add(self, reader: Subscription) -> None:
        """Wake this reader from now on."""
        self._subscriptions[reader] = None

    def remove(self, reader: Subscription) -> None:
        """Let go of this reader."""
        del self._subscriptions[reader]

    def published(self, head: int) -> None:
        """An event was appended to the log, whose head is now ``head``."""
        if head % LAG_CHECK == 0:
            for reader in self:
                if not reader.ended and reader.lag > reader.max_lag:
                    reader.overflow()
        if len(self._subscriptions) <= WAKE_BATCH:
            for reader in self._subscriptions:
                reader.wake()
        elif not self._waking:
            self._waking = True
            self._wake(list(self._subscriptions))

    def _wake(self, readers: list[Subscription]) -> None:
        """Wake them batch by batch: ten thousand writes in one pass would hold up everything else."""
        in_batches(self._loop, iter(readers), WAKE_BATCH, _wake_all, self._wake_those_behind)

    def _wake_those_behind(self) -> None:
        """Wake the readers that looked before the last event was published, and wait again since."""
        behind = [reader for reader in self._subscriptions if reader.parked and reader.lag]
        if behind:
            self._loop.call_soon(self._wake, behind)
        else:
            self._waking = False

    def end(self, end: StreamEnd, *, superseded: bool = False) -> None:
        """A `close` is due: each does what it was asked for (see `Subscription.end`)."""
        for reader in self:
            reader.end(end, superseded=superseded)


def _wake_all(readers: list[Subscription]) -> None:
    for reader in readers:
        reader.wake()
