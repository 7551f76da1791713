"""Runs a Python process under Valgrind's callgrind, and reads what that has counted."""

import os
import re
import shutil
import sys
from pathlib import Path

from tests.benchmarks.instructions.marks import TRIGGER

ROOT = Path(__file__).resolve().parents[3]
#: Nothing of the caller's changes what Python or turnkeeper do.
LEFT_OUT = ("PYTHON", "TURNKEEPER_", "MR_DEBUG")


def missing() -> str | None:
    """How to get what is missing."""
    if shutil.which("valgrind"):
        return None
    return "valgrind is not on PATH; on Debian and Ubuntu: apt-get install valgrind"


def environment() -> dict[str, str]:
    """What a counted process finds in its environment: the same in every run, hashes too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    return {**kept, "PYTHONHASHSEED": "0"}


def python(module: str) -> list[str]:
    """The command that runs a module."""
    return [sys.executable, "-m", module]


def counting(command: list[str], folder: Path) -> list[str]:
    """The same command, counted: callgrind writes into the folder."""
    out = f"--callgrind-out-file={folder / 'out'}"
    return ["valgrind", "-q", "--tool=callgrind", f"--dump-before={TRIGGER}", out, *command]


def counted(folder: Path) -> list[int]:
    """The instructions of each phase: of every second part, as one part ends where the next one begins."""
    parts = sorted((int(path.suffix[1:]), path) for path in folder.glob("out.*"))
    return [_total(path) for _, path in parts[1::2]]


def _total(part: Path) -> int:
    found = re.search(r"^totals: (\d+)$", part.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"callgrind wrote no total into {part.name}")
    return int(found[1])
