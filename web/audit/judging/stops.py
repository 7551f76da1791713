"""What came of each Stop. Pure."""

import math
from collections.abc import Iterable, Sequence

from turnkeeper.web.audit.log import ModelRequest, RequestEnd, StopEntry

from .faults import Fault, Finding


def stopping(
    stops: Sequence[StopEntry], requests: dict[str, list[ModelRequest]], slack: float, lost_after: float
) -> Iterable[Finding]:
    """Stops without an answer, or with one that is not true, and those after which too much was generated."""
    paid: set[tuple[str, int]] = set()
    for stop in sorted(stops, key=lambda stop: stop.asked):
        if stop.status == 0:
            yield Finding(Fault.UNANSWERED, stop.session, stop.n)
        aimed_at = [request for request in requests[stop.session] if request.n <= stop.n]
        after = {
            (request.id, k)
            for request in aimed_at
            for k, token in enumerate(request.tokens)
            if token > stop.answered + slack
        }
        if after and stop.said_stopped:
            yield Finding(Fault.LIE, stop.session, stop.n)
        if after - paid and stop.status:
            yield Finding(Fault.AFTER_STOP, stop.session, stop.n, len(after - paid))
            paid |= after
        if any(_is_lost_on(stop, request, slack, lost_after) for request in aimed_at):
            yield Finding(Fault.LOST_STOP, stop.session, stop.n)


def _is_lost_on(stop: StopEntry, request: ModelRequest, slack: float, lost_after: float) -> bool:
    """Whether a turn went on long after a Stop that was meant for it.

    A Stop that took long, but was answered only once the turn had stopped, is slow and not lost.
    """
    last = request.tokens[-1] if request.tokens else -math.inf
    did_it = request.end is RequestEnd.CLIENT_LEFT and last <= stop.answered + slack
    return last > stop.asked + lost_after and not did_it


def silences(stops: Sequence[StopEntry], requests: dict[str, list[ModelRequest]]) -> Iterable[float]:
    """The seconds from each Stop that had something to stop to the end of the model's work."""
    for stop in stops:
        ends = [
            request.ended
            for request in requests[stop.session]
            if request.n <= stop.n and request.began <= stop.answered and request.ended > stop.asked
        ]
        if ends and not stop.late:
            yield max(ends) - stop.asked
