"""Cancels of turns in sessions that are not open yet: the send may still be on its way. Pure."""

from turnkeeper.actors.metrics.meter import EARLY_CANCELS_DROPPED, Meter
from turnkeeper.actors.model.records import Reason, SessionId, TurnId
from turnkeeper.actors.model.words import CancelCode

from .expiring import ExpiringTable

#: How many early cancels are kept in all.
MAX_EARLY_CANCELS = 10_000


class EarlyCancels:
    """Early cancels by user, session and turn: the oldest give way, and all expire after ``ttl`` seconds.

    ``meter`` counts those that gave way.
    """

    def __init__(self, per_user: int, ttl: float, meter: Meter) -> None:
        self._meter = meter
        self._table: ExpiringTable[tuple[str, SessionId, TurnId], Reason] = ExpiringTable(
            ttl, per_user, MAX_EARLY_CANCELS
        )

    def __len__(self) -> int:
        return len(self._table)

    def remember(self, user: str, session: SessionId, turn: TurnId, text: str | None, now: float) -> None:
        """Remember that this user wants that turn stopped, should it come."""
        reason = Reason(CancelCode.USER_REQUEST, user, text)
        before = self._table.gave_way
        self._table.put(user, (user, session, turn), reason, now, make_room=True)
        if self._table.gave_way > before:
            self._meter.count(EARLY_CANCELS_DROPPED)

    def find(self, user: str, session: SessionId, turn: TurnId, now: float) -> Reason | None:
        """Why this turn is to be stopped, if that is remembered.

        It stays remembered: the session may fail before it hears of it, and then the send comes again.
        """
        return self._table.get((user, session, turn), now) if len(self._table) else None
