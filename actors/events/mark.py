"""A `close` that is due to all readers of a session. Pure."""

from typing import Final

from turnkeeper.actors.model.words import StreamEnd


class Mark:
    """A `close` that is due: what was published before the position ``head`` comes first.

    Marks are a chain, and each reader holds the last one that it has heeded. So a reader that looks finds all
    that were made since, at the positions at which they were made, however late the pass over the readers
    comes to it.
    """

    __slots__ = ("end", "head", "next", "superseded")

    def __init__(self, head: int, end: StreamEnd, *, superseded: bool) -> None:
        self.head = head
        self.end = end
        #: Whether the turn that ended had to make way for a newer message.
        self.superseded = superseded
        #: The one that was made after this one.
        self.next: Mark | None = None


#: What a reader has heeded that belongs to no session yet: nothing follows.
UNMARKED: Final = Mark(0, StreamEnd.SHUTDOWN, superseded=False)
