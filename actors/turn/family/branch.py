"""One turn of a tree of turns: the one that has sent for it, and those that it has sent for. Pure."""

from collections.abc import Callable, Iterator

from turnkeeper.actors.model.records import ChildTurn, SessionId, TurnRecord, TurnRef
from turnkeeper.actors.model.value import replace


class Branch:
    """One turn of a tree, as long as it has not ended.

    It is a kind of what a turn has begun (`work.begun`): its end waits until none below it runs.
    """

    __slots__ = (
        "_on_end",
        "_stop",
        "above",
        "asked",
        "below",
        "depth",
        "on_start",
        "ref",
        "sent",
        "stops",
        "unknown",
    )

    #: A turn is not given up because of those below it: they have ladders of their own.
    counted_as = None

    def __init__(self, ref: TurnRef, above: "Branch | None" = None, unknown: TurnRef | None = None) -> None:
        """``above`` is the turn that has sent for it; ``unknown`` if nothing else is known of that one."""
        self.ref = ref
        self.above = above
        self.unknown = unknown
        #: On which level of its tree it is: 1 for a turn that no other one has sent for.
        self.depth: int = above.depth + 1 if above is not None else 2 if unknown is not None else 1
        #: Those that it has sent for and that have not ended.
        self.below: dict[Branch, None] = {}
        #: All that it has sent for, but those that were refused.
        self.sent: dict[TurnRef, ChildTurn] = {}
        #: Whether it was asked to stop from above.
        self.asked = False
        #: Whether it is on its way out: those below it stop, and no other one is added.
        self.stops = False
        #: Called when it gets hold of its session.
        self.on_start: Callable[[], object] | None = None
        self._stop: Callable[[tuple[TurnRef, ...]], object] | None = None
        self._on_end: Callable[[], object] | None = None

    def lineage(self) -> Iterator[SessionId]:
        """The sessions of this turn and of those that it descends from."""
        branch: Branch | None = self
        while branch is not None:
            yield branch.ref.session_id
            if branch.unknown is not None:
                yield branch.unknown.session_id
            branch = branch.above

    def held_by(self, stop: Callable[[tuple[TurnRef, ...]], object], on_end: Callable[[], object]) -> None:
        """Its turn runs: ``stop`` has turns stop, ``on_end`` is called at each end below it."""
        self._stop, self._on_end = stop, on_end

    # -- What runs of it --------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many below it have not ended, of those that it has sent for itself."""
        return len(self.below)

    def stop(self, *, again: bool = False) -> None:
        """Have all below it stop, on every level and at once, each once: what comes ``again`` is theirs."""
        stopped = tuple(self._stopped())
        if stopped and self._stop is not None:
            self._stop(stopped)

    def _stopped(self) -> Iterator[TurnRef]:
        """Those below it that are to stop now: not those that were asked to before."""
        self.stops = True
        for branch in self.below:
            if not branch.asked:
                branch.asked = True
                yield branch.ref
            yield from branch._stopped()

    def settle(self) -> None:
        """Its turn has ended."""
        self.stops = True

    # -- What becomes of those below it -----------------------------------------------------------------

    def drop(self, end: TurnRecord | None, *, refused: bool = False) -> None:
        """It has ended, with this record if that is known; or it was ``refused``, and never a turn."""
        above, self.above = self.above, None
        if above is None:
            return
        above.below.pop(self, None)
        if refused:
            del above.sent[self.ref]
        elif end is not None:
            sent = above.sent[self.ref]
            above.sent[self.ref] = replace(sent, status=end.status, ended_at=end.ended_at)
        if above._on_end is not None:
            above._on_end()
