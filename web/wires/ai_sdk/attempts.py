"""What of a turn stands that was started more than once. Pure.

A turn that a restart cut off may say everything again. A reader that comes later is given all its attempts,
but a message has room for one: no chunk takes back what stands in it.
"""

from turnkeeper.web.wires.said import CutOff, Ended, Said, Started, StreamClosed


class Attempts:
    """Lets through what stands; what may not stand is held until that is known."""

    __slots__ = ("_anew", "_held", "_past")

    def __init__(self, attempt: int) -> None:
        """``attempt`` is the one in which the turn is when it begins to be read."""
        #: How many attempts there were whose end comes among the events.
        self._past = attempt - 1
        self._held: list[Said | StreamClosed] = []
        #: Whether the next start says everything again.
        self._anew = False

    def take(self, said: Said | StreamClosed) -> list[Said | StreamClosed]:
        """What stands now that this is said: nothing of the past until it is known what came of it."""
        if isinstance(said, Started) and self._anew:
            self._held, self._anew = [], False
        if isinstance(said, CutOff) and self._past:
            self._past -= 1
            self._anew = said.from_start
        if not (isinstance(said, CutOff) and self._anew):
            self._held.append(said)
        if (self._past or self._anew) and not isinstance(said, Ended | StreamClosed):
            return []
        held, self._held = self._held, []
        return held
