"""A journal in memory, for tests: it keeps each entry as JSON, and goes through the whole log when asked."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from turnkeeper.actors.admission.page import Page, check_limit
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.shown import Sizes
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.frozen import frozen
from turnkeeper.actors.model.messages import Conversation, SessionPage, SessionSummary, TurnPage
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId, TurnRecord
from turnkeeper.actors.model.words import SessionState
from turnkeeper.actors.session.settings import Settings
from turnkeeper.actors.session.states import Limits
from turnkeeper.actors.turn.kept import Kept
from turnkeeper.actors.turn.transcript import Bound, Transcript

from .contract import Append, Head, History, Landed, Loaded, Moved, Tail
from .durable import Durable, has_open_turns, open_turns, waiting_turns
from .entries import (
    BESIDE,
    AttemptEnded,
    Ended,
    Entry,
    Opened,
    SessionClosed,
    Started,
    Titled,
    decode,
    encode,
)
from .fence import NOWHERE, Fence, Stand, fence
from .fold import fold
from .listed import EVERYTHING, state_of, turns_of
from .replay import replay


class _Log:
    """The log of one session."""

    def __init__(self, session_id: SessionId) -> None:
        self._session_id = session_id
        #: Each entry as JSON, and the head when it had been written.
        self._written: list[tuple[bytes, Head]] = []
        self.key = ""
        self.bytes = 0

    def append(self, append: Append) -> None:
        """Write what it has."""
        head = self.head
        written = list(map(encode, append.entries))
        for entry, each in zip(append.entries, written, strict=True):
            head = head if isinstance(entry, BESIDE) else Head(head + 1)
            self._written.append((each, head))
            self.bytes += len(each)
        self.key = append.key

    @property
    def head(self) -> Head:
        """The position of the last decision."""
        return self._written[-1][1] if self._written else NOWHERE

    @property
    def stand(self) -> Stand:
        """Where it stands."""
        return Stand(self.head, self.durable(EVERYTHING).last_epoch, self.key)

    @property
    def entries(self) -> list[Entry]:
        """All of them."""
        return [decode(written) for written, _ in self._written]

    def decisions_after(self, after: Head) -> tuple[Entry, ...]:
        """The entries behind that head on which decisions depend."""
        behind = (decode(written) for written, head in self._written if head > after)
        return tuple(entry for entry in behind if not isinstance(entry, BESIDE))

    def durable(self, limits: Limits) -> Durable:
        """What of the session's state is durable."""
        return fold(Durable(self._session_id), self.entries, limits)

    @property
    def title(self) -> str | None:
        """The last title it was given."""
        return next((entry.title for entry in reversed(self.entries) if isinstance(entry, Titled)), None)

    def active_by(self, moment: float) -> float | None:
        """When a turn last started or ended by that moment; ``None`` if the session was not open then."""
        times = (
            entry.at for entry in self.entries if isinstance(entry, Opened | Started | AttemptEnded | Ended)
        )
        return max((at for at in times if at <= moment), default=None)

    @property
    def active_at(self) -> float:
        """When a turn last started or ended."""
        at = self.active_by(float("inf"))
        assert at is not None, "a log begins with Opened"
        return at

    def said(self) -> tuple[list[Any], str | None]:
        """All messages of the conversation, and the id of the event that ends the turn which changed it."""
        messages: list[Any] = []
        cursor: str | None = None
        epochs: dict[TurnId, Epoch] = {}
        for entry in self.entries:
            match entry:
                case Started(turn_id, epoch):
                    epochs[turn_id] = epoch
                case SessionClosed():
                    messages, cursor = [], None
                case Ended(turn_id) if entry.keep is not None:
                    if entry.add or entry.keep < len(messages):
                        messages = [*messages[: entry.keep], *map(frozen, entry.add or ())]
                        of = epochs.get(turn_id) if entry.epoch is None else entry.epoch
                        cursor = None if entry.n is None else f"{of}-{entry.n}"
                case _:
                    pass
        return messages, cursor

    def data(self) -> dict[str, Any]:
        """The context's data."""
        data: dict[str, Any] = {}
        for entry in self.entries:
            match entry:
                case Ended(data=dict(changed)):
                    data = changed
                case SessionClosed():
                    data = {}
                case _:
                    pass
        return data


class MemoryJournal:
    """The logs of sessions, as long as this lives. It is never down, and each append is answered at once.

    What else it does, and how much work that is, does not matter: it is what other journals are held to.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, sizes: Sizes | None = None) -> None:
        self._clock = clock
        self._sizes = Sizes.of(Settings()) if sizes is None else sizes
        self._logs: dict[SessionId, _Log] = {}

    async def open(self) -> tuple[SessionId, ...]:
        """Say which sessions have a turn that has not ended, in the order of their sends."""
        found = [(session_id, log.durable(EVERYTHING)) for session_id, log in self._logs.items()]
        sent = [(_first_sent(of), session_id) for session_id, of in found if has_open_turns(of)]
        return tuple(session_id for _, session_id in sorted(sent))

    @property
    def down(self) -> SessionError | None:
        """Never."""
        return None

    def append(self, append: Append) -> None:
        """Write entries behind the session's head; its ``to`` is answered at once."""
        log = self._logs.get(append.session_id)
        verdict = fence(None if log is None else log.stand, append)
        if log is None:
            log = _Log(append.session_id)
        match verdict:
            case Fence.MOVED:
                behind = log.decisions_after(append.after or NOWHERE)
                append.to.tell_if_alive(Moved(append.key, log.head, behind))
                return
            case Fence.OPEN:
                log.append(append)
                self._logs[append.session_id] = log
            case Fence.WRITTEN:
                pass
        append.to.tell_if_alive(Landed(append.key, log.head))

    async def load(self, session_id: SessionId, tail: Tail) -> Loaded | None:
        """The session; ``None`` if it has no log."""
        log = self._logs.get(session_id)
        if log is None:
            return None
        durable = log.durable(tail.limits)
        messages, cursor = log.said()
        data = log.data()
        bound = Bound(tail.messages, tail.message_bytes)
        transcript = Transcript().after(0, tuple(messages), bound)
        kept = Kept(durable.owner, transcript, cursor, data, footprint(data) if data else 0)
        events, dropped = tail.of(reversed(list(self._events(session_id, None))))
        return Loaded(
            session_id,
            log.head,
            durable,
            kept,
            tuple(reversed(events)),
            None if dropped is None or dropped.epoch is None else (dropped.epoch, dropped.n),
            log.title,
            log.active_at,
        )

    async def read(
        self, session_id: SessionId, after: tuple[Epoch, int] | None
    ) -> AsyncGenerator[Event, None]:
        """The numbered events after that id, or all, oldest first."""
        for event in self._events(session_id, after):
            yield event

    def _events(self, session_id: SessionId, after: tuple[Epoch, int] | None) -> Iterator[Event]:
        log = self._logs.get(session_id)
        for event in () if log is None else replay(Durable(session_id), log.entries, self._sizes):
            if event.epoch is not None and (after is None or (event.epoch, event.n) > after):
                yield event

    async def sessions(
        self,
        *,
        owner: str | None = None,
        state: SessionState | None = None,
        q: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> SessionPage:
        """A page of sessions, the last active first. Raises `InvalidRequest`."""
        page = Page(before, limit, self._clock())
        for session_id, log in self._logs.items():
            found = _summary(session_id, log)
            at = log.active_by(page.as_of)
            if at is not None and _is_asked_for(found, owner, state, q):
                page.add(at, session_id)
        ids = (SessionId(place.name) for place in page.places)
        return SessionPage(tuple(_summary(each, self._logs[each]) for each in ids), page.before)

    async def named(self, prefix: str) -> tuple[SessionId, ...]:
        """The sessions whose ids begin with that."""
        return tuple(session_id for session_id in self._logs if session_id.startswith(prefix))

    async def messages(self, session_id: SessionId, before: int | None, limit: int | None) -> Conversation:
        """What was said before so many messages."""
        log = self._logs.get(session_id)
        if log is None:
            return Conversation(session_id)
        messages, cursor = log.said()
        end = len(messages) if before is None else min(len(messages), before)
        start = max(0, end - check_limit(limit))
        return Conversation(session_id, tuple(messages[start:end]), cursor, start)

    async def turns(self, session_id: SessionId, before: str | None, limit: int | None) -> TurnPage:
        """A page of the session's turns, the one sent last first. Raises `InvalidRequest`."""
        page = Page(before, limit, self._clock())
        log = self._logs.get(session_id)
        known: dict[TurnId, TurnRecord] = {}
        for record in () if log is None else turns_of(log.durable(EVERYTHING)):
            known[record.turn_id] = record
            page.add(record.submitted_at, record.turn_id)
        return TurnPage(tuple(known[TurnId(place.name)] for place in page.places), page.before)

    async def turn(self, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        """One turn of the session."""
        log = self._logs.get(session_id)
        turns = () if log is None else turns_of(log.durable(EVERYTHING))
        return next((record for record in turns if record.turn_id == turn_id), None)

    async def forget(self, session_id: SessionId) -> None:
        """Delete the session and all that is kept of it."""
        self._logs.pop(session_id, None)

    async def prune(self, history: History, in_use: AbstractSet[SessionId]) -> int:
        """Forget the sessions that are too many, idle longest first, and none ``in_use``; return how many."""
        too_many = list(self._too_many(history, in_use))
        for session_id in too_many:
            del self._logs[session_id]
        return len(too_many)

    def _too_many(self, history: History, used: AbstractSet[SessionId]) -> Iterator[SessionId]:
        def in_use(each: SessionId) -> bool:
            durable = self._logs[each].durable(EVERYTHING)
            return each in used or has_open_turns(durable)

        def newest_first(each: SessionId) -> tuple[bool, float, str]:
            return (in_use(each), self._logs[each].active_at, each)

        number: dict[str, int] = {}
        size: dict[str, int] = {}
        left: list[SessionId] = []
        # What comes after as much as may be kept was idle longest.
        for session_id in sorted(self._logs, key=newest_first, reverse=True):
            log = self._logs[session_id]
            owner = log.durable(EVERYTHING).owner
            if history.age is not None and log.active_at < self._clock() - history.age:
                too_many = True
            else:
                number[owner] = number.get(owner, 0) + 1
                size[owner] = size.get(owner, 0) + log.bytes
                too_many = number[owner] > history.sessions or size[owner] > history.bytes
            if not too_many or in_use(session_id):
                left.append(session_id)
            else:
                yield session_id
        in_all = 0
        for session_id in left:
            in_all += self._logs[session_id].bytes
            if in_all > history.bytes_in_all and not in_use(session_id):
                yield session_id

    async def close(self) -> None:
        """Nothing is left to be written."""


def _summary(session_id: SessionId, log: _Log) -> SessionSummary:
    durable = log.durable(EVERYTHING)
    return SessionSummary(
        session_id,
        durable.owner,
        log.title,
        state_of(durable),
        log.active_at,
        int(durable.holder is not None),
        len(waiting_turns(durable)),
        len(durable.quarantined),
    )


def _first_sent(durable: Durable) -> float:
    """When the first of its turns was sent that have not ended."""
    return min(turn.spec.submitted_at for turn in open_turns(durable))


def _is_asked_for(
    found: SessionSummary, owner: str | None, state: SessionState | None, q: str | None
) -> bool:
    is_in = found.state is not SessionState.CLOSED if state is None else found.state is state
    title = found.title
    has = not q or (title is not None and q.casefold() in title.casefold())
    return is_in and has and owner in (None, found.user)
