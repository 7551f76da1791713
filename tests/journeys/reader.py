"""A reader of a play: a task that waits in `read()`, as the one behind a client's stream does."""

import asyncio
from itertools import pairwise, takewhile

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.subscription import Subscription
from turnkeeper.actors.model.messages import Subscribe
from turnkeeper.actors.model.words import CloseOn


class Reader:
    """What one reader has seen, and the id after which it wanted to read.

    ``number`` is that of its question: what was asked later is handled later. A reader that is on `hold`
    reads nothing, like a client whose network is stuck.
    """

    def __init__(self, number: int, message: Subscribe, subscription: Subscription) -> None:
        self.number = number
        self.session = message.session_id
        self.asker = message.asker
        self.close_on: CloseOn = message.close_on
        self.subscription = subscription
        self.seen: list[Event] = []
        epoch, _, n = (message.cursor or "").partition("-")
        self.after = (int(epoch), int(n)) if epoch.isdigit() and n.isdigit() else None
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._has_left = False
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._may_read.wait()
                batch = await self.subscription.read()
                if not batch:
                    assert self.subscription.ended, "an empty batch is the end"
                    return
                closed = self.seen[-1:] and self.seen[-1].name == "close"
                assert not closed or self.close_on is CloseOn.NEVER, "nothing comes after close"
                self.seen += batch
        finally:
            self.subscription.close()

    # -- What happens to it ---------------------------------------------------------------------------

    def hold(self) -> None:
        """Read no more, once what it waits for has come; one that has left is on its way out."""
        if not self._has_left:
            self._may_read.clear()

    def go_on(self) -> None:
        """Read again."""
        self._may_read.set()

    def leave(self) -> None:
        """Its stream is closed beside it, while it waits."""
        self._has_left = True
        self._may_read.set()
        self.subscription.close()

    def cut(self) -> None:
        """Its task is cancelled: the client has gone."""
        self.task.cancel()

    # -- How it stands --------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Whether it has ended: no one reads here any more."""
        return self.task.done()

    @property
    def attentive(self) -> bool:
        """Whether it reads whatever comes."""
        return not self.gone and self._may_read.is_set()

    @property
    def ids(self) -> list[tuple[int, int]]:
        """The ids of what it has seen."""
        return [(event.epoch, event.n) for event in self.seen if event.epoch is not None]

    @property
    def last(self) -> Event | None:
        """The last event with an id."""
        return next((event for event in reversed(self.seen) if event.epoch is not None), None)

    @property
    def has_skipped(self) -> bool:
        """Whether there is a gap after the last event with an id."""
        after_the_last = takewhile(lambda event: event.epoch is None, reversed(self.seen))
        return any(event.name == "gap" for event in after_the_last)

    def saw_close_after(self, epoch: int) -> bool:
        """Whether a `close` came after the last event of that turn."""
        for event in reversed(self.seen):
            if event.name == "close":
                return True
            if event.epoch == epoch:
                return False
        return False

    def check(self) -> None:
        """Raise what went wrong while it read; each event came once and in order."""
        if self.gone and not self.task.cancelled():
            self.task.result()
        assert all(first < second for first, second in pairwise(self.ids)), "in order, and once"
