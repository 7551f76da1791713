"""What one turn has begun beside its coroutine: its end waits until none of that runs.

A kind of it is an object that `Begun.kinds` holds. It climbs the grace ladder of the turn: it is stopped with
the coroutine or after it, by force at half of the grace, and what runs of it at the ladder's end has the turn
given up. A kind that is counted as nothing (``None``) is stopped in the same way and keeps the turn from its
end just as long, but the turn is not given up for it: it ends then, and its end runs what is to be run.

A kind joins in like this: it appends itself to ``kinds`` when the turn begins the first of it, counts in
``running`` what of it runs, and calls `Begun.one_ended` after each end, on the loop and never within `stop`.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, TypeVar

from turnkeeper.actors.model.records import Outcome, StillRunning

#: The fields of `StillRunning`.
Counted: TypeAlias = Literal["tasks", "threads", "processes"]


class Kind(Protocol):
    """One kind of what a turn begins."""

    @property
    def counted_as(self) -> Counted | None:
        """What it is counted as in the record of a turn that is given up for it; ``None``: none is."""
        ...

    @property
    def running(self) -> int:
        """How many of it run."""
        ...

    def stop(self, *, again: bool) -> None:
        """Have all that runs of it end: the second time by force, if there is any. Never waits."""
        ...

    def settle(self) -> None:
        """The turn has ended, and nothing of it runs."""
        ...


K = TypeVar("K", bound=Kind)


class Begun:
    """What one turn has begun."""

    __slots__ = ("_stops", "_then", "closed", "kinds", "outcome", "settled", "when_settled")

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        #: How the turn's coroutine has ended, if it has: its end is reported when nothing runs any more.
        self.outcome: Outcome | None = None
        #: Whether nothing more may be begun: all was stopped by force.
        self.closed = False
        #: Whether the turn has ended, and nothing of it runs; and what is called then, if anything is.
        self.settled = False
        self.when_settled: Callable[[], object] | None = None
        #: Whether what runs of it was asked to end.
        self._stops = False
        self._then: Callable[[], object] | None = None

    def kind(self, kind: type[K], make: "Callable[[Begun], K]") -> K:
        """That kind of it, which is made when the turn begins the first of it."""
        for each in self.kinds:
            if type(each) is kind:
                return each
        return make(self)

    @property
    def runs(self) -> bool:
        """Whether anything runs of it."""
        return any(kind.running for kind in self.kinds)

    @property
    def holds(self) -> bool:
        """Whether anything runs of it for which the turn is given up."""
        return any(kind.running for kind in self.kinds if kind.counted_as is not None)

    @property
    def still_running(self) -> StillRunning | None:
        """How much runs of that; ``None``: nothing."""
        counts = {kind.counted_as: kind.running for kind in self.kinds if kind.counted_as is not None}
        return StillRunning(**counts) if any(counts.values()) else None

    def stop(self, *, again: bool = False) -> None:
        """Have all that runs of it end: once, and ``again`` by force; then nothing more may be begun."""
        if self._stops and not again:
            return
        self._stops = True
        self.closed = self.closed or again
        for kind in self.kinds:
            kind.stop(again=again)

    def when_none_runs(self, then: Callable[[], object]) -> None:
        """Call this when nothing runs of it any more. Something does now."""
        self._then = then

    def one_ended(self) -> None:
        """Something of it has ended."""
        if self._then is not None and not self.runs:
            then, self._then = self._then, None
            then()

    def settle(self) -> None:
        """The turn has ended: nothing more may be begun."""
        self.closed = self.settled = True
        then, self.when_settled = self.when_settled, None
        if then is not None:
            then()
        for kind in self.kinds:
            kind.settle()
