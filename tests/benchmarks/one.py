"""Run one benchmark in a process of its own: ``python -m tests.benchmarks.one NAME SIZE``.

Prints its rows, or why it failed, as the last line of its output. What one leaves behind is no part of the
next one's figures, and what ends one ends no other.
"""

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from tests.benchmarks import collector  # noqa: F401 - it looks at the collector before that is calmed
from tests.benchmarks.asks import asks, threads
from tests.benchmarks.beside import beside
from tests.benchmarks.cancels import cancels
from tests.benchmarks.counted import instructions
from tests.benchmarks.figures import SIZES, Row, Size, reason
from tests.benchmarks.growth import growth
from tests.benchmarks.journal.events import journal_events, journal_tokens
from tests.benchmarks.journal.file import journal_file
from tests.benchmarks.journal.turns import journal_sends, journal_turns
from tests.benchmarks.loops import loops
from tests.benchmarks.memory import memory
from tests.benchmarks.posts import posts
from tests.benchmarks.readers import readers
from tests.benchmarks.results import Result
from tests.benchmarks.streams import streams
from tests.benchmarks.tokens import tokens
from tests.benchmarks.turns import supersedes, turns
from turnkeeper.web.server.descriptors import raise_limit
from turnkeeper.web.server.garbage import calm_the_collector

#: Finds figures.
Run: TypeAlias = Callable[[Size], Awaitable[Sequence[Row]]]


class Benchmark(NamedTuple):
    """What runs, and after how many seconds it is taken to be stuck: several times what it takes."""

    run: Run
    seconds: float


BENCHMARKS: dict[str, Benchmark] = {
    "instructions": Benchmark(instructions, 600),
    "tokens": Benchmark(tokens, 480),
    "streams": Benchmark(streams, 240),
    "readers": Benchmark(readers, 480),
    "growth": Benchmark(growth, 300),
    "cancels": Benchmark(cancels, 180),
    "turns": Benchmark(turns, 120),
    "supersedes": Benchmark(supersedes, 120),
    "posts": Benchmark(posts, 120),
    "memory": Benchmark(memory, 120),
    "asks": Benchmark(asks, 120),
    "threads": Benchmark(threads, 120),
    "beside": Benchmark(beside, 300),
    "loops": Benchmark(loops, 180),
    "journal_turns": Benchmark(journal_turns, 120),
    "journal_sends": Benchmark(journal_sends, 60),
    "journal_tokens": Benchmark(journal_tokens, 240),
    "journal_events": Benchmark(journal_events, 120),
    "journal_file": Benchmark(journal_file, 300),
}


def measure(name: str, size: Size) -> list[Row]:
    """Run one benchmark on a loop of its own."""

    async def main() -> list[Row]:
        return list(await BENCHMARKS[name].run(size))

    return asyncio.run(main())


def main(name: str, size: str) -> None:
    """Run it and print what came out."""
    # As `turnkeeper serve` does; the floors gain by it too.
    calm_the_collector()
    raise_limit()
    logging.disable(logging.WARNING)  # that a loop is late between two rounds, for one
    try:
        result = Result(tuple(measure(name, SIZES[size])))
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        result = Result(why=reason(error))
    print(json.dumps(result.as_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
