"""What came of cancelling an agent at each of its awaits. Pure."""

from collections.abc import Iterator
from itertools import groupby

from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.words import TurnStatus, Verdict

from .fault import Fault


@value
class Trial:
    """One run of an agent. ``at``: the number of the await at which it was cancelled, ``None``: it was not.

    Await 0 is before its first step. ``where`` is the line of that await. ``again``: at which await of its
    cleanup it was cancelled a second time. ``verdict`` is what the cancel was answered.
    """

    at: int | None
    again: int | None
    where: str
    status: TurnStatus
    verdict: Verdict | None
    faults: tuple[Fault, ...] = ()

    @property
    def title(self) -> str:
        """When it was cancelled, in words."""
        if self.at is None:
            return "without a cancel" if self.verdict is None else f"at the horizon ({self.where})"
        point = f"at await {self.at} ({self.where})" if self.at else "before its first step"
        return point if self.again is None else f"{point} and at await {self.again} of its cleanup"

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        if self.at is None and self.verdict is not None:
            return "endless"
        return str(self.status if self.verdict is None else self.verdict)


@value
class Report:
    """What `cancel_at_every_await` found. ``print(report)`` shows it at a glance.

    ``awaits`` is how many awaits a whole run has, ``tried`` at how many of them the agent was cancelled, and
    ``trials`` are the runs. ``cut_short`` says which bound ended the trials early, if one did.
    """

    agent: str
    awaits: int
    tried: int
    trials: tuple[Trial, ...]
    cut_short: str | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Each fault that was found, once, in the order in which they were found."""
        return tuple(dict.fromkeys(fault for trial in self.trials for fault in trial.faults))

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the faults, each once."""
        return tuple(dict.fromkeys(str(fault.code) for fault in self.faults))

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def assert_clean(self) -> None:
        """Raise AssertionError, with the report, if a fault was found."""
        if not self.ok:
            raise AssertionError(f"\n{self}")

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        found = f"{len(self.faults)} fault{'s' * (len(self.faults) != 1)}" if self.faults else "clean"
        tried = f"{self.tried} of {self.awaits}" if self.tried != self.awaits else f"{self.awaits}"
        yield f"{self.agent}: {found} (awaits: {tried}, runs: {len(self.trials)})"
        rows = [_row(list(trials)) for _, trials in groupby(self.trials, _place)]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            yield f"  {'  '.join((*cells, row[3]))}".rstrip()
        for fault in self.faults:
            having = [trial for trial in self.trials if fault in trial.faults]
            yield f"! {fault}"
            yield f"  {fault.code.meaning}"
            yield f"  in {len(having)} of {len(self.trials)} runs, first {having[0].title}"
        if self.cut_short is not None:
            yield f"cut short: {self.cut_short}"


def _place(trial: Trial) -> tuple[bool, str]:
    return trial.at is None, trial.where


def _row(trials: list[Trial]) -> tuple[str, str, str, str]:
    """The runs that were cancelled at the same line, one after the other: which, where, how they ended."""
    numbers = [str(trial.at) for trial in trials if trial.at is not None] or ["-"]
    span = numbers[0] if numbers[0] == numbers[-1] else f"{numbers[0]}-{numbers[-1]}"
    ends = ", ".join(dict.fromkeys(trial.end for trial in trials))
    codes = dict.fromkeys(str(fault.code) for trial in trials for fault in trial.faults)
    return span, trials[0].where, ends, f"! {', '.join(codes)}" if codes else "ok"
