"""What one user has. Pure."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from .chain import Chain, Link


class Amounts:
    """How much there is of each thing: of one user's, or in all."""

    __slots__ = ("kept", "later", "sessions", "slots", "streams", "turns", "unresponsive", "waiting")

    def __init__(self) -> None:
        #: The sessions that are known, asleep or not.
        self.sessions: int = 0
        #: The turns that hold one of them, or are about to, and never asked for a slot.
        self.turns: int = 0
        #: The others have a slot each, and these wait for one.
        self.slots: int = 0
        self.waiting: int = 0
        #: The turns that will ask for one: at a moment, or when it is known whose their session is.
        self.later: int = 0
        #: The turns that were given up and still run, in sessions that are known.
        self.unresponsive: int = 0
        self.streams: int = 0
        #: How many bytes of events and messages.
        self.kept: int = 0

    @property
    def in_flight(self) -> int:
        """How many turns, with a slot or without."""
        return self.turns + self.slots


class Totals(Amounts):
    """How much there is of each thing in all."""

    __slots__ = ("active", "moved")

    def __init__(self) -> None:
        super().__init__()
        #: How many users have a turn or a slot, or wait for one.
        self.active = 0
        #: What the users have who wait, and whose turns or slots have become more or fewer: to be looked at.
        self.moved: dict[Holdings[Any], None] = {}


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

    __slots__ = ("_active", "_chain", "in_all", "served", "user")

    def __init__(self, user: str, in_all: Totals) -> None:
        super().__init__()
        self.user = user
        #: What all users have together.
        self.in_all = in_all
        self._active = False
        #: The greater, the later was a turn of the user's given a slot; 0: none has asked for one.
        self.served = 0
        self._chain: Chain[S] = Chain()

    def __iter__(self) -> Iterator[S]:
        return iter(self._chain)

    @property
    def nothing(self) -> bool:
        """Whether the user has nothing."""
        turns = self.turns or self.slots or self.waiting or self.later
        return not (turns or self.sessions or self.streams or self.kept)

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
        self.moved()

    def count_slots(self, number: int) -> None:
        """One slot more, or one less."""
        self.slots += number
        self.in_all.slots += number
        if self.slots < 2 or self.waiting:  # else the usual one without a call
            self.moved()

    def count_waiting(self, number: int) -> None:
        """So many turns more that wait for a slot."""
        self.waiting += number
        self.in_all.waiting += number
        self._look()

    def count_later(self, number: int) -> None:
        """So many turns more that will ask for a slot."""
        self.later += number
        self.in_all.later += number

    def moved(self) -> None:
        """The number of turns or slots has changed: for those who count without a call.

        It has to be called between none and one, and while something waits.
        """
        self._look()
        if self.waiting:
            self.in_all.moved[self] = None

    def _look(self) -> None:
        active = bool(self.turns or self.slots or self.waiting)
        if active is not self._active:
            self._active = active
            self.in_all.active += 1 if active else -1

    def count_unresponsive(self, number: int) -> None:
        """So many turns more that were given up and still run."""
        self.unresponsive += number
        self.in_all.unresponsive += number

    def count_streams(self, number: int) -> None:
        """So many streams more."""
        self.streams += number
        self.in_all.streams += number

    def keep(self, size: int) -> None:
        """So many bytes more."""
        self.kept += size
        self.in_all.kept += size
