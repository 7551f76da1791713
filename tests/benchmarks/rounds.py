"""Several ways in turns, so that whatever else the machine does falls on all of them."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import NamedTuple, TypeAlias, TypeVar

from tests.benchmarks.figures import Size, reason

T = TypeVar("T")

#: Runs once and says what came out, per second or in microseconds.
Round: TypeAlias = Callable[[], Awaitable[float]]
#: Does some of the work, and says how much.
Batch: TypeAlias = Callable[[], Awaitable[int]]

#: Seconds after which a way that may fail is taken to be stuck in a round.
PATIENCE = 60.0


class Compared(NamedTuple):
    """The median of the floor's rounds, of the measured ones, and of the ratios of each pair."""

    floor: float
    measured: float
    ratio: float


def per_cpu_second(batch: Batch, size: Size) -> Round:
    """A round of as many batches as fill its seconds: how much is done in a second of this process's CPU."""

    async def measure() -> float:
        done = 0
        began = time.process_time()
        while True:
            done += await batch()
            took = time.process_time() - began
            if took >= size.seconds:
                return done / took

    return measure


async def compare(floor: Round, measured: Round, rounds: int) -> Compared:
    """Run both so often, each time the other one first; once before that does not count."""
    found = await alternately({"floor": floor, "measured": measured}, rounds)
    low, high = found["floor"], found["measured"]
    return Compared(median(low), median(high), _ratio(high, low))


def _ratio(values: list[float], low: list[float]) -> float:
    return median(a / b for a, b in zip(values, low, strict=True))


async def alternately(
    measured: Mapping[str, Callable[[], Awaitable[T]]], rounds: int, failed: dict[str, str] | None = None
) -> dict[str, list[T]]:
    """Run all of them so often, each time another one first; once before that does not count.

    With ``failed``, all but the first may raise, or take longer than `PATIENCE`: why goes there, and the
    others go on without them.
    """
    found: dict[str, list[T]] = {name: [] for name in measured}

    async def run(name: str) -> None:
        if failed is None or name == next(iter(measured)):
            found[name].append(await measured[name]())
        elif name not in failed:
            try:
                async with asyncio.timeout(PATIENCE):
                    found[name].append(await measured[name]())
            except Exception as error:  # noqa: BLE001
                failed[name] = reason(error)

    names = list(measured)
    for name in names:
        await run(name)
        found[name].clear()
    gc.collect()
    gc.freeze()  # what is there by now stays, and need not be walked through again before each round
    try:
        for number in range(rounds):
            gc.collect()
            first = number % len(names)
            for name in names[first:] + names[:first]:
                await run(name)
    finally:
        gc.unfreeze()
    return {name: values for name, values in found.items() if name not in (failed or ())}


async def in_turns(
    measured: Mapping[str, Round], rounds: int, failed: dict[str, str] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """As `alternately`: the medians, and those of the ratios to the first of them."""
    found = await alternately(measured, rounds, failed)
    low = found[next(iter(found))]
    return (
        {name: median(values) for name, values in found.items()},
        {name: _ratio(values, low) for name, values in found.items()},
    )


def percentile(values: list[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
