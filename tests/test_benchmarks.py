"""The benchmarks still run, and say something. How fast things are is not a test's business."""

import asyncio
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import beside, counted, one, page, readme, run, table
from tests.benchmarks.aims import AIMS, Aim, Of, Side
from tests.benchmarks.faults import faults
from tests.benchmarks.figures import FULL, SIZES, TOY, Failure, Figure, Row, Size
from tests.benchmarks.growth import passes
from tests.benchmarks.instructions import callgrind
from tests.benchmarks.instructions import run as instructions
from tests.benchmarks.instructions.count import FLOORS
from tests.benchmarks.instructions.count import Row as Counted
from tests.benchmarks.one import BENCHMARKS, Benchmark
from tests.benchmarks.results import Conditions, Result, Results
from tests.benchmarks.rounds import Round, alternately, compare, in_turns, per_cpu_second, percentile
from tests.benchmarks.ways import awaits, dict_of_tasks, overwrites, turnkeeper

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
#: What may be missing where only the tests' extras are installed.
PEERS = {"aiojobs", "aiohttp-sse"}


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions are not counted here: that takes half a minute, and has tests of its own."""

    async def measure() -> list[Counted]:
        return [Counted(operation, 500, 100) for operation in FLOORS]

    monkeypatch.setattr(instructions, "measure", measure)
    monkeypatch.setattr(callgrind, "missing", lambda: None)


def aims_of(rows: Sequence[Row]) -> list[Aim]:
    return [row.aim for row in rows if row.aim is not None]


# --- what a benchmark finds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_comes_out_with_figures_and_with_every_aim_it_is_to_find(name: str) -> None:
    rows = one.measure(name, TOY)
    assert rows
    for row in rows:
        if isinstance(row, Failure):
            assert row.way in PEERS or any(peer in row.what for peer in PEERS), row.why
            continue
        assert math.isfinite(row.measured)
        # How much longer something takes than something else may come out below 0 on a busy machine.
        assert row.measured > 0 or "how much longer than" in row.what
        assert row.met in (True, False, None)
        assert (row.ratio is None) == (row.floor is None)
    assert sorted(aims_of(rows), key=AIMS.index) == [aim for aim in AIMS if aim.benchmark == name]


def test_an_aim_is_held_against_the_ratio_or_the_figure() -> None:
    at_least = Aim("", "", 0.35, side=Side.AT_LEAST, unit="of the floor")
    assert Figure("many", "/s", 40, 100, 0.4, at_least).met
    assert not Figure("many", "/s", 30, 100, 0.3, at_least).met
    at_most = Aim("", "", 2)
    assert Figure("little", "us", 12, 10, 1.2, at_most).met
    assert not Figure("little", "us", 30, 10, 3.0, at_most).met
    assert not Figure("little", "us", 30, aim=at_most).met
    absolute = Aim("", "", 25, Of.FIGURE, unit="ms")
    assert Figure("little", "ms", 20, 1, 20, absolute).met
    assert not Figure("little", "ms", 30, 1, 30, absolute).met
    assert Figure("whatever", "ms", 30).met is None
    assert [str(aim) for aim in (at_least, at_most, absolute)] == [
        ">= 0.35 of the floor",
        "<= 2 x the floor",
        "<= 25 ms",
    ]


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


async def test_a_round_goes_on_until_its_seconds_of_cpu_are_full() -> None:
    batches: list[int] = []

    async def batch() -> int:
        batches.append(sum(range(20_000)))
        return 10

    await per_cpu_second(batch, TOY)()
    assert len(batches) == 1
    rate = await per_cpu_second(batch, replace(TOY, seconds=0.02))()
    assert len(batches) > 2
    assert rate <= 10 * (len(batches) - 1) / 0.02


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.99) == 7.0


def noting(order: list[str], name: str, value: float) -> Round:
    async def run() -> float:
        order.append(name)
        return value

    return run


async def test_ways_run_in_turns_and_each_is_first_once() -> None:
    order: list[str] = []
    values, ratios = await in_turns({"a": noting(order, "a", 10.0), "b": noting(order, "b", 5.0)}, 2)
    assert (values, ratios) == ({"a": 10.0, "b": 5.0}, {"a": 1.0, "b": 0.5})
    assert order == ["a", "b", "a", "b", "b", "a"]


def test_the_longest_pass_is_seen_with_what_ran_in_it() -> None:
    async def takes_long() -> None:
        await asyncio.sleep(0)
        sum(range(1_000_000))

    async def main() -> None:
        await asyncio.gather(takes_long(), asyncio.sleep(0))

    with passes() as seen:
        asyncio.run(main())
    assert seen.ran.endswith("takes_long")
    before = seen.longest
    assert before > 1
    asyncio.run(main())
    assert seen.longest == before


async def test_what_a_way_lets_happen_is_seen_and_ours_lets_none_of_it_happen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "turnkeeper")
    assert await faults(turnkeeper, patience=60) == []
    assert await faults(overwrites, patience=60) == [
        "a turn overlaps its successor",
        "of two sends at once both run",
    ]
    for waiting in (awaits, dict_of_tasks):
        assert await faults(waiting) == [
            "of two sends at once both run",
            "a stop then misses one of them",
            "a turn that hangs blocks its successor for good",
        ]


# --- what fails ---------------------------------------------------------------------------------------------


async def test_a_way_that_fails_is_left_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.rounds.PATIENCE", 0.05)
    order: list[str] = []

    async def crashes() -> float:
        order.append("crashes")
        if order.count("crashes") == 2:
            raise ValueError("too many\nof them")
        return 1.0

    async def hangs() -> float:
        order.append("hangs")
        await asyncio.get_running_loop().create_future()
        return 1.0

    failed: dict[str, str] = {}
    ways = {"a": noting(order, "a", 10.0), "crashes": crashes, "hangs": hangs, "b": noting(order, "b", 5.0)}
    found = await alternately(ways, 2, failed)
    assert found == {"a": [10.0, 10.0], "b": [5.0, 5.0]}
    assert failed == {"crashes": "ValueError: too many", "hangs": "TimeoutError"}
    assert (order.count("crashes"), order.count("hangs")) == (2, 1)


async def test_what_all_are_compared_with_may_not_fail() -> None:
    async def crashes() -> float:
        raise ValueError("too many")

    with pytest.raises(ValueError, match="too many"):
        await alternately({"a": crashes, "b": noting([], "b", 1.0)}, 1, {})


def test_a_peer_that_fails_is_a_cell_and_the_others_have_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_agent: object) -> None:
        raise RuntimeError("no scheduler | at all")

    monkeypatch.setitem(beside.WAYS, "aiojobs", broken)
    rows = one.measure("beside", TOY)
    failed = [row for row in rows if isinstance(row, Failure)]
    assert {row.way for row in failed} == {"aiojobs"}
    assert len(failed) == len({row.what for row in rows})
    assert {row.way for row in rows} == set(beside.WAYS)
    cells = page.text(made_up(beside=Result(tuple(rows)))).splitlines()
    (line,) = [line for line in cells if line.startswith("| aiojobs |")]
    assert line.count("failed: RuntimeError: no scheduler \\| at all") == len(failed) + 1


# --- a run --------------------------------------------------------------------------------------------------


def made_up(size: Size = FULL, **found: Result) -> Results:
    """Results of everything: a figure for each aim, and what is given."""
    conditions = Conditions("0", "3.13.0", "Linux", 2, size.scale, size.rounds, size.seconds)
    results = Results(conditions)
    for name in BENCHMARKS:
        rows = [
            Figure(f"its {aim.work}", aim.unit, 2.5, 2, 1.25, aim) for aim in AIMS if aim.benchmark == name
        ]
        if name == "beside":
            rows = [Figure("turns", "/s", 9, 9, 1.0, way=way, note="-") for way in beside.WAYS]
        results.found[name] = Result(tuple(rows or [Figure(name, "/s", 7)]))
    results.found.update(found)
    return results


async def _raises(_size: Size) -> list[Row]:
    raise ValueError("not today")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Result]:
    """A run of two benchmarks, of which one comes out, and a place of its own to keep results in."""
    outcomes = {"turns": Result((Figure("turns", "/s", 1.0),)), "asks": Result(why="ValueError: not today")}
    monkeypatch.setattr(run, "BENCHMARKS", {name: Benchmark(_raises, 9) for name in outcomes})
    monkeypatch.setattr(run, "KEPT", tmp_path / "build" / "kept.json")
    return outcomes


def ran(
    monkeypatch: pytest.MonkeyPatch, outcomes: dict[str, Result], *arguments: str
) -> tuple[int, list[str]]:
    """The exit status, and what was run for it."""
    names: list[str] = []

    def apart(name: str, _size: str) -> Result:
        names.append(name)
        return outcomes[name]

    monkeypatch.setattr(run, "apart", apart)
    return run.main(list(arguments)), names


def test_a_benchmark_that_fails_is_a_row_and_is_run_again_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, two: dict[str, Result], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, two) == (1, ["turns", "asks"])
    assert "asks`: ValueError: not today" in capsys.readouterr().err
    two["asks"] = Result((Figure("asks", "/s", 2.0),))
    assert ran(monkeypatch, two) == (0, ["asks"])
    assert "[1/2] turns: kept from before" in capsys.readouterr().out
    assert ran(monkeypatch, two) == (0, ["turns", "asks"])  # it had come out with everything


def test_an_interrupted_run_is_gone_on_with_unless_it_is_to_begin_anew(
    monkeypatch: pytest.MonkeyPatch, two: dict[str, Result], tmp_path: Path
) -> None:
    done = dict(two)

    def apart(name: str, _size: str) -> Result:
        if name == "asks":
            raise KeyboardInterrupt
        return done[name]

    monkeypatch.setattr(run, "apart", apart)
    assert run.main([]) == 130
    two["asks"] = Result((Figure("asks", "/s", 2.0),))
    out = tmp_path / "out.json"
    assert ran(monkeypatch, two, "--json", str(out)) == (0, ["asks"])
    assert Results.read(out).found == two
    monkeypatch.setattr(run, "apart", apart)
    assert run.main([]) == 130
    assert ran(monkeypatch, two, "--fresh") == (0, ["turns", "asks"])
    assert ran(monkeypatch, two, "--only", "turns") == (0, ["turns"])


@pytest.mark.parametrize("change", ["code", "python", "machine", "cores", "scale"])
def test_results_of_other_conditions_are_not_gone_on_with(tmp_path: Path, change: str) -> None:
    results = made_up()
    del results.found["asks"]
    results.write(tmp_path / "kept.json")
    names = frozenset(BENCHMARKS)
    same = Results.to_go_on_with(tmp_path / "kept.json", results.conditions, names)
    assert same == results
    other = replace(results.conditions, **{change: 17})
    assert Results.to_go_on_with(tmp_path / "kept.json", other, names) == Results(other)


@pytest.mark.parametrize("text", ["", "[]", '{"conditions": {}, "found": {}}'])
def test_a_file_that_holds_no_results_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text)
    conditions = Conditions.now(TOY)
    assert Results.to_go_on_with(path, conditions, frozenset(BENCHMARKS)) == Results(conditions)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    failure = Failure("one", "it broke", AIMS[0], "a note", "a way")
    results = made_up(turns=Result((failure,), seconds=1.5), asks=Result(why="it broke"))
    results.write(tmp_path / "some.json")
    assert Results.read(tmp_path / "some.json") == results


def test_a_benchmark_runs_apart_and_comes_back_with_its_rows_or_with_why_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = run.apart("asks", "toy")
    assert [row.what for row in result.rows] == ["asks over 10 actors"]
    assert result.seconds > 0
    assert run.apart("asks", "no such size").why == "KeyError: 'no such size'"
    monkeypatch.setitem(run.BENCHMARKS, "asks", Benchmark(_raises, 0.05))
    assert run.apart("asks", "toy").why == "it had not ended after 0.05 s"
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    assert run.apart("turns", "toy").why == "its process ended with status 1"


def test_why_a_benchmark_failed_is_what_its_process_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(BENCHMARKS, "asks", Benchmark(_raises, 9))
    for done_to_the_process in ("calm_the_collector", "raise_limit"):
        monkeypatch.setattr(one, done_to_the_process, lambda: None)
    monkeypatch.setattr(one.logging, "disable", lambda _level: None)
    one.main("asks", "toy")
    assert Result.of_json(json.loads(capsys.readouterr().out)) == Result(why="ValueError: not today")


def test_instructions_cannot_be_counted_without_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callgrind, "missing", lambda: "there is none")
    with pytest.raises(RuntimeError, match="there is none"):
        asyncio.run(counted.instructions(TOY))


# --- the page -----------------------------------------------------------------------------------------------


def test_every_aim_is_on_the_page_beside_what_was_found_and_whether_it_is_met() -> None:
    lines = page.text(made_up()).splitlines()
    for aim in AIMS:
        (line,) = [line for line in lines if line.startswith(f"| {aim.work} | {aim} |")]
        met = aim.met_by(1.25 if aim.of is Of.RATIO else 2.5)
        assert line.endswith(f"| 1.25 | {'yes' if met else 'NO'} |")


def test_an_aim_whose_benchmark_failed_is_on_the_page_and_not_met() -> None:
    text = page.text(made_up(growth=Result(why="it had not ended after 300 s")))
    for aim in AIMS:
        if aim.benchmark == "growth":
            assert f"| {aim.work} | {aim} | failed: it had not ended after 300 s | - | - | NO |" in text


def test_every_benchmark_has_its_place_on_the_page() -> None:
    shown = [name for names in page.SECTIONS.values() for name in names]
    assert sorted([*shown, page.BESIDE]) == sorted(BENCHMARKS)


def test_a_smaller_run_says_that_it_is_none_to_quote_from() -> None:
    assert "make bench`:" in page.text(made_up())
    assert "quote nothing from it" in page.text(made_up(SIZES["quick"]))


def test_the_page_and_the_readme_show_the_results_that_are_kept_beside_the_page() -> None:
    results = Results.read(REFERENCE / page.RESULTS)
    assert list(results.found) == list(BENCHMARKS)
    assert (REFERENCE / "benchmarks.md").read_text() == page.text(results)
    text = (ROOT / "README.md").read_text()
    assert readme.BEGIN + "\n" + readme.block(results) + "\n" + readme.END in text


def test_the_readmes_figures_are_written_between_their_marks(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n")
    readme.write(made_up(), path)
    once = path.read_text()
    assert once == f"before\n{readme.BEGIN}\n{readme.block(made_up())}\n{readme.END}after\n"
    readme.write(made_up(), path)
    assert path.read_text() == once
    readme.write(made_up(SIZES["quick"]), path)
    assert "follow with the next full run" in path.read_text()
    path.write_text("no marks\n")
    with pytest.raises(ValueError, match="README"):
        readme.write(made_up(), path)


def test_the_page_is_written_after_a_full_run_only_and_anew_from_what_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch, two: dict[str, Result], tmp_path: Path
) -> None:
    shown: list[Results] = []
    monkeypatch.setattr(run, "_show", lambda results, _docs: shown.append(results))
    docs = ("--docs", str(tmp_path))
    assert ran(monkeypatch, two, "--quick", *docs) == (1, ["turns", "asks"])
    assert ran(monkeypatch, two, "--only", "turns", *docs) == (0, ["turns"])
    assert not shown
    assert ran(monkeypatch, two, *docs) == (1, ["turns", "asks"])
    assert [results.found for results in shown] == [two]
    shown[0].write(tmp_path / page.RESULTS)
    assert ran(monkeypatch, two, "--rewrite", *docs) == (0, [])
    assert shown[1] == shown[0]


def test_the_terminal_has_a_line_for_every_row() -> None:
    rows = [
        Figure("a", "us", 1.0, 2.0, 0.5, AIMS[0]),
        Failure("b", "it broke"),
        Figure("c", "s", 3, note="in d"),
    ]
    assert [line.split()[0] for line in table.plain(rows).splitlines()] == ["a", "b", "c"]
    assert "failed: it broke" in table.plain(rows)
    assert "c (`in d`)" in table.plain(rows)
