"""Run the benchmarks: ``python tests/benchmarks/run.py --help`` says how.

Every figure stands beside that of a floor which was measured in turns with it: compare ratios, not
seconds, with those of another run or machine.
"""

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the other files go by their full names

from tests.benchmarks import page, table
from tests.benchmarks.asks import asks, threads
from tests.benchmarks.beside import beside
from tests.benchmarks.cancels import cancels
from tests.benchmarks.figures import FULL, QUICK, Figure, Size
from tests.benchmarks.lists import lists
from tests.benchmarks.loops import loops
from tests.benchmarks.memory import memory
from tests.benchmarks.posts import posts
from tests.benchmarks.readers import readers
from tests.benchmarks.streams import streams
from tests.benchmarks.tokens import tokens
from tests.benchmarks.turns import supersedes, turns
from turnkeeper.web.server.run import calm_the_collector

BENCHMARKS: dict[str, Callable[[Size], Awaitable[list[Figure]]]] = {
    "turns": turns,
    "supersedes": supersedes,
    "cancels": cancels,
    "memory": memory,
    "asks": asks,
    "lists": lists,
    "threads": threads,
    "posts": posts,
    "streams": streams,
    "tokens": tokens,
    "readers": readers,
    "beside": beside,
    "loops": loops,
}


def measure(name: str, size: Size) -> list[Figure]:
    """Run one benchmark on a loop of its own."""

    async def main() -> list[Figure]:
        return await BENCHMARKS[name](size)

    return asyncio.run(main())


def main(arguments: list[str]) -> int:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, fewer rounds")
    parser.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="after a full run, write the page there")
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else FULL
    calm_the_collector()  # as `turnkeeper serve` does; the floors gain by it too
    figures: list[Figure] = []
    for name in given.only or BENCHMARKS:
        began = time.perf_counter()
        found = measure(name, size)
        figures += found
        print(table.plain(found), flush=True)
        print(f"  [{name}: {time.perf_counter() - began:.1f} s]", file=sys.stderr, flush=True)
    print(f"\nPython {platform.python_version()}, {platform.machine()}, scale {size.scale:g}\n")
    print(table.markdown(figures))
    if given.json is not None:
        given.json.write_text(json.dumps([table.as_dict(figure) for figure in figures], indent=1) + "\n")
    if given.docs is not None and not (given.quick or given.only):
        page.write(figures, given.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
