"""What every attack shares: where it happens, how long it waits, and the list of what is measured.

* `server` is ``turnkeeper serve`` in a process of its own, `clients` are those who ask it, also badly.
* `agents` is what the server runs, `upstream` the model that it asks, `master` a program with two workers.
* `figures` measures everything that `attack` has registered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

ROOT = Path(__file__).parents[2]
HERE = "127.0.0.1"
#: Seconds after which what an attack waits for does not come.
PATIENCE = 60.0

Measure = TypeVar("Measure", bound=Callable[..., Any])


class Attack(NamedTuple):
    """A function that measures, and what it has shown once."""

    says: str
    measure: Callable[..., Any]


ATTACKS: list[Attack] = []


def attack(says: str) -> Callable[[Measure], Measure]:
    """Register a function that measures. It returns a named tuple, or a mapping of names to those."""

    def register(measure: Measure) -> Measure:
        ATTACKS.append(Attack(says, measure))
        return measure

    return register
