"""The attacks, and a program that measures them all and writes a table.

``python -m tests.attacks.figures`` (``--only NAME``, ``--gunicorn``) writes Markdown. Each attack is a
function that measures and says nothing about what is right; the tests beside it hold the aims. All of it is
bounded, runs on 127.0.0.1 only, and uses nothing of turnkeeper but its public names and its command.
"""

import argparse
import asyncio
import importlib
import inspect
import sys
import time
from pathlib import Path
from typing import Any

from tests.attacks.rig import ATTACKS

SUBJECTS = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))


def told(figures: Any) -> str:
    """A named tuple in words."""
    if not hasattr(figures, "_asdict"):
        return str(figures)
    return "; ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in figures._asdict().items())


def shown(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case str():
            return f"`{value}`" if value else "(empty)"
        case int() | float():
            return f"**{value:,}**"
        case list():
            return "[" + ", ".join(map(shown, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) + "}"
        case tuple() if hasattr(value, "_asdict"):
            return f"({told(value)})"
        case _:
            return str(value)


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:700]


def measure(only: list[str]) -> None:
    for subject in SUBJECTS:
        importlib.import_module(f"tests.attacks.{subject}")
    subject = ""
    for each in ATTACKS:
        name = each.measure.__name__
        if only and name not in only:
            continue
        if each.measure.__module__ != subject:
            subject = each.measure.__module__
            print(f"\n## {subject.rpartition('.test_')[2].replace('_', ' ')}\n")
            print("| attack | what it has shown once | case | measured |\n|---|---|---|---|")
        began = time.perf_counter()
        try:
            found = each.measure()
            if inspect.isawaitable(found):
                found = asyncio.run(_result(found))
        except Exception as error:  # noqa: BLE001 - the others are measured all the same
            found = f"could not be measured: {type(error).__name__}: {error}"
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
        rows = found if isinstance(found, dict) else {"": found}
        for number, (case, figures) in enumerate(rows.items()):
            first = (f"`{name}`", each.says) if number == 0 else ("", "")
            print(f"| {first[0]} | {cell(first[1])} | {cell(case)} | {cell(told(figures))} |", flush=True)


async def _result(found: Any) -> Any:
    return await found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every attack and write a table in Markdown.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument(
        "--gunicorn", action="store_true", help="install gunicorn in a folder of its own, and ask it too"
    )
    options = parser.parse_args()
    measure(options.only)
    if options.gunicorn:
        from tests.attacks.test_workers import behind_gunicorn

        print(f"\n`gunicorn -w 2 -k aiohttp.GunicornWebWorker`: {told(behind_gunicorn())}")


if __name__ == "__main__":
    main()
