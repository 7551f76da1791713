"""One turn of a tree of turns, and those below it."""

from tests.turns import record
from turnkeeper.actors.model.records import ChildTurn, SessionId, TurnId, TurnRef
from turnkeeper.actors.model.words import TurnStatus
from turnkeeper.actors.turn.family.branch import Branch


def ref(name: str) -> TurnRef:
    return TurnRef(SessionId(f"session-{name}"), TurnId(name))


def below(above: Branch, *names: str) -> list[Branch]:
    branches = [Branch(ref(name), above) for name in names]
    for branch in branches:
        above.below[branch] = None
        above.sent[branch.ref] = ChildTurn(branch.ref.session_id, branch.ref.turn_id, 1.0)
    return branches


def test_a_branch_knows_its_level_and_the_sessions_that_it_descends_from() -> None:
    root = Branch(ref("a"))
    (child,) = below(root, "b")
    (grandchild,) = below(child, "c")
    assert [each.depth for each in (root, child, grandchild)] == [1, 2, 3]
    assert list(grandchild.lineage()) == ["session-c", "session-b", "session-a"]


def test_of_a_branch_whose_process_is_gone_only_the_turn_above_is_known() -> None:
    left = Branch(ref("b"), None, ref("a"))
    assert left.depth == 2
    assert list(left.lineage()) == ["session-b", "session-a"]


def test_all_levels_below_are_asked_to_stop_at_once_and_each_once() -> None:
    stopped: list[tuple[TurnRef, ...]] = []
    root = Branch(ref("a"))
    root.held_by(stopped.append, lambda: None)
    first, second = below(root, "b", "c")
    below(first, "d")
    root.stop()
    root.stop(again=True)
    assert stopped == [(ref("b"), ref("d"), ref("c"))]
    assert root.stops
    assert first.stops
    assert second.stops


def test_one_that_stops_already_is_asked_from_above_all_the_same() -> None:
    stopped: list[tuple[TurnRef, ...]] = []
    root = Branch(ref("a"))
    (child,) = below(root, "b")
    below(child, "c")
    for branch in (root, child):
        branch.held_by(stopped.append, lambda: None)
    child.stop()
    root.stop()
    assert stopped == [(ref("c"),), (ref("b"),)]


def test_where_nothing_runs_below_nothing_is_asked_to_stop() -> None:
    stopped: list[tuple[TurnRef, ...]] = []
    root = Branch(ref("a"))
    root.held_by(stopped.append, lambda: None)
    root.stop()
    assert root.stops
    assert not stopped


def test_the_one_above_hears_of_each_end_below_it_once() -> None:
    ends: list[int] = []
    root = Branch(ref("a"))
    first, second = below(root, "b", "c")
    root.held_by(lambda turns: None, lambda: ends.append(root.running))
    first.drop(record("b", status=TurnStatus.COMPLETED, ended_at=7.0))
    first.drop(None)
    second.drop(None)
    assert ends == [1, 0]
    assert [(each.turn_id, each.status, each.ended_at) for each in root.sent.values()] == [
        ("b", TurnStatus.COMPLETED, 7.0),
        ("c", None, None),
    ]


def test_one_that_was_refused_was_never_sent_for() -> None:
    root = Branch(ref("a"))
    first, second = below(root, "b", "c")
    first.drop(None, refused=True)
    assert list(root.sent) == [ref("c")]
    assert list(root.below) == [second]
