"""What a reader asks for that memory has dropped: it is read from the journal, up to where memory goes on.

Memory is ahead of the journal by what is not written yet, and goes on dropping events while the journal is
read. So after each part it is asked anew whether it keeps what comes next: then the reader goes on there,
with nothing left out and nothing twice. A reader gets at most about as much at once as memory keeps of a
session; if there is more in between, it is ended behind that as one that lags, and comes back for the rest.
"""

import asyncio
from contextlib import aclosing
from typing import Final, TypeAlias

from turnkeeper.actors.events.event import INTERRUPTED, Event
from turnkeeper.actors.events.log import FROM_START, EventLog, Past, id_of
from turnkeeper.actors.events.turn_reader import id_after, lacks
from turnkeeper.actors.journal.contract import Journal
from turnkeeper.actors.model.exceptions import JournalDown
from turnkeeper.actors.model.messages import FollowTurn, Subscribe
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.registry.shared import Shared
from turnkeeper.actors.session.holding import drawn
from turnkeeper.actors.session.refusals import shutting_down, unknown_turn

Id: TypeAlias = tuple[Epoch, int]
#: After how many seconds what is not written yet is looked for again, and for how long.
AGAIN_AFTER: Final = 0.05
PATIENCE: Final = 10.0


def is_past(message: Subscribe | FollowTurn, log: EventLog, record: TurnRecord | None) -> bool:
    """Whether memory lacks what a reader is to be given first. Raises `InvalidRequest`.

    ``record`` is the turn's, ``None`` if its session does not remember it.
    """
    if type(message) is FollowTurn:
        return record is None or lacks(log, record, id_after(message.after))
    seen = _seen(message.cursor)
    return (seen is not None or message.cursor in FROM_START) and _is_dropped_after(log, seen)


def _is_dropped_after(log: EventLog, seen: Id | None) -> bool:
    """Whether something was dropped that comes after this id, or anything at all."""
    return log.dropped is not None and (seen is None or seen < log.dropped)


def _seen(cursor: str | None) -> Id | None:
    return None if cursor is None else id_of(cursor)


class Recall:
    """Reads for one reader of a session what its ``log`` does not keep."""

    def __init__(
        self, shared: Shared, journal: Journal, session_id: SessionId, log: EventLog, user: str
    ) -> None:
        """Until it has read that it counts as a stream of this user's."""
        self._shared = shared
        self._journal = journal
        self._session_id = session_id
        self._log = log
        self._is_over = False
        shared.directory.opened_stream(self, user)

    def wake(self) -> None:
        """The registry stops: wait for nothing any more."""
        self._is_over = True

    async def read(
        self, message: Subscribe | FollowTurn, record: TurnRecord | None
    ) -> tuple[Past | None, TurnRecord | None]:
        """What comes first, and the turn's record; no past if the reader's cursor was never given.

        Raises `UnknownTurn`, `JournalDown` and `ShuttingDown`. To be called once.
        """
        try:
            return await self._read(message, record)
        finally:
            self._shared.directory.closed_stream(self)

    async def _read(
        self, message: Subscribe | FollowTurn, record: TurnRecord | None
    ) -> tuple[Past | None, TurnRecord | None]:
        if type(message) is FollowTurn:
            record = record or await self._journal.turn(self._session_id, TurnId(message.turn_id))
            if record is None:
                raise unknown_turn(message.turn_id)
            return await self._of_turn(record, id_after(message.after)), record
        seen = _seen(message.cursor)
        return await self._meet(_Piece(self._shared, None, seen, seen)), None

    async def _of_turn(self, record: TurnRecord, seen: Id | None) -> Past | None:
        log = self._log
        if record.epoch is None or not lacks(log, record, seen):
            return None
        # No event of the turn has a smaller id: see `drawn`.
        first = min(drawn(0, record.submitted_at), record.epoch), -1
        if seen is not None and seen > first:
            if not _is_dropped_after(log, seen):
                return None
            # The first event of each epoch says which turn it is of.
            opening = await self._after((seen[0], -1))
            if opening is None or opening.epoch != seen[0]:
                return None
            if opening.turn_id == record.turn_id:
                found = await self._meet(_Piece(self._shared, record.turn_id, seen, seen))
                return None if found is None else replace(found, epoch=seen[0])
        return await self._meet(_Piece(self._shared, record.turn_id, first, None))

    async def _after(self, seen: Id) -> Event | None:
        async with aclosing(self._journal.read(self._session_id, seen)) as found:
            return await anext(found, None)

    async def _meet(self, piece: "_Piece") -> Past | None:
        """Read on until memory keeps what comes next, or there is enough to go on with."""
        log, loop = self._log, self._shared.loop
        until = loop.time() + PATIENCE
        while True:
            async with aclosing(self._journal.read(self._session_id, piece.due)) as found:
                async for event in found:
                    if not piece.add(event) or piece.is_full or not _is_dropped_after(log, piece.last):
                        break
            if piece.is_over:
                return Past(tuple(piece.events), log.head, complete=not piece.events)
            if piece.never_given:
                return None
            position = None if piece.last is None or piece.unseen else log.behind(piece.last)
            if position is not None or piece.events:
                return Past(tuple(piece.events), position)
            # What comes next is not written yet, or the asker has seen it before it was.
            if self._journal.down is not None:
                raise self._journal.down
            if self._is_over:
                raise shutting_down()
            if loop.time() > until:
                raise JournalDown("what comes next is not written yet")
            await asyncio.sleep(AGAIN_AFTER)


class _Piece:
    """What was read for one reader, of one turn or of all."""

    def __init__(self, shared: Shared, turn_id: TurnId | None, last: Id | None, unseen: Id | None) -> None:
        """``last`` is the id behind which it begins; ``unseen`` the same if it has to be found first."""
        settings = shared.settings
        self._turn_id = turn_id
        self._most, self._most_bytes = settings.log_events, settings.log_bytes
        self._size = 0
        #: Whether what is read is the turn's: before it has begun that may be another's.
        self._begun = turn_id is None or unseen is not None
        self.last = last
        self.unseen = unseen
        self.events: list[Event] = []
        #: Whether the id behind which it was to begin is not there.
        self.never_given = False
        #: Whether the turn has ended.
        self.is_over = False

    @property
    def due(self) -> Id | None:
        """The id after which to read."""
        return self.last if self.unseen is None else (self.unseen[0], self.unseen[1] - 1)

    @property
    def is_full(self) -> bool:
        """Whether that is as much as is read at once."""
        return len(self.events) >= self._most or self._size >= self._most_bytes

    def add(self, event: Event) -> bool:
        """The next event in the journal. False if nothing that comes after it is needed."""
        assert event.epoch is not None, "it has an id"
        here = event.epoch, event.n
        its_end = event.ends_turn and event.turn_id == self._turn_id
        if self.unseen is not None:
            unseen, self.unseen = self.unseen, None
            if here == unseen:
                self.is_over = its_end
                return not its_end
            if not _lost(event, unseen):
                self.never_given = True
                return False
        self.last = here
        self._begun = self._begun or event.turn_id == self._turn_id
        if self._begun:
            self.events.append(event)
            self._size += event.size
            self.is_over = its_end
        return not its_end


def _lost(following: Event, seen: Id) -> bool:
    """Whether a reader may have seen that event although the log has ``following`` in its place.

    Its process ended before it was written: see `EventLog.behind`.
    """
    if following.name != INTERRUPTED:
        return False
    kept = id_of(following.data["kept"] or "")
    return kept is not None and kept[0] == seen[0] and kept < seen
