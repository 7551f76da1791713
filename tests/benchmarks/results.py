"""What a run has found, in a file that is written after each benchmark: it outlives whatever ends the run."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.aims import AIMS
from tests.benchmarks.figures import FULL, Failure, Figure, Row, Size

ROOT = Path(__file__).resolve().parents[2]
#: What figures depend on.
CODE = ("actors", "web", "tests/benchmarks")
KINDS = ".py", ".toml"

_BY_WORK = {aim.work: aim for aim in AIMS}


def _row_as_json(row: Row) -> dict[str, Any]:
    said = {name: value for name, value in asdict(row).items() if value not in (None, "")}
    if row.aim is not None:
        said["aim"] = row.aim.work
    return said


def _row(said: Mapping[str, Any]) -> Row:
    aim = _BY_WORK[said["aim"]] if "aim" in said else None
    return Failure(**{**said, "aim": aim}) if "why" in said else Figure(**{**said, "aim": aim})


@dataclass(frozen=True)
class Result:
    """What one benchmark came to: its rows, or why it failed as a whole; and how many seconds it took."""

    rows: tuple[Row, ...] = ()
    why: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "seconds": self.seconds,
            "why": self.why,
            "rows": [_row_as_json(row) for row in self.rows],
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """What `as_json` made."""
        return cls(tuple(map(_row, said["rows"])), said["why"], said["seconds"])


@dataclass(frozen=True)
class Conditions:
    """What must be the same for figures to belong to one run."""

    code: str
    python: str
    machine: str
    cores: int
    scale: float
    rounds: int
    seconds: float

    @property
    def full(self) -> bool:
        """Whether it is of the size that the design speaks of."""
        return self.scale == FULL.scale

    @classmethod
    def now(cls, size: Size) -> Self:
        """Of this code, here."""
        digest = hashlib.sha256()
        for path in sorted(path for top in CODE for path in (ROOT / top).rglob("*")):
            if path.suffix in KINDS:
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
        return cls(
            digest.hexdigest()[:12],
            platform.python_version(),
            f"{platform.system()} {platform.machine()}",
            os.cpu_count() or 1,
            size.scale,
            size.rounds,
            size.seconds,
        )


@dataclass
class Results:
    """What a run under these conditions has found so far, by the benchmarks' names."""

    conditions: Conditions
    found: dict[str, Result] = field(default_factory=dict)

    def rows_of(self, name: str) -> Sequence[Row]:
        """The rows of one benchmark; if it failed, one that says so."""
        result = self.found[name]
        return (Failure(f"the benchmark `{name}`", result.why),) if result.why else result.rows

    @property
    def rows(self) -> list[Row]:
        """The rows of all benchmarks."""
        return [row for name in self.found for row in self.rows_of(name)]

    @property
    def failures(self) -> list[Failure]:
        """All that failed."""
        return [row for row in self.rows if isinstance(row, Failure)]

    def write(self, path: Path) -> None:
        """Write them, whole or not at all."""
        said = {
            "conditions": asdict(self.conditions),
            "found": {name: result.as_json() for name, result in self.found.items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(said, indent=1) + "\n")
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote. Raises `ValueError` or `KeyError` for anything else."""
        said = json.loads(path.read_text())
        found = {name: Result.of_json(each) for name, each in said["found"].items()}
        return cls(Conditions(**said["conditions"]), found)

    @classmethod
    def to_go_on_with(cls, path: Path, conditions: Conditions, names: frozenset[str]) -> Self:
        """What is kept of a run under the same conditions that has not come out with all of these.

        Benchmarks that failed are left out, so that they are run again. Otherwise nothing: a run begins anew.
        """
        try:
            kept = cls.read(path)
        except (OSError, ValueError, KeyError, TypeError):
            return cls(conditions)  # there is none, or an older version of this wrote it
        good = {name: result for name, result in kept.found.items() if name in names and not result.why}
        if kept.conditions != conditions or names == good.keys():
            return cls(conditions)
        return cls(conditions, good)
