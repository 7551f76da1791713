"""From what the model and the users wrote down: figures and faults. Pure.

What a server says is held against it, never for it: an answer that says "stopped" can only add a fault.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnkeeper.web.audit.log import AuditLog, Inside, ModelRequest

from .faults import Fault, Finding
from .reads import buffered, endless, read_whole, reading
from .stops import silences, stopping
from .turns import overlaps, repeats, sending


@dataclass(frozen=True, slots=True)
class Judgement:
    """The figures of one audit."""

    findings: tuple[Finding, ...]
    sends: int
    stops: int
    answers: int
    """How many of the Stops, other than late ones, were requests, so that there was an answer to have."""
    late_stops: int
    whole: int
    """How many replies were read to their end by readers who were not slow."""
    streams: int
    """How many replies had a stream of their own, and readers who stayed."""
    requests: int
    in_sessions: int
    """How many of the requests to the model belong to sessions that the server knows."""
    unmarked: int
    generated: int
    seen: int
    refused_while_busy: int
    silence: tuple[float, ...]
    """The seconds from each Stop that had something to stop to the end of the model's work, sorted."""
    inside: Inside | None = None
    not_inside: str = ""
    """Why it is not known what was left in the server, if it is not."""

    def count(self, fault: Fault) -> int:
        """How many times the fault was found, or how many tokens it concerns."""
        return sum(each.count for each in self.findings if each.fault is fault)

    @property
    def paid(self) -> int:
        """The tokens that were generated, where any Stop has an answer after which there may be too many."""
        return self.generated if self.answers else 0

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not self.findings


def judge(log: AuditLog, slack: float, lost_after: float, *, sessions: bool = True) -> Judgement:
    """Every fault that the log shows. ``slack`` and ``lost_after`` are those of `Pace`.

    ``sessions``: whether the server knows which messages belong together.
    """
    requests: dict[str, list[ModelRequest]] = defaultdict(list)
    for each in sorted(log.requests, key=lambda request: request.began):
        requests[each.session].append(each)
    findings: list[Finding] = []
    if not log.requests:
        findings.append(Finding(Fault.NOTHING))
    if log.out_of_time:
        findings.append(Finding(Fault.OUT_OF_TIME, count=log.out_of_time))
    if log.inside is not None:
        findings += _left(log.inside)
    for session, some in requests.items():
        findings += overlaps(session, some, slack) if sessions else ()
        findings += repeats(session, some)
    findings += stopping(log.stops, requests, slack, lost_after)
    hit_late = {(stop.session, stop.n + 1) for stop in log.stops if stop.late}
    busy = 0
    for sent in log.sends:
        excused, found = sending(sent, requests[sent.session], hit_late)
        busy += excused
        findings += found
    fates = {(sent.session, sent.n): sent.fate for sent in log.sends}
    for read in log.reads:
        findings += reading(read, requests[read.session], fates)
        findings += endless(read, requests[read.session], lost_after)
    whole = [each for read in log.reads for each in read_whole(read, requests[read.session], fates)]
    findings += buffered(whole)
    return Judgement(
        findings=tuple(findings),
        sends=len(log.sends),
        stops=sum(not stop.late for stop in log.stops),
        answers=sum(not stop.late and stop.status is not None for stop in log.stops),
        late_stops=sum(stop.late for stop in log.stops),
        whole=len(whole),
        streams=sum(reply.end is not None for read in log.reads for reply in read.replies),
        requests=len(log.requests),
        in_sessions=len(log.requests) if sessions else 0,
        unmarked=log.unmarked,
        generated=sum(len(request.tokens) for request in log.requests),
        seen=sum(len(read.tokens) + len(read.forgotten) for read in log.reads),
        refused_while_busy=busy,
        silence=tuple(sorted(silences(log.stops, requests))),
        inside=log.inside,
        not_inside="" if log.inside is not None else log.not_inside,
    )


def _left(inside: Inside) -> Iterable[Finding]:
    if inside.processes:
        yield Finding(Fault.PROCESSES, count=len(inside.processes))
    if inside.working:
        yield Finding(Fault.THREADS, count=inside.working)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile of sorted values; ``None`` if there are none."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else None
