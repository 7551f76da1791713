"""The trees of turns of one registry, and how far they may grow. Pure."""

from turnkeeper.actors.model.exceptions import InvalidRequest, OwnLineage, TooDeep, TooManyChildren
from turnkeeper.actors.model.records import ChildTurn, SessionId, TurnId, TurnRecord, TurnRef, TurnSpec

from .branch import Branch


class Tree:
    """All turns that other turns of the registry have sent for and that have not ended."""

    __slots__ = ("_branches", "_most_children", "_most_levels")

    def __init__(self, most_levels: int, most_children: int) -> None:
        """``most_children`` is for how many others one turn may send."""
        self._branches: dict[TurnRef, Branch] = {}
        self._most_levels = most_levels
        self._most_children = most_children

    def __len__(self) -> int:
        return len(self._branches)

    def branch_of(self, spec: TurnSpec) -> Branch:
        """The branch that a turn is. Of what is above it nothing may be known: after a restart."""
        ref = TurnRef(spec.session_id, spec.turn_id)
        return self._branches.get(ref) or Branch(ref, None, spec.parent)

    def grow(self, parent: Branch, ref: TurnRef, now: float) -> Branch:
        """Add the turn ``ref``, for which ``parent`` sends.

        Raises `OwnLineage`, `TooDeep`, `TooManyChildren`, and `InvalidRequest` if it has sent for that turn
        already, which runs.
        """
        if ref.session_id in parent.lineage():
            text = f"session {ref.session_id!r} is this turn's own, or that of a turn that waits for this one"
            raise OwnLineage(text)
        if parent.depth >= self._most_levels:
            raise TooDeep(f"a tree of turns has at most {self._most_levels} levels")
        if len(parent.sent) >= self._most_children:
            raise TooManyChildren(f"a turn sends at most {self._most_children} messages to other sessions")
        if ref in self._branches:
            raise InvalidRequest("key stands for a turn that runs already", field="key")
        branch = self._branches[ref] = Branch(ref, parent)
        parent.below[branch] = None
        parent.sent[ref] = ChildTurn(ref.session_id, ref.turn_id, now)
        return branch

    def expects(self, session_id: SessionId, turn_id: str | None) -> bool:
        """Whether the message for that turn may be sent: another one sends for it, and goes on."""
        branch = None if turn_id is None else self._branches.get(TurnRef(session_id, TurnId(turn_id)))
        above = None if branch is None else branch.above
        return above is not None and not above.stops

    def started(self, spec: TurnSpec) -> None:
        """That turn has got hold of its session, for which another one may have sent."""
        branch = self._branches.get(TurnRef(spec.session_id, spec.turn_id))
        if branch is not None and branch.on_start is not None:
            branch.on_start()

    def drop(self, branch: Branch, end: TurnRecord | None = None, *, refused: bool = False) -> None:
        """That turn has ended, as ``end`` says if that is known, or was refused. May be called again."""
        if self._branches.get(branch.ref) is branch:
            del self._branches[branch.ref]
        branch.drop(end, refused=refused)
