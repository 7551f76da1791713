"""What a group of appends is in the tables: the rows that are written together. Pure.

The log is what is true. What else is in the tables says nothing that it does not say, and is there to be
found: which sessions there are, the turns and messages of each, and its events by their ids.
"""

from typing import Any, NamedTuple, TypeAlias, assert_never

import msgspec

from turnkeeper.actors.journal.contract import Append, Head, Landed
from turnkeeper.actors.journal.entries import (
    Accepted,
    AttemptEnded,
    CancelAsked,
    EarlyCancel,
    Edited,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    Placed,
    SessionClosed,
    Started,
    Titled,
    UndoAsked,
)
from turnkeeper.actors.journal.sqlite.rows import GIVEN_UP, IN_FLIGHT, SessionRow, TurnRow, new_session
from turnkeeper.actors.model.records import Epoch, SessionId, TurnHead
from turnkeeper.actors.model.words import TurnStatus

Row: TypeAlias = tuple[Any, ...]
_messages = msgspec.json.Decoder(list[msgspec.Raw])


class Written(NamedTuple):
    """An append, and its entries as JSON."""

    append: Append
    bodies: tuple[bytes, ...]


class Next(msgspec.Struct):
    """The numbers that the next rows of each table get."""

    session: int
    entry: int
    turn: int


class Group:
    """The rows of appends, each of which fits behind what the log of its session has.

    It changes the rows of the sessions it is handed: they are what will be in the file when it is written.
    """

    def __init__(self, numbers: Next) -> None:
        self._numbers = numbers
        self.entries: list[Row] = []
        self.events: list[Row] = []
        #: What was said in each session: the number of the first message, how many, and of which entry.
        self.said: dict[int, list[Row]] = {}
        #: Of which sessions only so many messages are left, of those said before.
        self.cut: list[tuple[int, int]] = []
        #: The turns and sessions that are other than before.
        self.turns: dict[int, TurnRow] = {}
        self.sessions: dict[int, SessionRow] = {}
        #: Those of which nothing is but the key and the bytes.
        self.longer: dict[int, SessionRow] = {}

    def opens(self, session_id: SessionId) -> SessionRow:
        """The row of a session that has no log yet."""
        number = self._numbers.session
        self._numbers.session += 1
        return new_session(number, session_id)

    def add(self, session: SessionRow, written: Written) -> Landed:
        """Add the rows of an append."""
        append = written.append
        session.key = append.key
        changed = False
        for entry, body in zip(append.entries, written.bodies, strict=True):
            session.size += len(body)
            if type(entry) is Events:
                self.events.append((session.number, entry.epoch, entry.n, None, body.decode()))
                continue
            changed = True
            if type(entry) is Titled:
                session.title, session.folded = entry.title, entry.title.casefold()
                self._entry(session.number, None, None, body)
                continue
            session.head = Head(session.head + 1)
            turn = self._note(session, entry, body)
            if turn is not None:
                turn.last = session.head
                self.turns[turn.number] = turn
            self._entry(session.number, session.head, None if turn is None else turn.number, body)
        if changed:
            session.stands()
            self.sessions[session.number] = session
        else:
            self.longer[session.number] = session
        return Landed(append.key, session.head)

    def _entry(self, session: int, position: Head | None, turn: int | None, body: bytes) -> None:
        self.entries.append((self._numbers.entry, session, position, turn, body.decode()))
        self._numbers.entry += 1

    def _note(self, session: SessionRow, entry: Entry, body: bytes) -> TurnRow | None:
        """What the entry says of the session, and the turn that it is about, as it stands after it."""
        match entry:
            case Started(turn_id, epoch, at, spec):
                turn = session.turns[turn_id] if spec is None else self._turn(session, spec.head)
                session.epoch = turn.epoch = epoch
                session.active_at = max(session.active_at, at)
                self._own_event(session, turn, epoch, 0)
                return turn
            case Ended():
                return self._ended(session, entry)
            case Accepted(spec):
                return self._turn(session, spec.head)
            case Placed(turn_id) | Edited(turn_id):
                return session.turns[turn_id]
            case CancelAsked(turn_id):
                turn = session.turns[turn_id]
                turn.asked = 1
                return turn
            case UndoAsked(turn_id):
                return session.turns[turn_id]
            case AttemptEnded(turn_id, epoch, at):
                turn = session.turns[turn_id]
                session.epoch, turn.epoch = epoch, None
                session.active_at = max(session.active_at, at)
                self._own_event(session, turn, epoch, 0)
                return turn
            case EndedLate(turn_id):
                turn = session.turns.pop(turn_id)
                turn.open = None
                return turn
            case Opened(owner, at):
                session.owner, session.active_at = owner, at
            case EarlyCancel():
                session.note_early(body)
            case SessionClosed():
                session.closed = self._numbers.entry
                session.cursor = session.data = None
                self._keep(session, 0)
            case Titled() | Events():
                pass  # nothing depends on them
            case _:
                assert_never(entry)
        return None

    def _turn(self, session: SessionRow, head: TurnHead) -> TurnRow:
        number = self._numbers.turn
        self._numbers.turn += 1
        turn = TurnRow(
            number,
            session.number,
            head.turn_id,
            head.submitted_at,
            session.head,
            session.head,
            None,
            IN_FLIGHT,
        )
        session.turns[head.turn_id] = turn
        return turn

    def _ended(self, session: SessionRow, entry: Ended) -> TurnRow:
        head, turn_id, number = entry.head, entry.turn_id, self._numbers.entry
        turn = session.turns[turn_id] if head is None else self._turn(session, head)
        session.active_at = max(session.active_at, entry.at)
        epoch = turn.epoch
        if entry.epoch is not None:
            session.epoch = epoch = entry.epoch
        if head is not None:
            session.spend_early(turn_id)
        if entry.n is not None and epoch is not None:
            self._own_event(session, turn, epoch, entry.n)
        if entry.status is TurnStatus.UNRESPONSIVE:
            turn.open = GIVEN_UP
        else:
            turn.open = None
            del session.turns[turn_id]
        if entry.data is not None:
            session.data = number
        if entry.keep is not None:
            self._say(session, entry, entry.keep, epoch)
        return turn

    def _say(self, session: SessionRow, entry: Ended, keep: int, epoch: Epoch | None) -> None:
        add = entry.add or ()
        count = len(_messages.decode(add)) if isinstance(add, msgspec.Raw) else len(add)
        if count or keep < session.messages:
            self._keep(session, keep)
            session.cursor = None if entry.n is None else f"{epoch}-{entry.n}"
        if count:
            part = session.number, session.messages, count, self._numbers.entry
            self.said.setdefault(session.number, []).append(part)
            session.messages += count

    def _keep(self, session: SessionRow, keep: int) -> None:
        """So many of the messages are left."""
        if keep >= session.messages:
            return
        session.messages = keep
        said = self.said.pop(session.number, ())
        left = [
            (of, first, min(count, keep - first), entry) for of, first, count, entry in said if first < keep
        ]
        if left:
            self.said[session.number] = left
        self.cut.append((session.number, keep))

    def _own_event(self, session: SessionRow, turn: TurnRow, epoch: Epoch, n: int) -> None:
        self.events.append((session.number, epoch, n, turn.number, None))
