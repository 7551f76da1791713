"""From what the model and the users wrote down: figures and faults. Pure.

What a server says is held against it, never for it: an answer that says "stopped" can only add a fault.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .log import AuditLog, ModelRequest, ReadEntry, RequestEnd, SendEntry, StopEntry
from .plan import Fate


class Fault(Enum):
    """What can be wrong, in the report's words."""

    AFTER_STOP = "tokens generated after Stop was answered"
    OVERLAP = "turns that overlapped"
    LOST_STOP = "Stops that got lost"
    LIE = "answers that said stopped when it was not"
    WRONG_TURN = "late Stops that hit the next turn"
    LOST = "tokens that readers lost"
    DOUBLED = "tokens that readers got twice or out of order"
    INVENTED = "tokens that readers got but no model generated"
    NEVER_REACHED = "messages that never reached the model"
    CUT_SHORT = "turns cut short without a Stop"
    REPEATED = "messages given to the model twice"
    REFUSED = "sends refused while nothing ran"
    UNANSWERED = "requests without an answer"
    OUT_OF_TIME = "users who did not finish in time"
    NOTHING = "no message reached the model"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault at one turn of one session, ``count`` times or tokens.

    ``status`` is the status of the answer, where that is the fault.
    """

    fault: Fault
    session: str = ""
    n: int = -1
    count: int = 1
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The figures of one audit."""

    findings: tuple[Finding, ...]
    sends: int
    stops: int
    late_stops: int
    requests: int
    unmarked: int
    generated: int
    seen: int
    refused_while_busy: int
    silence: tuple[float, ...]
    """The seconds from each Stop that had something to stop to the end of the model's work, sorted."""

    def count(self, fault: Fault) -> int:
        """How many times the fault was found, or how many tokens it concerns."""
        return sum(each.count for each in self.findings if each.fault is fault)

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not self.findings


def judge(log: AuditLog, slack: float, lost_after: float) -> Judgement:
    """Every fault that the log shows. ``slack`` and ``lost_after`` are those of `Pace`."""
    requests: dict[str, list[ModelRequest]] = defaultdict(list)
    for each in sorted(log.requests, key=lambda request: request.began):
        requests[each.session].append(each)
    findings: list[Finding] = []
    if not log.requests:
        findings.append(Finding(Fault.NOTHING))
    if log.out_of_time:
        findings.append(Finding(Fault.OUT_OF_TIME, count=log.out_of_time))
    for session, some in requests.items():
        findings += _overlaps(session, some, slack)
        findings += _repeats(session, some)
    findings += _stops(log.stops, requests, slack, lost_after)
    hit_late = {(stop.session, stop.n + 1) for stop in log.stops if stop.late}
    busy = 0
    for sent in log.sends:
        excused, found = _send(sent, requests[sent.session], hit_late)
        busy += excused
        findings += found
    fates = {(sent.session, sent.n): sent.fate for sent in log.sends}
    for read in log.reads:
        findings += _reading(read, requests[read.session], fates)
    return Judgement(
        findings=tuple(findings),
        sends=len(log.sends),
        stops=sum(not stop.late for stop in log.stops),
        late_stops=sum(stop.late for stop in log.stops),
        requests=len(log.requests),
        unmarked=log.unmarked,
        generated=sum(len(request.tokens) for request in log.requests),
        seen=sum(len(read.tokens) for read in log.reads),
        refused_while_busy=busy,
        silence=tuple(sorted(_silences(log.stops, requests))),
    )


def _overlaps(session: str, requests: Sequence[ModelRequest], slack: float) -> Iterable[Finding]:
    """A turn overlaps if the model still made a token for an earlier one after its own request began."""
    for at, later in enumerate(requests):
        last = max((token for earlier in requests[:at] for token in earlier.tokens), default=-math.inf)
        if last > later.began + slack:
            yield Finding(Fault.OVERLAP, session, later.n)


def _repeats(session: str, requests: Sequence[ModelRequest]) -> Iterable[Finding]:
    for n, times in Counter(request.n for request in requests).items():
        if times > 1:
            yield Finding(Fault.REPEATED, session, n, times - 1)


def _stops(
    stops: Sequence[StopEntry], requests: dict[str, list[ModelRequest]], slack: float, lost_after: float
) -> Iterable[Finding]:
    paid: set[tuple[str, int]] = set()
    for stop in sorted(stops, key=lambda stop: stop.asked):
        if not stop.status:
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


def _silences(stops: Sequence[StopEntry], requests: dict[str, list[ModelRequest]]) -> Iterable[float]:
    for stop in stops:
        ends = [
            request.ended
            for request in requests[stop.session]
            if request.n <= stop.n and request.began <= stop.answered and request.ended > stop.asked
        ]
        if ends and not stop.late:
            yield max(ends) - stop.asked


def _send(
    sent: SendEntry, requests: Sequence[ModelRequest], hit_late: set[tuple[str, int]]
) -> tuple[bool, list[Finding]]:
    """Whether the send was refused for a good reason, and what is wrong with it."""

    def finding(fault: Fault) -> tuple[bool, list[Finding]]:
        return False, [Finding(fault, sent.session, sent.n)]

    if not sent.status:
        return finding(Fault.UNANSWERED)
    if not 200 <= sent.status < 300:
        # Whether something was running is for the model to say, not for the server.
        if any(each.began <= sent.answered and each.ended >= sent.asked for each in requests):
            return True, []
        return False, [Finding(Fault.REFUSED, sent.session, sent.n, status=sent.status)]
    if sent.fate is not Fate.FINISH:
        return False, []
    mine = [request for request in requests if request.n == sent.n]
    if any(request.end is RequestEnd.FINISHED for request in mine):
        return False, []
    if (sent.session, sent.n) in hit_late:
        return finding(Fault.WRONG_TURN)
    return finding(Fault.CUT_SHORT if mine else Fault.NEVER_REACHED)


def _reading(
    seen: ReadEntry, requests: Sequence[ModelRequest], fates: dict[tuple[str, int], Fate]
) -> Iterable[Finding]:
    by_id = {request.id: request for request in requests}
    got: dict[str, set[int]] = defaultdict(set)
    highest: dict[str, int] = {}
    twice, invented = Counter[int](), 0
    for name, k in seen.tokens:
        request = by_id.get(name)
        if request is None or not 0 <= k < len(request.tokens):
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
        whole = request.end is RequestEnd.FINISHED and fates.get((seen.session, request.n)) is Fate.FINISH
        expected = len(request.tokens) if whole else highest.get(request.id, -1) + 1
        if expected > len(got[request.id]):
            yield Finding(Fault.LOST, seen.session, request.n, expected - len(got[request.id]))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile of sorted values; ``None`` if there are none."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else None
