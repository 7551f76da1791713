"""Counting instructions: what is made of the counts, and that all that is to be counted runs."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.benchmarks.instructions import budget, callgrind, run
from tests.benchmarks.instructions.budget import Line, Verdict, compare
from tests.benchmarks.instructions.count import FLOORS, Phase, Row, per_operation, rows
from tests.benchmarks.instructions.marks import TRIGGER

ROOT = Path(__file__).parent.parent
PYTHON = "{}.{}".format(*sys.version_info)
EVERYTHING = {*FLOORS, *FLOORS.values()}


def all_at(ratio: float) -> list[Row]:
    return [Row(operation, 100 * ratio, 100) for operation in FLOORS]


def verdicts(lines: list[Line]) -> dict[str, Verdict]:
    return {line.operation: line.verdict for line in lines}


# --- from counts to ratios ----------------------------------------------------------------------------------


def test_what_surrounds_the_operations_is_not_counted() -> None:
    phases = [Phase("turn", 10), Phase("floor", 8), Phase("turn", 30), Phase("floor", 2)]
    assert per_operation(phases, [1_000 + 70, 500 + 24, 1_000 + 210, 500 + 6]) == {"turn": 7, "floor": 3}


@pytest.mark.parametrize("lengths", [[10], [10, 10], [10, 20, 30]])
def test_an_operation_without_two_phases_of_different_lengths_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="turn needs two phases"):
        per_operation([Phase("turn", length) for length in lengths], lengths)


@pytest.mark.parametrize("counts", [[1], [1, 2, 3]])
def test_a_count_without_a_phase_is_refused_and_so_is_a_phase_without_a_count(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="zip"):
        per_operation([Phase("turn", 10), Phase("turn", 20)], counts)


def test_every_operation_stands_beside_its_floor() -> None:
    counts = {name: float(number) for number, name in enumerate(sorted(EVERYTHING), 1)}
    found = rows(counts)
    assert [row.operation for row in found] == list(FLOORS)
    assert all(row.ratio == counts[row.operation] / counts[FLOORS[row.operation]] for row in found)


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_what_was_not_counted_is_missed(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        rows(dict.fromkeys(EVERYTHING - {name}, 1.0))


def test_a_phase_is_every_second_part_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(1, 13):
        (tmp_path / f"out.{number}").write_text(f"part: {number}\nsummary: 1\n\ntotals: {number * 100}\n")
    (tmp_path / "out").write_text("totals: 7\n")  # from the last mark to the end of the process
    assert callgrind.counted(tmp_path) == [200, 400, 600, 800, 1000, 1200]


def test_a_part_without_a_total_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"out.{number}").write_text("part: 1\n")
    with pytest.raises(ValueError, match=r"no total into out\.2"):
        callgrind.counted(tmp_path)


# --- the budget ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (4.21, Verdict.EXCEEDED),
        (4.19, Verdict.HELD),
        (4.0, Verdict.HELD),
        (3.81, Verdict.HELD),
        (3.79, Verdict.FELL),
    ],
)
def test_a_ratio_is_held_within_5_percent_of_its_budget(ratio: float, verdict: Verdict) -> None:
    assert verdicts(compare([Row("turn", ratio * 50, 50)], {"turn": 4.0})) == {"turn": verdict}


def test_a_line_that_is_missing_in_the_budget_or_unknown_is_seen() -> None:
    assert verdicts(compare([Row("turn", 4, 1)], {"tern": 4.0})) == {
        "turn": Verdict.NO_BUDGET,
        "tern": Verdict.NOT_COUNTED,
    }


def test_only_a_ratio_that_fell_is_no_failure() -> None:
    assert {verdict for verdict in Verdict if not verdict.fails} == {Verdict.HELD, Verdict.FELL}


def test_the_table_has_a_row_for_every_line_and_says_what_it_comes_to() -> None:
    lines = compare([Row("turn", 500, 100), Row("emit", 220, 100)], {"turn": 4.0, "tern": 1.0})
    head, *table = budget.table(lines, judged=True).splitlines()
    assert head.split() == ["operation", "instructions", "floor", "ratio", "budget", "change"]
    assert [row.split()[:6] for row in table] == [
        ["turn", "500", "100", "5.00", "4.00", "+25.0%"],
        ["emit", "220", "100", "2.20", "-", "-"],
        ["tern", "-", "-", "-", "1.00", "-"],
    ]
    assert all(row.endswith(line.verdict.text) for row, line in zip(table, lines, strict=True))
    assert "BUDGET" not in budget.table(lines, judged=False)


def test_a_new_budget_replaces_that_of_its_python_only(tmp_path: Path) -> None:
    file = tmp_path / "budget.toml"
    assert budget.read(file) == {}
    budget.write(file, "3.12", [Row("turn", 412.3, 100)])
    budget.write(file, "3.11", [Row("turn", 500, 100), Row("emit", 1, 3)])
    budget.write(file, "3.12", [Row("turn", 300, 100)])
    assert budget.read(file) == {"3.11": {"turn": 5.0, "emit": 0.33}, "3.12": {"turn": 3.0}}


def test_every_python_we_support_has_a_budget_for_every_operation_and_for_nothing_else() -> None:
    supported = re.findall(r"Python :: (3\.\d+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert {version: set(ratios) for version, ratios in budget.read(budget.FILE).items()} == {
        version: set(FLOORS) for version in supported
    }


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A budget of 4 for everything, and a run in which everything has a ratio of 4.4."""

    async def measure() -> list[Row]:
        return all_at(4.4)

    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(callgrind, "missing", lambda: None)
    monkeypatch.setattr(budget, "FILE", tmp_path / "budget.toml")
    budget.write(budget.FILE, PYTHON, all_at(4))
    return budget.FILE


def test_a_check_fails_over_the_budget_and_holds_once_that_is_written_anew(file: Path) -> None:
    assert run.main(["--check"]) == 1
    assert run.main([]) == 0
    assert run.main(["--write"]) == 0
    assert run.main(["--check"]) == 0


def test_a_check_without_a_budget_for_this_python_fails(file: Path) -> None:
    file.unlink()
    budget.write(file, "3.10", all_at(5))
    assert run.main(["--check"]) == 1


def test_without_valgrind_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run.main([]) == 1
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_what_ends_a_count_is_called_by_nothing_that_is_counted() -> None:
    files = [path for top in ("actors", "web") for path in (ROOT / top).rglob("*.py")]
    assert callable(getattr(os, TRIGGER))
    assert not [path for path in files if TRIGGER in path.read_text()]


# --- what is counted ----------------------------------------------------------------------------------------


def test_every_operation_and_floor_runs_in_two_phases_of_different_lengths() -> None:
    phases = asyncio.run(run.in_process(callgrind.python(run.IN_PROCESS)))
    phases += asyncio.run(run.through_http(callgrind.python(run.SERVER)))
    assert per_operation(phases, [3 * phase.times for phase in phases]) == dict.fromkeys(EVERYTHING, 3)


@pytest.mark.parametrize("through", [run.in_process, run.through_http])
def test_a_process_that_fails_is_no_result(through: run.Through, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended with status 1"):
        asyncio.run(through(callgrind.python("tests.benchmarks.no_such_module")))
    assert "no_such_module" in capfd.readouterr().err
