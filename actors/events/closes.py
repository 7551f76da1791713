"""Each `close` that is due to one reader, and where its stream ends. Pure."""

from typing import Self, assert_never

from turnkeeper.actors.model.words import CloseOn, StreamEnd

from .event import CLOSES, Event
from .mark import UNMARKED, Mark
from .reaction import Reaction, reaction


class Closes:
    """Those of one reader, who asked for ``close_on``. Heed what is due to all readers before you look."""

    __slots__ = ("close_on", "due", "ended", "ending", "mark", "stop_at")

    def __init__(self, close_on: CloseOn) -> None:
        self.close_on = close_on
        #: Each `close` that is due, with its position: all that was published before comes first.
        self.due: tuple[tuple[int, Event], ...] = ()
        #: Whether nothing more will be published to this reader.
        self.ended = False
        #: Why, as its last event says; ``None`` if it has not ended, or ended without a `close`.
        self.ending: StreamEnd | None = None
        #: Where it ends: nothing that is published from there on is for this reader.
        self.stop_at: int | None = None
        #: The last mark that was heeded.
        self.mark = UNMARKED

    def heed(self) -> Self:
        """Take note of each mark that was made since, and return itself."""
        while (mark := self.mark.next) is not None:
            self.mark = mark
            self.end(mark)
        return self

    def end(self, mark: Mark) -> None:
        """A `close` is due: see `reaction`."""
        if self.ended:
            return
        found = reaction(self.close_on, mark.end, superseded=mark.superseded)
        match found:
            case Reaction.PASS_OVER:
                return
            case Reaction.GO_ON:
                pass
            case Reaction.END:
                self.ended, self.ending, self.stop_at = True, mark.end, mark.head
            case _:
                assert_never(found)
        self.due = (*self.due, (mark.head, CLOSES[mark.end]))

    def end_here(self, head: int) -> None:
        """It ends after what lies before ``head``, without a `close`."""
        if not self.ended:
            self.ended, self.stop_at = True, head

    def drop(self) -> None:
        """It has ended, and nothing of this is for it any more."""
        self.ended, self.due, self.ending = True, (), None

    def take(self, position: int) -> Event | None:
        """The `close` that is due at this position."""
        if not self.due or self.due[0][0] != position:
            return None
        (_, close), self.due = self.due[0], self.due[1:]
        return close

    def until(self) -> int | None:
        """Up to which position may be read before something is due."""
        return self.due[0][0] if self.due else self.stop_at
