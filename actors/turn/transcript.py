"""What was said in a session, and how much of it is kept. Pure."""

from array import array
from dataclasses import field
from typing import Any, NamedTuple

from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.value import value


class Bound(NamedTuple):
    """How much of a conversation is kept: so many messages, and about so many bytes of memory for them.

    Beyond either, the oldest are dropped. The newest is kept, whatever its size.
    """

    messages: int
    bytes: int


@value
class Transcript:
    """The messages of a conversation, without the oldest ones that had to be dropped.

    It is never changed: a turn that was given it finds it as it was.
    """

    messages: list[Any] = field(default_factory=list)
    #: How many there were before these, and were dropped.
    omitted: int = 0
    #: About how many bytes of memory each of them takes.
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    #: The sum of that.
    size: int = 0

    @property
    def count(self) -> int:
        """How many messages there have been, dropped ones included."""
        return self.omitted + len(self.messages)

    def after(self, keep: int, add: tuple[Any, ...], bound: Bound) -> "Transcript":
        """The first ``keep`` messages, counted from the very first one, and then those that were added.

        Where some of the first ones have been dropped already, what is left of those. But for the copy of a
        list, what it costs does not grow with the number of messages.
        """
        omitted, keep = min(self.omitted, keep), max(0, keep - self.omitted)
        added = array("q", map(footprint, add))
        size = self.size + sum(added)
        if keep < len(self.messages):
            size -= sum(self.sizes[keep:])
        sizes = self.sizes[:keep]
        sizes += added
        drop = max(0, len(sizes) - bound.messages)
        size -= sum(sizes[:drop])
        while size > bound.bytes and drop < len(sizes) - 1:
            size -= sizes[drop]
            drop += 1
        messages = self.messages[drop:keep]
        messages += add[max(0, drop - keep) :]
        return Transcript(messages, omitted + drop, sizes[drop:], size)
