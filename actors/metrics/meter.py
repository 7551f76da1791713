"""How often what happened. Every counter is a constant here; nothing else spells a counter's name. Pure."""

from typing import Final, NamedTuple


class Counter(NamedTuple):
    """One thing that is counted: its name, and what it means, in a sentence."""

    name: str
    help: str


TURN_COMPLETED: Final = Counter("turn.completed", "Turns that ended as completed.")
TURN_FAILED: Final = Counter("turn.failed", "Turns that ended as failed.")
TURN_CANCELLED: Final = Counter("turn.cancelled", "Turns that ended as cancelled, started or not.")
TURN_TIMED_OUT: Final = Counter("turn.timed_out", "Turns that ended because their time was up.")
TURN_INTERRUPTED: Final = Counter("turn.interrupted", "Turns that were cut off by a failure.")
TURN_UNRESPONSIVE: Final = Counter("turn.unresponsive", "Turns that ended as unresponsive.")
UNRESPONSIVE: Final = Counter(
    "unresponsive_total", "Coroutines that ignored being cancelled for the whole grace and were quarantined."
)
STALE_REPORTS: Final = Counter(
    "stale_reports_total", "Reports of a turn's end that came when the turn no longer held its session."
)
SUBSCRIBER_OVERFLOW: Final = Counter(
    "sse_overflow_total", "Streams that were ended because their reader lagged too far behind."
)
MESSAGES_TOO_LARGE: Final = Counter(
    "messages_too_large_total", "Messages that were refused because they had too much text or too many parts."
)
MESSAGES_ELIDED: Final = Counter(
    "messages_elided_total", "Messages of which readers are shown some parts only by their type and size."
)
MESSAGES_OMITTED: Final = Counter(
    "messages_omitted_total", "Messages that were dropped because their conversation had become too long."
)
CONVERSATIONS_FORGOTTEN: Final = Counter(
    "conversations_forgotten_total", "Conversations that were forgotten because there were too many of them."
)
CONNECTIONS_REFUSED: Final = Counter(
    "connections_refused_total", "Connections that were refused because the server had as many as it may."
)
PEER_CONNECTIONS_REFUSED: Final = Counter(
    "peer_connections_refused_total", "Connections that were refused because their address had too many."
)
CONNECTIONS_CLOSED_IDLE: Final = Counter(
    "connections_closed_idle_total", "Idle connections that were closed to make room for others."
)
CONNECTIONS_TIMED_OUT: Final = Counter(
    "connections_timed_out_total", "Connections whose request's head did not come in time."
)
BODIES_TOO_LARGE: Final = Counter(
    "bodies_too_large_total", "Requests that were refused because their body was larger than one may be."
)
BODIES_OF_MANY_VALUES: Final = Counter(
    "bodies_of_many_values_total", "Requests that were refused because their body held too many JSON values."
)
BODIES_TOO_SLOW: Final = Counter(
    "bodies_too_slow_total", "Requests that were refused because their body did not come in time."
)
UPLOADS_REFUSED: Final = Counter(
    "uploads_refused_total", "Requests that were refused because too many large bodies were being read."
)

COUNTERS: Final = (
    TURN_COMPLETED,
    TURN_FAILED,
    TURN_CANCELLED,
    TURN_TIMED_OUT,
    TURN_INTERRUPTED,
    TURN_UNRESPONSIVE,
    UNRESPONSIVE,
    STALE_REPORTS,
    SUBSCRIBER_OVERFLOW,
    MESSAGES_TOO_LARGE,
    MESSAGES_ELIDED,
    MESSAGES_OMITTED,
    CONVERSATIONS_FORGOTTEN,
    CONNECTIONS_REFUSED,
    PEER_CONNECTIONS_REFUSED,
    CONNECTIONS_CLOSED_IDLE,
    CONNECTIONS_TIMED_OUT,
    BODIES_TOO_LARGE,
    BODIES_OF_MANY_VALUES,
    BODIES_TOO_SLOW,
    UPLOADS_REFUSED,
)
"""All of them."""


class Meter:
    """The counters of one registry, since it opened."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, counter: Counter, times: int = 1) -> None:
        """One more, or so many."""
        name, counts = counter[0], self._counts
        counts[name] = counts.get(name, 0) + times

    def counts(self) -> dict[str, int]:
        """How often each thing happened, by its counter's name. What never happened is left out."""
        return dict(self._counts)
