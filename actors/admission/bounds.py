"""How much one user may have, and how much there may be in all, with the refusal at each bound. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from turnkeeper.actors.metrics import meter
from turnkeeper.actors.metrics.meter import Counter
from turnkeeper.actors.model.exceptions import (
    MessageTooLarge,
    QueueFull,
    SessionError,
    TitleTooLong,
    TooDeep,
    TooManyChildren,
    TooManyOfAgent,
    TooManyPolicies,
    TooManySessions,
    TooManyStreams,
    TooManyTurns,
    TooManyUnresponsive,
    TooManyWaiting,
    TooMuchKept,
)
from turnkeeper.actors.session.settings import Settings


class Bound(NamedTuple):
    """How much of one thing there may be."""

    what: str
    per_user: int
    in_all: int
    error: type[SessionError]

    def refusal(
        self,
        of_user: int,
        in_all: int,
        *,
        bounded: bool,
        most: int | None = None,
        most_in_all: int | None = None,
    ) -> SessionError | None:
        """Why there may be no more, if that is so: that much there is of it already.

        Only a ``bounded`` user has a bound of their own: ``most``, or the one of all users. ``most_in_all``
        is what the bound in all has become since the start, if it may change.
        """
        per_user = self.per_user if most is None else most
        at_most = self.in_all if most_in_all is None else most_in_all
        if bounded and of_user >= per_user:
            return self.error(f"a user has at most {per_user} {self.what}")
        if in_all >= at_most:
            return self.error(f"there are at most {at_most} {self.what} in all")
        return None


class Bounds(NamedTuple):
    """All of them."""

    sessions: Bound
    turns: Bound
    unresponsive: Bound
    streams: Bound
    kept: Bound

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(
            Bound("sessions", settings.max_sessions, settings.max_sessions_in_all, TooManySessions),
            Bound("turns in flight", settings.max_in_flight, settings.max_in_flight_in_all, TooManyTurns),
            Bound(
                "turns that did not stop and still run",
                settings.max_unresponsive,
                settings.max_unresponsive_in_all,
                TooManyUnresponsive,
            ),
            Bound("streams", settings.max_streams, settings.max_streams_in_all, TooManyStreams),
            Bound("bytes kept", settings.max_kept, settings.max_kept_in_all, TooMuchKept),
        )


#: What counts the refusals at each bound, these and the others.
COUNTERS: Final[Mapping[type[Exception], Counter]] = {
    TooManySessions: meter.TOO_MANY_SESSIONS,
    TooManyTurns: meter.TOO_MANY_TURNS,
    TooManyOfAgent: meter.TOO_MANY_OF_AGENT,
    TooManyWaiting: meter.TOO_MANY_WAITING,
    TooManyStreams: meter.TOO_MANY_STREAMS,
    TooMuchKept: meter.TOO_MUCH_KEPT,
    TooDeep: meter.TOO_DEEP,
    TooManyChildren: meter.TOO_MANY_CHILDREN,
    TooManyPolicies: meter.TOO_MANY_POLICIES,
    QueueFull: meter.QUEUE_FULL,
    TooManyUnresponsive: meter.TOO_MANY_UNRESPONSIVE,
    MessageTooLarge: meter.MESSAGES_TOO_LARGE,
    TitleTooLong: meter.TITLES_TOO_LONG,
}
