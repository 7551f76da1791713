"""A table whose entries expire, bounded for each user. Pure: the time is handed in."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    user: str
    value: V
    expires_at: float
    holds: int = 0


class ExpiringTable(Generic[K, V]):
    """Values by key, each kept for a user, for ``ttl`` seconds after it was put or last released.

    A user has at most ``per_user`` of them, all users together at most ``in_all`` (``None``: no such bound).
    An entry that is held does not expire and does not give way to another one, but it counts.
    """

    __slots__ = ("_entries", "_expiring", "_in_all", "_of_user", "_per_user", "_ttl", "gave_way")

    def __init__(self, ttl: float, per_user: int, in_all: int | None = None) -> None:
        self._ttl = ttl
        self._per_user = per_user
        self._in_all = in_all
        #: How many entries gave way to others.
        self.gave_way = 0
        self._entries: dict[K, _Entry[V]] = {}
        #: Those that are not held. All have the same time to live, so the first to expire stands first.
        self._expiring: OrderedDict[K, None] = OrderedDict()
        self._of_user: dict[str, dict[K, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, user: str, key: K, value: V, now: float, *, make_room: bool = False) -> bool:
        """Keep a value, in place of an earlier one of that key; whether there was room for it.

        To ``make_room``, the user's oldest entry gives way, or beyond the bound in all the first to expire.
        """
        self._expire(now)
        self._drop(key)
        if not self._has_room(user) and not (make_room and self._give_way(user)):
            return False
        self._entries[key] = _Entry(user, value, now + self._ttl)
        self._expiring[key] = None
        self._of_user.setdefault(user, {})[key] = None
        return True

    def get(self, key: K, now: float) -> V | None:
        """The value of that key, unless it has expired."""
        self._expire(now)
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def hold(self, key: K) -> None:
        """Keep an entry until it has been released as often as it was held."""
        self._entries[key].holds += 1
        self._expiring.pop(key, None)

    def release(self, key: K, now: float) -> None:
        """Let an entry expire again, if nothing else holds it."""
        entry = self._entries[key]
        entry.holds -= 1
        if not entry.holds:
            entry.expires_at = now + self._ttl
            self._expiring[key] = None

    def _is_crowded(self, user: str) -> bool:
        return len(self._of_user.get(user, ())) >= self._per_user

    def _has_room(self, user: str) -> bool:
        full = self._in_all is not None and len(self._entries) >= self._in_all
        return not full and not self._is_crowded(user)

    def _give_way(self, user: str) -> bool:
        candidates = self._of_user[user] if self._is_crowded(user) else self._expiring
        oldest = next((key for key in candidates if key in self._expiring), None)
        if oldest is None:
            return False
        self._drop(oldest)
        self.gave_way += 1
        return True

    def _expire(self, now: float) -> None:
        while self._expiring:
            key = next(iter(self._expiring))
            if now < self._entries[key].expires_at:
                return
            self._drop(key)

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._expiring.pop(key, None)
            keys = self._of_user[entry.user]
            del keys[key]
            if not keys:
                del self._of_user[entry.user]
