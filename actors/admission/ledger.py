"""Who has how much, and whether there is room for more. Pure.

What is counted is what is in memory.
"""

from typing import Generic

from turnkeeper.actors.model.exceptions import SessionError

from .bounds import Bounds
from .holdings import Amounts, Holdings, S

_NOTHING = Amounts()
#: Up to here Python compares numbers at a third of the price.
_SMALL = 2**30 - 1


class Ledger(Generic[S]):
    """What each user has, what all have together, and the bounds of both.

    The questions are answered with the refusal, or with ``None`` where there is room. ``bounded``: whether
    what one user may have is looked at, too.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        # Looked up once: every send asks for these three.
        self._turns_in_all = bounds.turns.in_all
        self._kept, self._kept_in_all = bounds.kept.per_user, min(bounds.kept.in_all, _SMALL)
        self._holdings: dict[str, Holdings[S]] = {}
        self.in_all = Amounts()

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

    def keep(self, user: str, size: int) -> None:
        """So many bytes of this user's are kept more, or less with a minus."""
        holdings = self.of(user)
        holdings.keep(size)
        if size <= 0:
            self.tidy(holdings)

    def kept(self, user: str) -> int:
        """How many bytes of this user's are kept."""
        return self._amounts(user).kept

    def number_of_sessions(self, user: str) -> int:
        """How many sessions this user has."""
        return self._amounts(user).sessions

    def sessions(self, user: str) -> list[S]:
        """The sessions of this user."""
        return list(self._holdings.get(user, ()))

    # -- Whether there may be more ----------------------------------------------------------------------

    def is_roomy(self, user: str, bounded: bool, most: int) -> bool:
        """Whether `no_turn` and `no_byte` are surely both ``None``, without asking them: every send asks.

        ``most`` is how many turns the user may have.
        """
        in_all = self.in_all
        if in_all.turns >= self._turns_in_all or in_all.kept >= self._kept_in_all:
            return False
        holdings = self._holdings.get(user) if bounded else None
        return holdings is None or (holdings.turns < most and holdings.kept < self._kept)

    def no_session(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why the user may have no other session."""
        return self._bounds.sessions.refusal(
            self._amounts(user).sessions, self.in_all.sessions, bounded=bounded
        )

    def no_turn(self, user: str, *, bounded: bool, most: int) -> SessionError | None:
        """Why no other turn may start in the user's sessions, who may have so many at ``most``."""
        turns = self._amounts(user).turns
        return self._bounds.turns.refusal(turns, self.in_all.turns, bounded=bounded, most=most)

    def no_stream(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why the user may open no other stream."""
        return self._bounds.streams.refusal(self._amounts(user).streams, self.in_all.streams, bounded=bounded)

    def no_byte(self, user: str, *, bounded: bool) -> SessionError | None:
        """Why nothing more may be kept in the user's sessions."""
        return self._bounds.kept.refusal(self._amounts(user).kept, self.in_all.kept, bounded=bounded)

    def _amounts(self, user: str) -> Amounts:
        return self._holdings.get(user, _NOTHING)
