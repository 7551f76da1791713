"""Pages of long lists: what is asked for, and the newest of what there is. Pure.

A list is in the order of time, the newest first, and a page goes on where the one before it ended. Its cursor
also carries when the first page was made: all pages show the order of that moment, so that what moves to the
front meanwhile is neither missed nor shown twice.
"""

import base64
import heapq
import math
from contextlib import suppress
from typing import Final, NamedTuple, Self

from turnkeeper.actors.model.exceptions import InvalidRequest

#: How long a page is by default, and at most.
USUAL: Final = 50
MOST: Final = 200


class Place(NamedTuple):
    """Where something stands in a list: by its time, and of those of the same time by its name."""

    at: float
    name: str


class Cursor(NamedTuple):
    """What comes before ``place``, in the order of the moment ``as_of``."""

    as_of: float
    place: Place

    def __str__(self) -> str:
        """As a text that says nothing to its reader."""
        text = f"{self.as_of!r} {self.place.at!r} {self.place.name}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Self:
        """The cursor of that text. Raises `InvalidRequest`."""
        with suppress(ValueError, TypeError):
            padded = text + "=" * (-len(text) % 4)
            as_of, at, name = base64.b64decode(padded, b"-_", validate=True).decode().split(" ", 2)
            cursor = cls(float(as_of), Place(float(at), name))
            if math.isfinite(cursor.as_of) and math.isfinite(cursor.place.at):
                return cursor
        raise InvalidRequest("before must be what an earlier page had as its before", field="before")


def check_limit(limit: object) -> int:
    """How long a page is to be. Raises `InvalidRequest`."""
    if limit is None:
        return USUAL
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MOST}", field="limit")
    return limit


class Page:
    """The newest places that come after a cursor, of any number that is shown to it in any order."""

    __slots__ = ("_before", "_found", "_limit", "as_of")

    def __init__(self, before: str | None, limit: int | None, now: float) -> None:
        """``now`` is the moment whose order a first page shows. Raises `InvalidRequest`."""
        cursor = None if before is None else Cursor.read(before)
        self._limit = check_limit(limit)
        self._before = None if cursor is None else cursor.place
        self.as_of = now if cursor is None else cursor.as_of
        #: A heap, the oldest first; it has one more than the page if there is a next page.
        self._found: list[Place] = []

    def takes(self, at: float) -> bool:
        """Whether something of that time may be on the page: worth a closer look."""
        full = len(self._found) > self._limit
        return (not full or at >= self._found[0].at) and (self._before is None or at <= self._before.at)

    def add(self, at: float, name: str) -> None:
        """Something of that time is in the list. It has to stand there once only."""
        place = Place(at, name)
        if self._before is not None and place >= self._before:
            return
        if len(self._found) > self._limit:
            heapq.heappushpop(self._found, place)
        else:
            heapq.heappush(self._found, place)

    @property
    def places(self) -> list[Place]:
        """What is on the page, the newest first."""
        return sorted(self._found, reverse=True)[: self._limit]

    @property
    def before(self) -> str | None:
        """The cursor of the next page; ``None`` at the end of the list."""
        return None if len(self._found) <= self._limit else str(Cursor(self.as_of, self.places[-1]))
