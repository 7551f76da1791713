"""What the simulation comes to, and the file that has it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from turnkeeper.actors.model.words import Priority

from .crowd import LANES, Crowd, Flood
from .orders import ORDERS

FILE: Final = Path(__file__).parents[4] / "docs" / "explanation" / "admission.json"
#: How often each run is repeated, with other chances.
SEEDS: Final = range(40)
FLOODS: Final = tuple(Flood(messages, lane) for messages in (600, 1_500) for lane in LANES)
#: How long the others are to wait at most, 99 of 100 times, in seconds.
AIM: Final = 1.0


class Figure(NamedTuple):
    """For one flood and one order, the 99th percentile of the others' waits, by lane, in seconds.

    ``of``: how many messages that is of; ``lasted``: after how many seconds the last turn of the flood had
    started, on average.
    """

    order: str
    messages: int
    lane: str
    p99: dict[str, float]
    of: int
    lasted: float


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of the values that so many per cent do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def measured(order: str, flood: Flood) -> Figure:
    """Let one order decide on one flood, a few times."""
    seen = [Crowd(ORDERS[order](), flood, seed).run() for seed in SEEDS]
    waits: dict[Priority, list[float]] = {
        lane: [wait for each in seen for wait in each.waits[lane]] for lane in LANES
    }
    return Figure(
        order,
        flood.messages,
        flood.lane.value,
        {lane.value: round(percentile(waits[lane], 99), 2) for lane in LANES},
        sum(map(len, waits.values())),
        round(sum(each.lasted for each in seen) / len(seen), 1),
    )


def saved() -> list[Figure]:
    """The figures of the last time that they were measured."""
    return [Figure(**each) for each in json.loads(FILE.read_text(encoding="utf-8"))]


def save(figures: Sequence[Figure]) -> None:
    """Keep these figures."""
    rows = ",\n".join(json.dumps(figure._asdict()) for figure in figures)
    FILE.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
