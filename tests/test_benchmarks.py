"""The benchmarks still run, and say something. How fast things are is not a test's business."""

import json
import math
from pathlib import Path

import pytest

from tests.benchmarks import run
from tests.benchmarks.faults import faults
from tests.benchmarks.figures import TOY, Figure, at_most, ratio_at_least, ratio_at_most
from tests.benchmarks.rounds import Round, compare, in_turns, percentile
from tests.benchmarks.ways import dict_of_tasks, the_floor, turnkeeper


@pytest.mark.parametrize("name", run.BENCHMARKS)
def test_a_benchmark_comes_out_with_figures(name: str) -> None:
    figures = run.measure(name, TOY)
    assert figures
    for figure in figures:
        assert math.isfinite(figure.measured)
        assert figure.measured > 0
        assert figure.ratio is not None
        assert figure.met in (True, False, None)


def test_the_table_and_the_json_have_a_row_for_every_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "QUICK", TOY)
    assert (
        run.main(["--quick", "--only", "turns", "--only", "asks", "--json", str(tmp_path / "out.json")]) == 0
    )
    out = capsys.readouterr().out
    assert "| trivial turns" in out
    assert "| asks over" in out
    assert [
        set(row) >= {"what", "measured", "floor", "ratio", "aim", "met"}
        for row in json.loads((tmp_path / "out.json").read_text())
    ] == [True, True]


def test_an_aim_is_held_against_the_ratio_or_the_figure() -> None:
    assert Figure("many", "/s", 40, 100, 0.4, ratio_at_least(0.35)).met
    assert not Figure("many", "/s", 30, 100, 0.3, ratio_at_least(0.35)).met
    assert Figure("little", "us", 12, 10, 1.2, ratio_at_most(2)).met
    assert not Figure("little", "us", 30, 10, 3.0, ratio_at_most(2)).met
    assert Figure("little", "ms", 20, 1, 20, at_most(25, "ms")).met
    assert not Figure("little", "ms", 30, 1, 30, at_most(25, "ms")).met
    assert Figure("whatever", "ms", 30).met is None


async def test_rounds_run_in_turns_and_the_medians_are_compared() -> None:
    order: list[str] = []

    async def floor() -> float:
        order.append("floor")
        return 100.0

    async def measured() -> float:
        order.append("measured")
        return 50.0

    assert await compare(floor, measured, 3) == (100.0, 50.0, 0.5)
    assert order == ["floor", "measured", "floor", "measured", "measured", "floor", "floor", "measured"]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.99) == 7.0


async def test_ways_run_in_turns_and_each_is_first_once() -> None:
    order: list[str] = []

    def way(name: str, value: float) -> Round:
        async def run() -> float:
            order.append(name)
            return value

        return run

    values, ratios = await in_turns({"a": way("a", 10.0), "b": way("b", 5.0)}, 2)
    assert (values, ratios) == ({"a": 10.0, "b": 5.0}, {"a": 1.0, "b": 0.5})
    assert order == ["a", "b", "a", "b", "b", "a"]


async def test_what_a_way_lets_happen_is_seen_and_ours_lets_none_of_it_happen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "turnkeeper")
    assert await faults(turnkeeper, patience=60) == []
    assert await faults(the_floor, patience=60) == [
        "a turn overlaps its successor",
        "of two sends at once both run",
    ]
    assert await faults(dict_of_tasks) == [
        "of two sends at once both run",
        "a stop then misses one of them",
        "a turn that hangs blocks its successor for good",
    ]
