"""From what was counted between marks to instructions per operation, and to ratios. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Each operation, and the floor that it is held against.
FLOORS = {
    "turn": "raw task",
    # With 1,000 messages kept: a turn that adds two, beside one with 10, and one that does not look.
    "turn_long": "turn, 10 kept",
    "turn_blind": "turn",
    # One that takes a slot where there are some, and gives it back.
    "turn_capped": "turn",
    "supersede": "raw task, superseded",
    "cancel": "raw task, cancelled",
    "emit": "raw queue",
    # What the recorder costs: a turn that says one word, and each word of a long one.
    "turn_recorded": "turn, not recorded",
    "emit_recorded": "emit, not recorded",
    "http_send": "bare POST",
    "http_cancel": "bare POST",
}


class Phase(NamedTuple):
    """What was done between two marks: an operation (or a floor), so many times."""

    operation: str
    times: int


class Row(NamedTuple):
    """Instructions per operation, and those of its floor in the same run."""

    operation: str
    instructions: float
    floor: float

    @property
    def ratio(self) -> float:
        """What is to be compared with another run."""
        return self.instructions / self.floor


def per_operation(phases: Sequence[Phase], counted: Sequence[int]) -> dict[str, float]:
    """Instructions per operation, from the counts of the phases.

    Each operation has two phases of different lengths: what surrounds the operations is in both of their
    counts, and not in the difference. Raises `ValueError` for anything else.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for phase, instructions in zip(phases, counted, strict=True):
        found.setdefault(phase.operation, []).append((phase.times, instructions))
    result: dict[str, float] = {}
    for operation, pair in found.items():
        if len(pair) != 2 or pair[0][0] == pair[1][0]:
            raise ValueError(f"{operation} needs two phases of different lengths, not {[n for n, _ in pair]}")
        (few, low), (many, high) = sorted(pair)
        result[operation] = (high - low) / (many - few)
    return result


def rows(counts: Mapping[str, float]) -> list[Row]:
    """Every operation beside its floor. Raises `KeyError` if one of them was not counted."""
    return [Row(operation, counts[operation], counts[floor]) for operation, floor in FLOORS.items()]
