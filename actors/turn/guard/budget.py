"""How much a turn may emit and use, and how much of that it has. Pure."""

import sys
from typing import Final

#: How many events beyond its budget, and bytes of them, a turn may emit while it cleans up.
LAST_EVENTS: Final = 16
LAST_BYTES: Final = 65_536


class Budget:
    """The events of one turn, the bytes of their data, and the tokens that it has used."""

    __slots__ = ("_bytes", "_most_bytes", "_most_events", "_most_tokens", "exceeded")

    def __init__(self, max_events: int | None, max_event_bytes: int | None, max_tokens: int | None) -> None:
        self._most_events = sys.maxsize if max_events is None else max_events
        self._most_bytes = sys.maxsize if max_event_bytes is None else max_event_bytes
        self._most_tokens = sys.maxsize if max_tokens is None else max_tokens
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
        self._leave_the_last(before)
        return False

    def covers(self, before: int, tokens: int) -> bool:
        """Whether the turn may have used so many tokens, after ``before`` events.

        Where it may not, the budget has no room for any event from then on.
        """
        if self.exceeded is None and tokens > self._most_tokens:
            self.exceeded = f"more than {self._most_tokens} tokens"
            self._leave_the_last(before)
        return self.exceeded is None

    def _leave_the_last(self, before: int) -> None:
        self._most_events, self._most_bytes = before + LAST_EVENTS, self._bytes + LAST_BYTES

    def takes_last(self, before: int, text: str) -> bool:
        """The same for what is emitted once the budget is exceeded, for which there is a little more."""
        size = self._bytes + (len(text) if text.isascii() else len(text.encode()))
        if before >= self._most_events or size > self._most_bytes:
            return False
        self._bytes = size
        return True
