"""How what was found is shown."""

import pytest

from turnkeeper.actors import TurnStatus, Verdict
from turnkeeper.actors.testing import Fault, FaultCode, Report, Trial

SWALLOWED = Fault(FaultCode.SWALLOWED_CANCEL, "it returned")


def trial(at: int | None, again: int | None = None, *faults: Fault, where: str = "a.py:1 in a") -> Trial:
    done = at is None
    status = TurnStatus.COMPLETED if done else TurnStatus.CANCELLED
    return Trial(at, again, "-" if not at else where, status, None if done else Verdict.CANCELLED, faults)


def test_a_clean_report_says_so_in_a_few_lines() -> None:
    report = Report("a", 2, 2, (trial(None), trial(0), trial(1), trial(1, 1), trial(2)))
    assert report.ok
    report.assert_clean()
    assert str(report).splitlines() == [
        "a: clean (awaits: 2, runs: 5)",
        "  -    -            completed  ok",
        "  0    -            cancelled  ok",
        "  1-2  a.py:1 in a  cancelled  ok",
    ]


def test_each_fault_is_told_once_with_the_run_that_shows_it() -> None:
    report = Report(
        "a",
        70,
        3,
        (trial(None), trial(1, None, SWALLOWED), trial(1, 2, SWALLOWED), trial(9, where="a.py:2 in a")),
        "time_limit",
    )
    assert report.faults == (SWALLOWED,)
    assert report.codes == ("swallowed_cancel",)
    with pytest.raises(AssertionError) as raised:
        report.assert_clean()
    assert str(raised.value).strip() == str(report)
    assert str(report).splitlines() == [
        "a: 1 fault (awaits: 3 of 70, runs: 4)",
        "  -  -            completed  ok",
        "  1  a.py:1 in a  cancelled  ! swallowed_cancel",
        "  9  a.py:2 in a  cancelled  ok",
        "! swallowed_cancel: it returned",
        "  the agent was cancelled, and returned instead of raising CancelledError",
        "  in 2 of 4 runs, first at await 1 (a.py:1 in a)",
        "cut short: time_limit",
    ]


def test_a_run_is_named_by_when_it_was_cancelled() -> None:
    endless = Trial(None, None, "a.py:1 in a", TurnStatus.CANCELLED, Verdict.CANCELLED)
    assert [each.title for each in (trial(None), endless, trial(0), trial(1), trial(1, 2))] == [
        "without a cancel",
        "at the horizon (a.py:1 in a)",
        "before its first step",
        "at await 1 (a.py:1 in a)",
        "at await 1 (a.py:1 in a) and at await 2 of its cleanup",
    ]
    assert (endless.end, trial(None).end) == ("endless", "completed")
