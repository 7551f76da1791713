"""Run the benchmarks: ``python tests/benchmarks/run.py --help`` says how.

Every figure stands beside that of a floor which was measured in turns with it: compare ratios, not
seconds, with those of another run or machine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the other files go by their full names

from tests.benchmarks import page, readme, table
from tests.benchmarks.figures import SIZES
from tests.benchmarks.one import BENCHMARKS
from tests.benchmarks.results import ROOT, Conditions, Result, Results

KEPT = ROOT / "build" / "benchmarks.json"
README = ROOT / "README.md"
HELP = f"""
Each benchmark runs in a process of its own and has a limit on its time. What fails is a row that says why,
the others go on, and the exit status is 1. After each one the results are kept in {KEPT.relative_to(ROOT)}.
The same command goes on with a run that was interrupted, or in which benchmarks failed: it runs what is
missing, if the code, the machine and the size are the same. A run that came out with everything is followed
by a new one.
"""


def apart(name: str, size: str) -> Result:
    """Run one benchmark in a process of its own, and end that, and all that it started, after its time."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.one", name, size]
    limit = BENCHMARKS[name].seconds
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(timeout=limit)
            last = out.strip().rpartition("\n")[2]
            if process.returncode or not last:
                result = Result(why=f"its process ended with status {process.returncode}")
            else:
                result = Result.of_json(json.loads(last))
        except subprocess.TimeoutExpired:
            result = Result(why=f"it had not ended after {limit:g} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return replace(result, seconds=round(time.perf_counter() - began, 1))


def _go_through(names: Sequence[str], size: str, results: Results, keep: Path | None) -> None:
    """Run what is missing, say so, and keep what comes out."""
    for number, name in enumerate(names, 1):
        which = f"[{number}/{len(names)}] {name}"
        if name in results.found:
            print(f"{which}: kept from before", flush=True)
            continue
        print(f"{which}: at most {BENCHMARKS[name].seconds:g} s", flush=True)
        results.found[name] = result = apart(name, size)
        if keep is not None:
            results.write(keep)
        print(table.plain(result.rows) or f"failed: {result.why}", flush=True)
        print(f"  {result.seconds:g} s\n", flush=True)


def _show(results: Results, docs: Path) -> None:
    page.write(results, docs)
    readme.write(results, README)


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, fewer and shorter rounds")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BENCHMARKS),
        metavar="NAME",
        help=f"just this one, and keep nothing: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever has been kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FOLDER",
        help="after a full run of everything, write the page there, and the README's figures",
    )
    parser.add_argument(
        "--rewrite", action="store_true", help="run nothing: write them from the results that stand there"
    )
    given = parser.parse_args(arguments)
    if given.rewrite:
        if given.docs is None:
            parser.error("--rewrite needs --docs")
        _show(Results.read(given.docs / page.RESULTS), given.docs)
        return 0
    size = "quick" if given.quick else "full"
    names = given.only or list(BENCHMARKS)
    keep = None if given.only else KEPT
    conditions = Conditions.now(SIZES[size])
    results = Results(conditions)
    if keep is not None and not given.fresh:
        results = Results.to_go_on_with(keep, conditions, frozenset(names))
    signal.signal(signal.SIGTERM, _stop)
    try:
        _go_through(names, size, results, keep)
    except KeyboardInterrupt:
        if keep is not None:
            print(f"\nstopped; the same command goes on from here ({keep})", file=sys.stderr)
        return 130
    results.found = {name: results.found[name] for name in names}
    if given.json is not None:
        results.write(given.json)
    if given.docs is not None and not (given.only or given.quick):
        _show(results, given.docs)
    for failure in results.failures:
        print(f"failed: {failure.way or failure.what}: {failure.why}", file=sys.stderr)
    return int(bool(results.failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
