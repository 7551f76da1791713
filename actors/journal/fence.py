"""Whether an append may be written behind what a session's log has. Pure.

Decisions are fenced by position: what they were decided on has to be all there is. Agents' events are fenced
by their epoch: no decision depends on them, but those of a turn that no longer is the session's last are not
to get into its log.
"""

from turnkeeper.actors.model.records import Epoch
from turnkeeper.actors.model.value import value
from turnkeeper.actors.model.word import Word, word

from .contract import Append, Head
from .entries import BESIDE, Events, Opened


class Fence(Word):
    """What is to be done with an append."""

    OPEN = word("open", "it is to be written")
    WRITTEN = word("written", "it has been written already, and its answer was lost")
    MOVED = word("moved", "another has appended since")


@value
class Stand:
    """Where a session's log stands: its head, its last epoch, and the key of the last append."""

    head: Head
    epoch: Epoch
    key: str


#: Where a session stands that has no log.
NOWHERE = Head(0)


def fence(stand: Stand | None, append: Append) -> Fence:
    """Whether the append may be written to a session that stands there; ``None`` for one without a log."""
    if stand is None:
        opens = append.after is None and isinstance(append.entries[0], Opened)
        return Fence.OPEN if opens else Fence.MOVED
    if append.key == stand.key:
        return Fence.WRITTEN
    return Fence.OPEN if _fits(stand, append) else Fence.MOVED


def _fits(stand: Stand, append: Append) -> bool:
    for entry in append.entries:
        if type(entry) is Events:
            if entry.epoch != stand.epoch:
                return False
        elif type(entry) not in BESIDE:
            return append.after == stand.head
    return True
