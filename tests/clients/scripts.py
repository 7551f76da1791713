"""What the agents of these tests say, and when."""

from collections.abc import Iterable
from typing import Any

from tests.fakes import Run

WORDS = ("one ", "two ", "three")
#: The deltas that a reader has to get who does not read for as long as its turn runs.
MANY = 1_200
#: How many bytes of events a session is to keep for such a reader.
KEPT = 1 << 26


def say(run: Run, *words: str) -> None:
    """Have it say these words, each by itself."""
    for word in words:
        run.turn.emit("delta", {"text": word})


def many(size: int = 9_000) -> list[str]:
    """Words of that many characters, which are together more than a connection takes in by itself."""
    return [f"{n} ".rjust(size, ".") for n in range(MANY)]


def of_type(events: Iterable[Any], kind: str) -> list[Any]:
    """Those events of them."""
    return [event for event in events if event["type"] == kind]
