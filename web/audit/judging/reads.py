"""What readers saw of each reply. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from turnkeeper.web.audit.log import ModelRequest, ReadEntry, Reply, RequestEnd, StreamEnd
from turnkeeper.web.audit.plan import Fate

from .faults import Fault, Finding


def reading(
    seen: ReadEntry, requests: Sequence[ModelRequest], fates: Mapping[tuple[str, int], Fate]
) -> Iterable[Finding]:
    """Tokens that are missing, came twice, or were never generated."""
    by_id = {request.id: request for request in requests}
    got: dict[str, set[int]] = defaultdict(set)
    highest: dict[str, int] = {}
    twice = Counter[int]()
    invented = sum(not _was_generated(by_id.get(name), k) for name, k in seen.forgotten)
    gone = {reply.n: reply.gone for reply in seen.replies if reply.gone is not None}
    for name, k in seen.tokens:
        request = by_id.get(name)
        if request is None or not _was_generated(request, k):
            invented += 1
            continue
        if k <= highest.get(name, -1):
            twice[request.n] += 1
        highest[name] = max(k, highest.get(name, -1))
        got[name].add(k)
    if invented:
        yield Finding(Fault.INVENTED, seen.session, count=invented)
    for n, times in twice.items():
        yield Finding(Fault.DOUBLED, seen.session, n, times)
    for request in requests:
        # The end of a turn that was stopped or superseded may be missing, but nothing before it.
        # And so may that of one which was over before its reader came back.
        finished = request.end is RequestEnd.FINISHED and gone.get(request.n, -math.inf) < request.ended
        whole = finished and fates.get((seen.session, request.n)) is Fate.FINISH
        expected = len(request.tokens) if whole else highest.get(request.id, -1) + 1
        if expected > len(got[request.id]):
            yield Finding(Fault.LOST, seen.session, request.n, expected - len(got[request.id]))


def _was_generated(request: ModelRequest | None, k: int) -> bool:
    return request is not None and 0 <= k < len(request.tokens)


def endless(seen: ReadEntry, requests: Sequence[ModelRequest], lost_after: float) -> Iterable[Finding]:
    """A stream that is open long after its turn, or that ends a whole reply without its last event."""
    for reply in seen.replies:
        mine = [request for request in requests if request.n == reply.n]
        if mine and _is_endless(reply, mine, seen.left - lost_after):
            yield Finding(Fault.ENDLESS, seen.session, reply.n)


def _is_endless(reply: Reply, requests: Sequence[ModelRequest], long_ago: float) -> bool:
    match reply.end:
        case StreamEnd.MARKED | None:
            return False
        case StreamEnd.CLOSED:
            return any(request.end is RequestEnd.FINISHED for request in requests)
        case StreamEnd.OPEN:
            return all(request.ended < long_ago for request in requests)


def read_whole(
    seen: ReadEntry, requests: Sequence[ModelRequest], fates: Mapping[tuple[str, int], Fate]
) -> Iterable[tuple[ModelRequest, float]]:
    """The requests whose replies came whole, each with the moment when the first token was read."""
    for request in requests:
        if (
            request.end is RequestEnd.FINISHED
            and fates.get((seen.session, request.n)) is Fate.FINISH
            and request.id in seen.first
        ):
            yield request, seen.first[request.id]


def buffered(whole: Sequence[tuple[ModelRequest, float]]) -> Iterable[Finding]:
    """Replies of which nothing came before all was generated.

    A machine that stalls does that to one or the other; of a server that does it, most are.
    """
    found = [request for request, first in whole if first > request.tokens[-1]]
    if 2 * len(found) > len(whole):
        yield from (Finding(Fault.BUFFERED, request.session, request.n) for request in found)
