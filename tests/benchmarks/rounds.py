"""Floor and measured in turns, so that whatever else the machine does falls on both."""

import gc
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

#: Runs once and says what came out, per second or in microseconds.
Round: TypeAlias = Callable[[], Awaitable[float]]


class Compared(NamedTuple):
    """The median of the floor's rounds, of the measured ones, and of the ratios of each pair."""

    floor: float
    measured: float
    ratio: float


async def compare(floor: Round, measured: Round, rounds: int) -> Compared:
    """Run both so often, each time the other one first; once before that does not count."""
    await floor()
    await measured()
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        gc.collect()
        if number % 2:
            second = await measured()
            pairs.append((await floor(), second))
        else:
            first = await floor()
            pairs.append((first, await measured()))
    return Compared(
        median(pair[0] for pair in pairs),
        median(pair[1] for pair in pairs),
        median(pair[1] / pair[0] for pair in pairs),
    )


async def alternately(measured: Mapping[str, Callable[[], Awaitable[T]]], rounds: int) -> dict[str, list[T]]:
    """Run all of them so often, each time another one first; once before that does not count."""
    names = list(measured)
    for run in measured.values():
        await run()
    found: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        gc.collect()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(await measured[name]())
    return found


async def in_turns(measured: dict[str, Round], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """As `compare` for more than two: the medians, and those of the ratios to the first of them."""
    found = await alternately(measured, rounds)
    low = found[next(iter(found))]
    return (
        {name: median(values) for name, values in found.items()},
        {name: median(a / b for a, b in zip(values, low, strict=True)) for name, values in found.items()},
    )


def percentile(values: list[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
