"""What is counted of the turns of one agent. Pure."""

from bisect import bisect_left
from collections import defaultdict
from typing import Final

from .histogram import Histogram

#: The bounds of what a turn waits for: that another one settles, or that its own coroutine stops.
WAITS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: The bounds of what a person waits for: a model's first word, or its last one.
ANSWERS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class TurnFigures:
    """How the turns of one agent ended, and how long they took."""

    __slots__ = ("cancel_latency", "duration", "ends", "first_event", "queue_wait", "superseded", "tokens")

    def __init__(self) -> None:
        #: How many ended, by their terminal status and the strategy that they were sent with.
        self.ends: defaultdict[tuple[str, str], int] = defaultdict(int)
        #: The place of how many a newer message took.
        self.superseded = 0
        #: How many tokens they have used, by their kind.
        self.tokens: defaultdict[str, int] = defaultdict(int)
        #: From its start to its end, of each that was started.
        self.duration = Histogram(ANSWERS)
        #: From its send to the first event of its agent.
        self.first_event = Histogram(ANSWERS)
        #: From its send to its start, of each that had to wait for another one.
        self.queue_wait = Histogram(WAITS)
        #: From the request to stop to its end, of each that was started.
        self.cancel_latency = Histogram(WAITS)

    def end(self, status: str, strategy: str, seconds: float | None = None) -> None:
        """One more has ended, so long after its start, if it was started."""
        self.ends[status, strategy] += 1
        if seconds is not None:
            # As `observe` does, without a call: every turn passes here.
            duration = self.duration
            duration.counts[bisect_left(ANSWERS, seconds)] += 1
            duration.sum += seconds
