"""What one user has. Pure."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar


class Amounts:
    """How much there is of each thing: of one user's, or in all."""

    __slots__ = ("kept", "sessions", "streams", "turns")

    def __init__(self) -> None:
        #: The sessions that are known, asleep or not.
        self.sessions = 0
        #: The turns that hold one of them, or are about to.
        self.turns = 0
        self.streams = 0
        #: How many bytes of events and messages.
        self.kept = 0


class Held:
    """A session as one of its owner's: a link in a chain, which costs two pointers and no entry in a dict."""

    __slots__ = ("_next", "_previous", "holdings")

    _next: Any
    _previous: Any
    #: What its owner has.
    holdings: "Holdings[Any]"


S = TypeVar("S", bound=Held)


class Holdings(Amounts, Generic[S]):
    """What one user has, and the user's sessions: iterate over a copy if they may change meanwhile.

    They stand in the order in which they were opened, or last fell asleep.
    """

    __slots__ = ("_first", "_last", "in_all", "user")

    def __init__(self, user: str, in_all: Amounts) -> None:
        super().__init__()
        self.user = user
        #: What all users have together.
        self.in_all = in_all
        self._first: S | None = None
        self._last: S | None = None

    def __iter__(self) -> Iterator[S]:
        session = self._first
        while session is not None:
            yield session
            session = session._next

    @property
    def nothing(self) -> bool:
        """Whether the user has nothing."""
        return not (self.sessions or self.turns or self.streams or self.kept)

    def add(self, session: S) -> None:
        """One session more."""
        session.holdings = self
        self._append(session)
        self.sessions += 1
        self.in_all.sessions += 1

    def remove(self, session: S) -> None:
        """One session less."""
        self._cut_out(session)
        self.sessions -= 1
        self.in_all.sessions -= 1

    def move_to_end(self, session: S) -> None:
        """The session falls asleep: all that slept before stand before it."""
        self._cut_out(session)
        self._append(session)

    def count_turns(self, number: int) -> None:
        """So many turns more."""
        self.turns += number
        self.in_all.turns += number

    def count_streams(self, number: int) -> None:
        """So many streams more."""
        self.streams += number
        self.in_all.streams += number

    def keep(self, size: int) -> None:
        """So many bytes more."""
        self.kept += size
        self.in_all.kept += size

    def _append(self, session: S) -> None:
        session._previous, session._next = self._last, None
        if self._last is None:
            self._first = session
        else:
            self._last._next = session
        self._last = session

    def _cut_out(self, session: S) -> None:
        previous, following = session._previous, session._next
        if previous is None:
            self._first = following
        else:
            previous._next = following
        if following is None:
            self._last = previous
        else:
            following._previous = previous
        session._previous = session._next = None
