"""Open a journal in a process of its own: prints the milliseconds, and the most memory that took in bytes."""

import asyncio
import json
import sys
import time
from pathlib import Path

from turnkeeper.actors.registry.front import SessionRegistry
from turnkeeper.actors.turn.turn import Turn


async def _agent(_turn: Turn) -> None:
    """Do nothing."""


def _most_bytes() -> int:
    """Not by `getrusage`, which counts what the process that started this one had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say how much memory a process has had")


async def _main(path: str) -> None:
    began = time.perf_counter()
    async with SessionRegistry(_agent, journal=path):
        took = (time.perf_counter() - began) * 1e3
        print(json.dumps([took, _most_bytes()]), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
