"""The figures of an audit, for people and for programs. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .judging.faults import Fault, Finding
from .judging.judge import Judgement, percentile

#: The most findings that are shown to programs.
MOST_FINDINGS = 100

#: The number that each count is a part of; a fault of the whole audit has no row.
_WHOLES = {
    Fault.AFTER_STOP: "paid",
    Fault.OVERLAP: "in_sessions",
    Fault.LOST_STOP: "stops",
    Fault.LIE: "answers",
    Fault.WRONG_TURN: "late_stops",
    Fault.LOST: "generated",
    Fault.DOUBLED: "seen",
    Fault.INVENTED: "seen",
    Fault.BUFFERED: "whole",
    Fault.ENDLESS: "streams",
    Fault.NEVER_REACHED: "sends",
    Fault.CUT_SHORT: "sends",
    Fault.REPEATED: "sends",
    Fault.REFUSED: "sends",
    Fault.UNANSWERED: "",
    Fault.OUT_OF_TIME: "",
}


def rows(judgement: Judgement) -> Sequence[tuple[str, str]]:
    """Every figure with its name."""
    table = [(fault.value, _figure(judgement, fault, of)) for fault, of in _WHOLES.items()]
    half, most = percentile(judgement.silence, 50), percentile(judgement.silence, 99)
    spans = "-" if half is None or most is None else f"{half * 1000:.0f} ms / {most * 1000:.0f} ms"
    return [*table, *_inside(judgement), ("time from Stop to silence, p50 / p99", spans)]


def _inside(judgement: Judgement) -> Sequence[tuple[str, str]]:
    inside = judgement.inside
    if inside is None:
        return [(fault.value, "-") for fault in (Fault.PROCESSES, Fault.THREADS)]
    processes = f"{len(inside.processes)} ({', '.join(inside.processes)})" if inside.processes else "0"
    threads = f"{inside.working}, of {inside.threads} in all, {inside.threads_before} before"
    return [(Fault.PROCESSES.value, processes), (Fault.THREADS.value, threads)]


def _figure(judgement: Judgement, fault: Fault, of: str) -> str:
    count = judgement.count(fault)
    if not of:
        return str(count)
    whole = getattr(judgement, of)
    return f"{count} of {whole}" if whole else "-"


def as_table(judgement: Judgement, name: str, unchecked: Sequence[str] = ()) -> str:
    """The figures as a table for people; ``name`` is the server's, ``unchecked`` what was not measured."""
    table = rows(judgement)
    width = max(len(title) for title, _ in table)
    lines = [f"{'':{width}}  {name}", *(f"{title:{width}}  {figure}" for title, figure in table), ""]
    if unchecked:
        lines += [*(f"Not checked: {each}." for each in unchecked), ""]
    if judgement.inside is None:
        lines += [f"Not looked into the server: {judgement.not_inside}.", ""]
    if judgement.clean:
        return "\n".join([*lines, "No faults found."])
    if judgement.count(Fault.NOTHING):
        lines.append("No message reached the model: does the server ask it at the address above,")
        lines.append("and pass on the user's message?")
    kinds = dict.fromkeys(each.fault for each in judgement.findings)
    first = [next(each for each in judgement.findings if each.fault is kind) for kind in kinds]
    lines.append("Faults found. The first of each kind:")
    return "\n".join([*lines, *(f"  {_line(each)}" for each in first)])


def _line(finding: Finding) -> str:
    where = f": {finding.session}, message {finding.n}" if finding.session else ""
    return finding.fault.value + where + (f", answered {finding.status}" if finding.status else "")


def as_json(judgement: Judgement, unchecked: Sequence[str] = ()) -> dict[str, Any]:
    """The figures and the first findings, for programs."""
    half, most = percentile(judgement.silence, 50), percentile(judgement.silence, 99)
    numbers = {
        name: getattr(judgement, name)
        for name in (
            "sends",
            "stops",
            "late_stops",
            "whole",
            "streams",
            "requests",
            "unmarked",
            "generated",
            "seen",
        )
    }
    return {
        "clean": judgement.clean,
        "faults": {fault.name.lower(): judgement.count(fault) for fault in Fault},
        **numbers,
        "refused_while_busy": judgement.refused_while_busy,
        "stop_to_silence_ms": {
            "p50": None if half is None else round(half * 1000, 1),
            "p99": None if most is None else round(most * 1000, 1),
        },
        "inside": None if judgement.inside is None else asdict(judgement.inside),
        "not_checked": list(unchecked),
        "not_inside": judgement.not_inside or None,
        "findings": [
            {
                "fault": each.fault.name.lower(),
                "session": each.session,
                "message": each.n,
                "count": each.count,
                "status": each.status,
            }
            for each in judgement.findings[:MOST_FINDINGS]
        ],
    }
