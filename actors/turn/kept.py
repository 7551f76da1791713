"""What is kept of a session between its turns. Pure."""

from dataclasses import field
from typing import Any

from turnkeeper.actors.model.footprint import footprint
from turnkeeper.actors.model.value import value

from .changes import Changes
from .transcript import Bound, Transcript


@value
class Kept:
    """The conversation and the ``data`` of one session. It is never changed."""

    #: Whose session it is.
    owner: str
    transcript: Transcript = field(default_factory=Transcript)
    #: The id of the event that ends the turn which last changed the transcript.
    cursor: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    #: About how many bytes of memory ``data`` takes.
    data_size: int = 0

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return self.transcript.size + self.data_size

    def after(self, changes: Changes, bound: Bound, cursor: str | None) -> "Kept":
        """What is kept after a turn that was given this; ``cursor`` is the id of the event that ends it.

        A turn that left the messages as they were has no part in them.
        """
        transcript, data, data_size = self.transcript, self.data, self.data_size
        if changes.add or changes.keep < transcript.count:
            transcript = transcript.after(changes.keep, changes.add, bound)
        else:
            cursor = self.cursor
        if changes.data is not None:
            data, data_size = changes.data, footprint(changes.data)
        return Kept(self.owner, transcript, cursor, data, data_size)
