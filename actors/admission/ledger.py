"""Who has how much, and whether there is room for more. Pure.

What is counted is what is in memory.
"""

from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Generic

from turnkeeper.actors.model.exceptions import SessionError, TooManyOfAgent

from .bounds import Bounds
from .caps import Caps
from .holdings import Amounts, Holdings, S, Totals

_NOTHING = Amounts()
#: Up to here Python compares numbers at a third of the price.
_SMALL = 2**30 - 1


class Ledger(Generic[S]):
    """What each user has, what all have together, and the bounds of both.

    The questions are answered with the refusal, or with ``None`` where there is room. ``bounded``: whether
    what one user may have is looked at, too.
    """

    def __init__(self, bounds: Bounds, caps: Caps) -> None:
        self._bounds = bounds
        #: The caps as they are now.
        self.caps = caps
        # Looked up once: every send asks for these two.
        self._kept, self._kept_in_all = bounds.kept.per_user, min(bounds.kept.in_all, _SMALL)
        self._holdings: dict[str, Holdings[S]] = {}
        self.in_all = Totals()
        #: How many turns each agent has in flight, with a slot or without.
        self.of_agent: defaultdict[str, int] = defaultdict(int)
        #: In how many sessions a turn of each agent with a cap waits that will not wait for a slot.
        self.waiting_of_agent: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._holdings)

    # -- What there is ----------------------------------------------------------------------------------

    def of(self, user: str) -> Holdings[S]:
        """What this user has, to add to it."""
        holdings = self._holdings.get(user)
        if holdings is None:
            holdings = self._holdings[user] = Holdings(user, self.in_all)
        return holdings

    def tidy(self, holdings: Holdings[S]) -> None:
        """Something was taken from this user: if nothing is left, keep nothing of the user."""
        if holdings.nothing:
            self._holdings.pop(holdings.user, None)

    def count_turn(self, agent: str, number: int) -> None:
        """One turn of this agent's more, or less: its user's are counted in the user's holdings."""
        self.of_agent[agent] += number

    def keep(self, user: str, size: int) -> None:
        """So many bytes of this user's are kept more, or less with a minus."""
        holdings = self.of(user)
        holdings.keep(size)
        if size <= 0:
            self.tidy(holdings)

    def kept(self, user: str) -> int:
        """How many bytes of this user's are kept."""
        return self._amounts(user).kept

    def in_flight(self, user: str) -> int:
        """How many turns of this user's are in flight, with a slot or without."""
        return self._amounts(user).in_flight

    def waiting(self, user: str) -> int:
        """How many turns of this user's wait for a slot, or will."""
        amounts = self._amounts(user)
        return amounts.waiting + amounts.later

    def number_of_sessions(self, user: str) -> int:
        """How many sessions this user has."""
        return self._amounts(user).sessions

    def sessions(self, user: str) -> list[S]:
        """The sessions of this user."""
        return list(self._holdings.get(user, ()))

    # -- Whether there may be more ----------------------------------------------------------------------

    def is_roomy(self, user: str, bounded: bool, most: int) -> bool:
        """Whether `no_turn`, `no_byte` and `too_stubborn` are surely ``None``: every send asks this first.

        ``most`` is how many turns the user may have.
        """
        in_all = self.in_all
        if in_all.turns + in_all.slots >= self.caps.in_all or in_all.kept >= self._kept_in_all:
            return False
        if in_all.unresponsive:
            return False
        holdings = self._holdings.get(user) if bounded else None
        return holdings is None or (holdings.turns + holdings.slots < most and holdings.kept < self._kept)

    def no_session(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why the user may have no other session."""
        return self._bounds.sessions.refusal(
            self._amounts(user).sessions, self.in_all.sessions, bounded=bounded
        )

    def no_turn(self, user: str, *, bounded: bool, most: int) -> SessionError | None:
        """Why no other turn may start in the user's sessions, who may have so many at ``most``."""
        return self._bounds.turns.refusal(
            self._amounts(user).in_flight,
            self.in_all.in_flight,
            bounded=bounded,
            most=most,
            most_in_all=self.caps.in_all,
        )

    def no_turn_of(self, agent: str, most: int | None) -> SessionError | None:
        """Why no other turn of this agent may start, of which so many may be in flight at ``most``.

        Those that wait for their sessions count already, because none is refused when it is to start.
        """
        if most is None or self.of_agent.get(agent, 0) + self.waiting_of_agent.get(agent, 0) < most:
            return None
        return TooManyOfAgent(f"there are at most {most} turns of the agent {agent!r} in flight")

    def too_stubborn(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why no other turn may start in the user's sessions as long as so many run that were given up."""
        in_all = self.in_all.unresponsive
        if not in_all:
            return None
        return self._bounds.unresponsive.refusal(self._amounts(user).unresponsive, in_all, bounded=bounded)

    def no_stream(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why the user may open no other stream."""
        return self._bounds.streams.refusal(self._amounts(user).streams, self.in_all.streams, bounded=bounded)

    @contextmanager
    def room_for_stream(self, user: str) -> Generator[None]:
        """Count a stream of the user's within the block, in which it is to be opened."""
        holdings = self.of(user)
        holdings.count_streams(1)
        try:
            yield
        finally:
            holdings.count_streams(-1)
            self.tidy(holdings)

    def no_byte(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why nothing more may be kept in the user's sessions."""
        return self._bounds.kept.refusal(self._amounts(user).kept, self.in_all.kept, bounded=bounded)

    def _amounts(self, user: str) -> Amounts:
        return self._holdings.get(user, _NOTHING)
