"""Where counting begins and ends, in the process that is counted."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.instructions.count import Phase

#: A function of the C library that does next to nothing, and that nothing else here calls. Whenever it is
#: called, callgrind writes down what it has counted and begins anew.
TRIGGER = "getpgrp"


def mark() -> None:
    """End a count and begin the next one."""
    os.getpgrp()


class Marks:
    """The phases of a process, in their order."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []

    @contextmanager
    def phase(self, operation: str, times: int) -> Iterator[None]:
        """What is done in the block is counted as that."""
        self.phases.append(Phase(operation, times))
        mark()
        yield
        mark()


def to_line(phases: list[Phase]) -> str:
    """The phases, to be printed."""
    return json.dumps(phases)


def from_line(line: str | bytes) -> list[Phase]:
    """The phases that were printed."""
    return [Phase(*each) for each in json.loads(line)]
