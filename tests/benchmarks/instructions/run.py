"""Count the instructions per operation, and hold their ratios to those of a floor against a budget.

The same code runs the same instructions on a machine that is busy as on one that is not: this finds a change
of a few per cent where a stopwatch finds the weather. What the kernel does and what waits is not in it.
"""

import argparse
import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])  # the other files go by their full names

from tests.benchmarks.instructions import budget, callgrind, over_http
from tests.benchmarks.instructions.count import Phase, Row, per_operation, rows
from tests.benchmarks.instructions.marks import from_line

#: Seconds after which something has got stuck. It takes half a minute on two cores.
PATIENCE = 600.0
IN_PROCESS = "tests.benchmarks.instructions.in_process"
SERVER = "tests.benchmarks.instructions.server"

#: Runs a command and gives the phases that it went through.
Through: TypeAlias = Callable[[list[str]], Coroutine[Any, Any, list[Phase]]]


@asynccontextmanager
async def _running(command: list[str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, cwd=callgrind.ROOT, env=callgrind.environment()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def in_process(command: list[str]) -> list[Phase]:
    """Let the process do everything, and give its phases. Raises `RuntimeError` if it fails."""
    async with _running(command) as process:
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[-1]} ended with status {process.returncode}")
    return from_line(out)


async def through_http(command: list[str]) -> list[Phase]:
    """Ask the server for everything, end it, and give the phases. Raises `RuntimeError` if it fails."""
    async with _running(command) as process:
        assert process.stdout is not None
        ports = await process.stdout.readline()
        if not ports:
            raise RuntimeError(f"{command[-1]} ended with status {await process.wait()}")
        phases = await over_http.ask(process.pid, ports)
        process.terminate()
        await process.wait()
    if process.returncode:
        raise RuntimeError(f"{command[-1]} ended with status {process.returncode}")
    return phases


async def _counts(through: Through, module: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="turnkeeper-instructions-") as folder:
        phases = await through(callgrind.counting(callgrind.python(module), Path(folder)))
        return per_operation(phases, callgrind.counted(Path(folder)))


async def measure() -> list[Row]:
    """Count everything, in two processes at a time. Raises `TimeoutError` when it gets stuck."""
    async with asyncio.timeout(PATIENCE):
        inside, outside = await asyncio.gather(_counts(in_process, IN_PROCESS), _counts(through_http, SERVER))
    return rows({**inside, **outside})


def main(arguments: list[str]) -> int:
    """Count, print, and do what is asked for with the budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--check", action="store_true", help="fail where a ratio is over its budget")
    asked.add_argument("--write", action="store_true", help="make the ratios of this run the budget")
    given = parser.parse_args(arguments)
    if lacking := callgrind.missing():
        print(lacking, file=sys.stderr)
        return 1
    python = "{}.{}".format(*sys.version_info)
    found = asyncio.run(measure())
    lines = budget.compare(found, budget.read(budget.FILE).get(python, {}))
    print(f"Python {python}, instructions in user space per operation")
    print(budget.table(lines, judged=given.check))
    if given.write:
        budget.write(budget.FILE, python, found)
    return int(given.check and any(line.verdict.fails for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
