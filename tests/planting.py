"""Plants bugs, one at a time, each in a copy of `actors`, and asks a check whether it finds them."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
#: How much is shown of what a check says.
WIDTH = 80


class Bug(NamedTuple):
    """A change of one place: ``old``, which stands in the file once, becomes ``new``."""

    name: str
    file: str
    old: str
    new: str


class Check(NamedTuple):
    """What is to find the bugs of one room of `actors`, or of all with ``""``.

    ``command`` fails for a bug that it finds; ``said`` picks from its output what it says of that: nothing if
    it says nothing, because it could not even begin.
    """

    room: str
    command: Sequence[str]
    said: Callable[[str], str]
    environ: Mapping[str, str] = MappingProxyType({})


class Result(NamedTuple):
    """What a check said of a bug."""

    bug: Bug
    found: bool
    seconds: float
    said: str


def changed(bug: Bug, room: str) -> str:
    """The file with the bug in it. Raises `ValueError` if its place has moved."""
    text = (ROOT / "actors" / room / f"{bug.file}.py").read_text()
    if text.count(bug.old) != 1:
        raise ValueError(f"{bug.name}: stands {text.count(bug.old)} times in {bug.file}: {bug.old!r}")
    return text.replace(bug.old, bug.new)


def checked(bug: Bug, check: Check) -> Result:
    """Run the check on a copy with this bug. Raises `RuntimeError` if the check could not even begin."""
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        actors = Path(folder) / "turnkeeper" / "actors"
        shutil.copytree(ROOT / "actors", actors, ignore=shutil.ignore_patterns("__pycache__"))
        (actors / check.room / f"{bug.file}.py").write_text(changed(bug, check.room))
        environ = {**os.environ, **check.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        environ["PYTHONPATH"] = f"{folder}{os.pathsep}{ROOT}"
        run = subprocess.run(
            [sys.executable, *check.command],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    seconds = time.perf_counter() - began
    found, said = run.returncode != 0, check.said(run.stdout)[:WIDTH]
    if found and not said:
        raise RuntimeError(f"{bug.name}: this is no bug that can be found\n{run.stderr}")
    return Result(bug, found, seconds, said)


def report(description: str | None, bugs: Sequence[Bug], check: Check) -> int:
    """Check the bugs that the command line names, and print what was found; 1 if one was not."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="texts, of which a bug's name contains one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many checks at a time")
    given = parser.parse_args()
    chosen = [bug for bug in bugs if not given.names or any(name in bug.name for name in given.names)]
    name, file = (max(len(getattr(bug, field)) for bug in chosen) for field in ("name", "file"))
    missed = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for bug, found, seconds, said in pool.map(lambda bug: checked(bug, check), chosen):
            missed += not found
            outcome = said if found else "NOT FOUND"
            print(f"{bug.name:{name}}  {bug.file:{file}}  {seconds:6.1f} s  {outcome}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    return 1 if missed else 0
