"""The rows of sessions and turns that the writer knows, and how they stand in their tables. Data only."""

from typing import Final

import msgspec

from turnkeeper.actors.journal.contract import Head
from turnkeeper.actors.journal.entries import EarlyCancel
from turnkeeper.actors.journal.fence import NOWHERE, Stand
from turnkeeper.actors.model.records import Epoch, SessionId, TurnId
from turnkeeper.actors.model.words import SessionState

#: What is in the column ``open`` of a turn that has not ended, and of one that was given up and still runs.
IN_FLIGHT: Final = 1
GIVEN_UP: Final = 2


class TurnRow(msgspec.Struct, array_like=True):
    """A turn, as its row has it."""

    number: int
    session: int
    id: TurnId
    sent_at: float
    first: Head
    last: Head
    epoch: Epoch | None
    open: int | None
    asked: int = 0


class SessionRow(msgspec.Struct, array_like=True):
    """A session, as its row has it, and those of its turns that are open."""

    number: int
    id: SessionId
    owner: str
    title: str | None
    folded: str | None
    active_at: float
    state: SessionState
    in_flight: int
    queued: int
    unresponsive: int
    head: Head
    epoch: Epoch
    key: str
    early: str
    closed: int | None
    messages: int
    cursor: str | None
    data: int | None
    size: int
    turns: dict[TurnId, TurnRow] = {}

    @property
    def stand(self) -> Stand:
        """Where its log stands."""
        return Stand(self.head, self.epoch, self.key)

    def stands(self) -> None:
        """Note its state, as its turns say."""
        in_flight = queued = unresponsive = 0
        cancelling = False
        for turn in self.turns.values():
            if turn.open == GIVEN_UP:
                unresponsive += 1
            elif turn.epoch is None:
                queued += 1
            else:
                in_flight += 1
                cancelling = bool(turn.asked)
        self.in_flight, self.queued, self.unresponsive = in_flight, queued, unresponsive
        if self.closed is not None:
            self.state = SessionState.CLOSED
        elif in_flight:
            self.state = SessionState.CANCELLING if cancelling else SessionState.RUNNING
        else:
            self.state = SessionState.QUEUED if queued else SessionState.IDLE

    def note_early(self, body: bytes) -> None:
        """A cancel came before its send."""
        early = [*_raw_early.decode(self.early), (msgspec.Raw(body), False)]
        self.early = msgspec.json.encode(early[-_MOST_EARLY:]).decode()

    def spend_early(self, turn_id: TurnId) -> None:
        """The turn is there, if a cancel has come before it."""
        if self.early != NO_EARLY:
            noted = EARLY.decode(self.early)
            early = [(entry, spent or entry.turn_id == turn_id) for entry, spent in noted]
            self.early = msgspec.json.encode(early).decode()


def new_session(number: int, session_id: SessionId) -> SessionRow:
    """That of a session without a log."""
    return SessionRow(
        number,
        session_id,
        owner="",
        title=None,
        folded=None,
        active_at=0.0,
        state=SessionState.IDLE,
        in_flight=0,
        queued=0,
        unresponsive=0,
        head=NOWHERE,
        epoch=0,
        key="",
        early=NO_EARLY,
        closed=None,
        messages=0,
        cursor=None,
        data=None,
        size=0,
        turns={},
    )


#: Reads the cancels that came before their sends, and of each whether that has come. (None is taken
#: away: they say when it is time to forget another one.)
EARLY: Final = msgspec.json.Decoder(list[tuple[EarlyCancel, bool]])
NO_EARLY: Final = "[]"
_raw_early: Final = msgspec.json.Decoder(list[tuple[msgspec.Raw, bool]])
#: How many early cancels are kept with a session: more than it remembers.
_MOST_EARLY: Final = 64
#: The columns of their tables, in order.
SESSION: Final = tuple(name for name in SessionRow.__struct_fields__ if name != "turns")
TURN: Final = TurnRow.__struct_fields__
