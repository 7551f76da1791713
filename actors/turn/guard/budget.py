"""How much a turn may emit, and how much of that it has. Pure."""

import sys
from typing import Final

#: How many events beyond its budget, and bytes of them, a turn may emit while it cleans up.
LAST_EVENTS: Final = 16
LAST_BYTES: Final = 65_536


class Budget:
    """The events of one turn, and the bytes of their data."""

    __slots__ = ("_bytes", "_most_bytes", "_most_events", "exceeded")

    def __init__(self, max_events: int | None, max_event_bytes: int | None) -> None:
        self._most_events = sys.maxsize if max_events is None else max_events
        self._most_bytes = sys.maxsize if max_event_bytes is None else max_event_bytes
        self._bytes = 0
        #: What there was too much of, once there was.
        self.exceeded: str | None = None

    def takes(self, before: int, text: str) -> bool:
        """Count an event with this data, which comes after ``before`` others, if the budget has room for it.

        Where it has none, it has none for any event from then on.
        """
        size = self._bytes + (len(text) if text.isascii() else len(text.encode()))
        if self.exceeded is not None:
            return False
        if before >= self._most_events:
            self.exceeded = f"more than {self._most_events} events"
        elif size > self._most_bytes:
            self.exceeded = f"more than {self._most_bytes} bytes of events"
        else:
            self._bytes = size
            return True
        self._most_events, self._most_bytes = before + LAST_EVENTS, self._bytes + LAST_BYTES
        return False

    def takes_last(self, before: int, text: str) -> bool:
        """The same for what is emitted once the budget is exceeded, for which there is a little more."""
        size = self._bytes + (len(text) if text.isascii() else len(text.encode()))
        if before >= self._most_events or size > self._most_bytes:
            return False
        self._bytes = size
        return True
