"""What one user has. Pure."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from .chain import Chain, Link


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


class Held(Link):
    """A session as one of its owner's, and maybe one of those that sleep."""

    __slots__ = ("holdings", "nap")

    #: What its owner has.
    holdings: "Holdings[Any]"
    #: Its place among those that sleep, `sleepers.Nap`; ``None`` while it is awake.
    nap: Any

    @property
    def owner(self) -> str:
        """The user whose it is."""
        user: str = self.holdings.user
        return user


S = TypeVar("S", bound=Held)


class Holdings(Amounts, Generic[S]):
    """What one user has, and the user's sessions: iterate over a copy if they may change meanwhile.

    They stand in the order in which they were opened, or last fell asleep.
    """

    __slots__ = ("_chain", "in_all", "user")

    def __init__(self, user: str, in_all: Amounts) -> None:
        super().__init__()
        self.user = user
        #: What all users have together.
        self.in_all = in_all
        self._chain: Chain[S] = Chain()

    def __iter__(self) -> Iterator[S]:
        return iter(self._chain)

    @property
    def nothing(self) -> bool:
        """Whether the user has nothing."""
        return not (self.sessions or self.turns or self.streams or self.kept)

    def add(self, session: S) -> None:
        """One session more."""
        session.holdings = self
        self._chain.append(session)
        self.sessions += 1
        self.in_all.sessions += 1

    def remove(self, session: S) -> None:
        """One session less."""
        self._chain.remove(session)
        self.sessions -= 1
        self.in_all.sessions -= 1

    def move_to_end(self, session: S) -> None:
        """The session falls asleep: all that slept before stand before it."""
        self._chain.remove(session)
        self._chain.append(session)

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
