"""Writes down what CI installs, at the newest versions that there are: ``make constraints``.

``constraints.txt`` is for everything but schemathesis, which has an environment and a file of its own. Names
and versions are all that stands there. Each Python is asked: not every release is there for every Python.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PYTHONS = ("3.11", "3.12", "3.13")
HEAD = "# Made by `make constraints`: the versions that CI installs.\n"


def environment(version: str, folder: Path) -> Path:
    """The Python of a new environment."""
    found = subprocess.run(
        [HERE / "under", "--find", version], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode != 0:
        sys.exit(f"no Python {version} on this machine")
    subprocess.run([found.stdout.strip(), "-m", "venv", folder], check=True, cwd=ROOT)
    return folder / "bin" / "python"


def newest(python: Path, *requirements: str) -> dict[str, str]:
    """The version of each package that pip would install for these, but for the project itself."""
    pip = [python, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "install", "-qq", "--dry-run", "--ignore-installed", "--report", "-", *requirements]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    packages = [each["metadata"] for each in json.loads(done.stdout)["install"]]
    found = {each["name"].lower().replace("_", "-"): each["version"] for each in packages}
    return {name: version for name, version in found.items() if name != "turnkeeper"}


def lines(name: str, by_python: Mapping[str, str]) -> list[str]:
    """One line, or one for each Python that gets a version of its own."""
    if len(set(by_python.values())) == 1:
        return [f"{name}=={next(iter(by_python.values()))}\n"]
    found = []
    for version, group in groupby(PYTHONS, by_python.get):
        pythons = list(group)
        if version is not None:
            # A newer Python than those asked gets what the newest of them gets.
            which = [">=" if python == PYTHONS[-1] else "==" for python in pythons]
            marks = (f'python_version {sign} "{python}"' for sign, python in zip(which, pythons, strict=True))
            found.append(f"{name}=={version}; {' or '.join(marks)}\n")
    return found


def write(path: Path, found: Mapping[str, Mapping[str, str]]) -> None:
    """Write what was found, by Python and by package."""
    names = sorted({name for packages in found.values() for name in packages})
    by_name = {
        name: {py: packages[name] for py, packages in found.items() if name in packages} for name in names
    }
    path.write_text(HEAD + "".join(line for name in names for line in lines(name, by_name[name])))
    print(f"{path.relative_to(ROOT)}: {len(names)} packages")


def main(extras: str) -> None:
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = {
        "constraints.txt": (*builds, f".[{extras}]"),
        "schemathesis.txt": ("-r", str(HERE / "schemathesis.in")),
    }
    with tempfile.TemporaryDirectory() as folder:
        pythons = {version: environment(version, Path(folder, version)) for version in PYTHONS}
        for name, requirements in wanted.items():
            write(
                HERE / name, {version: newest(python, *requirements) for version, python in pythons.items()}
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
