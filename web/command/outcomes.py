"""What a cancel came to, and how a turn ended: in words, and as the command's exit code. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

from turnkeeper.actors.model.words import TurnStatus, Verdict

from .exit_codes import ExitCode
from .wording import ms

_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_STATUSES = {status.value: status for status in TurnStatus}
#: What a turn begins: the member of `still_running`, and one of it.
_BEGUN = {"tasks": "task", "threads": "thread", "processes": "process"}


def verdict_of(answer: Mapping[str, Any]) -> Verdict | None:
    """The verdict of a cancel's answer; ``None`` for one that only a later server knows."""
    return _VERDICTS.get(answer["verdict"])


def status_of(turn: Mapping[str, Any]) -> TurnStatus | None:
    """The status of a turn's record; ``None`` for one that only a later server knows."""
    return _STATUSES.get(turn["status"])


def verdict_text(answer: Mapping[str, Any]) -> str:
    """What a cancel came to."""
    took = ms(answer.get("settled_after_ms"))
    verdict = verdict_of(answer)
    match verdict:
        case Verdict.CANCELLED:
            return f"cancelled after {took}" + (
                ", before it began" if _never_began(answer.get("turn")) else still_running_text(answer)
            )
        case Verdict.FINISHED_FIRST:
            return _finished_first(answer.get("turn") or {"status": "finished"})
        case Verdict.UNRESPONSIVE:
            runs = still_running_text(answer) or "; it may still be running"
            return f"did not stop: given up after {took}{runs}"
        case Verdict.REQUESTED:
            return "asked to stop; the outcome is not known yet"
        case Verdict.NOT_RUNNING:
            return "nothing is running"
        case None:
            return str(answer["verdict"])
        case _:
            assert_never(verdict)


def _finished_first(turn: Mapping[str, Any]) -> str:
    words = _words(turn)
    status = status_of(turn)
    match status:
        case (
            TurnStatus.CANCELLED
            | TurnStatus.TIMED_OUT
            | TurnStatus.UNRESPONSIVE
            | TurnStatus.INTERRUPTED
            | TurnStatus.MERGED
        ):
            return f"had ended already: {words}{_still_ran(turn)}"
        case TurnStatus.COMPLETED | TurnStatus.FAILED | None:
            return f"finished before it could be stopped: {words}"
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            return f"finished first, and is {words}"  # a later turn under the same id
        case _:
            assert_never(status)


def cancel_exit_code(answer: Mapping[str, Any], *, waited: bool) -> ExitCode:
    """The exit code of a cancel; ``waited`` is whether it asked to wait for the outcome."""
    verdict = verdict_of(answer)
    match verdict:
        case Verdict.CANCELLED | Verdict.FINISHED_FIRST:
            return ExitCode.OK
        case Verdict.UNRESPONSIVE:
            return ExitCode.UNRESPONSIVE
        case Verdict.REQUESTED:
            return ExitCode.UNRESPONSIVE if waited else ExitCode.OK
        case Verdict.NOT_RUNNING:
            return ExitCode.UNKNOWN
        case None:
            return ExitCode.FAILED
        case _:
            assert_never(verdict)


def cleared_text(cleared: Sequence[str]) -> str:
    """Which turns that waited were cancelled with another one."""
    which = f"{len(cleared)} turns" if len(cleared) > 1 else "a turn"
    return f"and {which} that waited: {', '.join(cleared)}"


def ending_text(turn: Mapping[str, Any], why: str | None = None) -> str:
    """How a turn that did not complete ended. ``why`` is what the agent reported about its model."""
    return _ending(turn, why) + _still_ran(turn)


def _ending(turn: Mapping[str, Any], why: str | None) -> str:
    reason, error = turn.get("reason") or {}, turn.get("error") or {}
    words = _words(turn)
    if error.get("code"):
        where = ", ".join(error[name] for name in ("stage", "type") if error.get(name))
        more = f": {why}" if why else f" ({where})" if where else ""
        return f"{words}: {error['code']}{more}"
    if turn.get("merged_into"):
        return f"{words}: into turn {turn['merged_into']}"
    if turn.get("superseded_by"):
        return f"{words}: superseded by {turn['superseded_by']}"
    if reason.get("code"):
        by = f", by {turn['by']}" if turn.get("by") else _own_words(reason)
        return f"{words}: {reason['code']}{by}"
    return words


def still_running_text(shown: Mapping[str, Any]) -> str:
    """What runs of a turn as its record or its cancel's answer was made, to stand behind other words."""
    number, counts = _still(shown)
    return f"; {counts} still {'runs' if number == 1 else 'run'}" if number else ""


def _still_ran(turn: Mapping[str, Any]) -> str:
    """What ran of a turn when it was given up, likewise: it may have ended since, as in a restart."""
    number, counts = _still(turn)
    return f"; {counts} still ran" if number else ""


def _still(shown: Mapping[str, Any]) -> tuple[int, str]:
    """How much runs of a turn, as a number and in words."""
    still = shown.get("still_running") or {}
    counts = [(still.get(name, 0), one, name) for name, one in _BEGUN.items()]
    words = [f"{count} {one if count == 1 else several}" for count, one, several in counts if count]
    return sum(count for count, _, _ in counts), " and ".join(words)


def still_running_of(answers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """What runs of several turns, in sum; empty if nothing does."""
    still = [each["still_running"] for each in answers if each.get("still_running")]
    return {name: sum(each.get(name, 0) for each in still) for name in _BEGUN} if still else {}


def _own_words(reason: Mapping[str, Any]) -> str:
    """What the server itself says of a cancel that no user has asked for."""
    return f", {reason['text']}" if reason.get("text") else ""


def usage_text(turn: Mapping[str, Any]) -> str:
    """What a turn has used, as far as its agent has reported it; empty if it has reported nothing."""
    usage = turn.get("usage") or {}
    parts = []
    for name, inner in (("input", "cached"), ("output", "reasoning")):
        count, of_these = usage.get(f"{name}_tokens"), usage.get(f"{inner}_tokens")
        if count is not None:
            parts.append(f"{count:,} {name} tokens" + (f" ({of_these:,} {inner})" if of_these else ""))
    return ", ".join(parts)


def ending_exit_code(turn: Mapping[str, Any], *, stopped: bool) -> ExitCode:
    """The exit code of a turn that was followed to its end; ``stopped`` is whether Ctrl-C was pressed."""
    status = status_of(turn)
    match status:
        case TurnStatus.COMPLETED:
            return ExitCode.OK
        case TurnStatus.UNRESPONSIVE:
            return ExitCode.UNRESPONSIVE
        case TurnStatus.CANCELLED:
            return ExitCode.INTERRUPTED if stopped else ExitCode.FAILED
        case TurnStatus.FAILED | TurnStatus.TIMED_OUT | TurnStatus.INTERRUPTED | TurnStatus.MERGED | None:
            return ExitCode.FAILED
        case TurnStatus.QUEUED | TurnStatus.RUNNING | TurnStatus.CANCELLING:
            raise ValueError(f"the turn has not ended: {turn['status']}")
        case _:
            assert_never(status)


def _words(turn: Mapping[str, Any]) -> str:
    words = str(turn["status"]).replace("_", " ")
    return f"{words} before it began" if _never_began(turn) else words


def _never_began(turn: Mapping[str, Any] | None) -> bool:
    return turn is not None and turn.get("began") is False
