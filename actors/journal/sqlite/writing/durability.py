"""When an append is on the disk, and not only with the operating system. Pure."""

from typing import assert_never

from turnkeeper.actors.journal.contract import Append
from turnkeeper.actors.journal.entries import Events
from turnkeeper.actors.model.word import Word, word


class Durability(Word):
    """What survives when the machine loses its power; what is landed survives the process in any case."""

    FULL = word("full", "all that has landed")
    MIXED = word("mixed", "all but what agents emitted in the last moments")
    NORMAL = word("normal", "all but the last moments")

    def flushes(self, append: Append) -> bool:
        """Whether the append is to be on the disk before it is answered."""
        match self:
            case Durability.FULL:
                return True
            case Durability.MIXED:
                return any(type(entry) is not Events for entry in append.entries)
            case Durability.NORMAL:
                return False
            case _:
                assert_never(self)
