"""What goes into a session's log along with its decisions: events that were emitted, and titles."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.journal.entries import Entry, Events, Titled
from turnkeeper.actors.metrics.meter import JOURNAL_OVERFLOWS
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.messages import Flush, Retitle
from turnkeeper.actors.model.records import Reason
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.runtime import AsyncioRef, ReplyTo, answer, refuse
from turnkeeper.actors.turn.running import RunningTurns

from .outbox import Outbox, by_epoch


class Packed(NamedTuple):
    """What goes with one append."""

    events: list[Event]
    titles: list[tuple[Retitle, ReplyTo]]

    @property
    def entries(self) -> Iterator[Entry]:
        """What it is in the log. Of several titles the last one counts."""
        for epoch, some in by_epoch(self.events):
            pairs = tuple([(event.name, msgspec.Raw(event.json.encode())) for event in some])
            yield Events(epoch, some[0].n, pairs)
        if self.titles:
            yield Titled(self.titles[-1][0].title)


class Cargo:
    """What of one session is to go along, and who waits for that."""

    __slots__ = ("_actor", "_shared", "_titles", "_turns", "outbox")

    def __init__(self, shared: Shared, actor: AsyncioRef[Any], turns: RunningTurns) -> None:
        self._shared = shared
        self._actor = actor
        self._turns = turns
        self.outbox = Outbox(shared, self)
        #: With those who wait until they are written.
        self._titles: list[tuple[Retitle, ReplyTo]] = []

    def __bool__(self) -> bool:
        return bool(self.outbox or self._titles)

    @property
    def title(self) -> str | None:
        """The session's title, if it is to be written."""
        return self._titles[-1][0].title if self._titles else None

    def add_title(self, message: Retitle, to: ReplyTo) -> None:
        """The session has a title; answer when it is durable."""
        self._titles.append((message, to))

    def pack(self) -> Packed | None:
        """All that waits, for an append; ``None`` if nothing does, as with most decisions."""
        if not self:
            return None
        titles, self._titles = self._titles, []
        return Packed(self.outbox.take(), titles)

    def landed(self, packed: Packed | None) -> None:
        """Answer those who waited for this: it is durable."""
        if packed is None:
            return
        self.outbox.written(packed.events)
        for message, to in packed.titles:
            answer(to, message.summary)

    def put_back(self, packed: Packed | None) -> None:
        """Let this go along with the next append."""
        if packed is None:
            return
        self.outbox.put_back(packed.events)
        self._titles[:0] = packed.titles

    def not_landed(self, packed: Packed | None, error: SessionError) -> None:
        """Let this go along later, and refuse its askers now."""
        if packed is None:
            return
        self.put_back(Packed(packed.events, [(message, None) for message, _ in packed.titles]))
        for _, to in packed.titles:
            refuse(to, error)

    def abandon(self, packed: Packed | None, error: SessionError) -> None:
        """Nothing goes along any more, neither what waits nor what is on its way."""
        titles: list[tuple[Any, ReplyTo]] = self._titles
        if packed is not None:
            self.outbox.written(packed.events)
            titles = [*packed.titles, *titles]
        self.outbox.forget()
        self._titles = []
        for _, to in titles:
            refuse(to, error)

    # -- What the outbox asks for -----------------------------------------------------------------------

    def events_due(self) -> None:
        """Write what the turn emits after a while, together with that of other sessions."""
        self._shared.flush_later(self._actor)

    def events_full(self) -> None:
        """Write what the turn has emitted soon."""
        self._actor.tell_if_alive(Flush())

    def events_overflow(self) -> None:
        """Stop the turn, which emits what cannot be written."""
        turn = self._turns.turn
        if turn is not None and self._turns.stop(turn, Reason(CancelCode.JOURNAL_LOST)):
            self._shared.meter.count(JOURNAL_OVERFLOWS)
