"""Whose code it is that uses a turn: its own, or some other."""

from turnkeeper.actors.model.exceptions import OutsideTurn

from .specified import Specified


class Inside(Specified):
    """What a turn knows of the code that uses it.

    What runs in the turn's task is inside, and what that has begun: tasks, callbacks, and threads that were
    given its context. What a turn begins, and what is to be done at its end, only these may ask for: its
    cancel reaches them, and code that has got hold of the turn of another one finds that out at once. What is
    said of it, such as its events, may come from anywhere.
    """

    __slots__ = ()

    # -- for turnkeeper's own use ---------------------------------------------------------------------

    @property
    def is_inside(self) -> bool:
        """Whether this is called in a task of the turn's, or one that such a task has started."""
        raise NotImplementedError

    def check_inside(self, what: str) -> None:
        """Raise `OutsideTurn` where this is not called inside; ``what`` is what was to be done."""
        if not self.is_inside:
            raise OutsideTurn(f"{what} is for the tasks of turn {self.turn_id}: this task is not one of them")
