"""When an append is on the disk, and not only with the operating system. Pure."""

from typing import assert_never

from turnkeeper.actors.journal.contract import Append
from turnkeeper.actors.journal.entries import Events
from turnkeeper.actors.model.words import Durability


def flushes(durability: Durability, append: Append) -> bool:
    """Whether the append is to be on the disk before it is answered."""
    match durability:
        case Durability.FULL:
            return True
        case Durability.MIXED:
            return any(type(entry) is not Events for entry in append.entries)
        case Durability.NORMAL:
            return False
        case _:
            assert_never(durability)
