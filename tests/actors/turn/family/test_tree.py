"""How far trees of turns grow."""

import pytest

from tests.turns import spec
from turnkeeper.actors.model.exceptions import InvalidRequest, OwnLineage, TooDeep, TooManyChildren
from turnkeeper.actors.model.records import SessionId, TurnId, TurnRef
from turnkeeper.actors.turn.family.branch import Branch
from turnkeeper.actors.turn.family.tree import Tree


def ref(session: str, turn: str = "t1") -> TurnRef:
    return TurnRef(SessionId(session), TurnId(turn))


def test_a_turn_sends_neither_to_its_own_session_nor_to_one_that_it_descends_from() -> None:
    tree = Tree(8, 100)
    root = Branch(ref("s1"))
    child = tree.grow(root, ref("s2"), 1.0)
    for branch, session in ((root, "s1"), (child, "s1"), (child, "s2")):
        with pytest.raises(OwnLineage, match=session):
            tree.grow(branch, ref(session, "t2"), 1.0)
    assert len(tree) == 1
    # A session beside is no one's ancestor.
    assert tree.grow(root, ref("s3"), 1.0).depth == tree.grow(child, ref("s3", "t2"), 1.0).depth - 1


def test_after_a_restart_the_session_above_is_known_still() -> None:
    left = Branch(ref("s2"), None, ref("s1"))
    with pytest.raises(OwnLineage):
        Tree(8, 100).grow(left, ref("s1", "t9"), 1.0)


def test_a_tree_has_so_many_levels_at_most() -> None:
    tree = Tree(3, 100)
    child = tree.grow(Branch(ref("s1")), ref("s2"), 1.0)
    with pytest.raises(TooDeep, match="at most 3 levels"):
        tree.grow(tree.grow(child, ref("s3"), 1.0), ref("s4"), 1.0)


def test_a_turn_has_so_many_children_at_most_and_those_that_were_refused_do_not_count() -> None:
    tree = Tree(8, 2)
    root = Branch(ref("s1"))
    tree.drop(tree.grow(root, ref("s2"), 1.0), refused=True)
    tree.drop(tree.grow(root, ref("s2"), 1.0))
    tree.grow(root, ref("s3"), 1.0)
    with pytest.raises(TooManyChildren, match="at most 2"):
        tree.grow(root, ref("s4"), 1.0)


def test_a_turn_is_not_sent_for_twice_while_it_runs() -> None:
    tree = Tree(8, 100)
    root = Branch(ref("s1"))
    child = tree.grow(root, ref("s2"), 1.0)
    with pytest.raises(InvalidRequest):
        tree.grow(root, ref("s2"), 1.0)
    tree.drop(child)
    assert tree.grow(root, ref("s2"), 1.0) is not child


def test_a_turn_finds_the_branch_that_it_is() -> None:
    tree = Tree(8, 100)
    child = tree.grow(Branch(ref("s1")), ref("s2"), 1.0)
    assert tree.branch_of(spec("t1", session="s2")) is child
    assert tree.branch_of(spec("t1", session="s3")).depth == 1


def test_a_message_is_expected_from_its_send_on_until_its_turn_ends_or_the_one_above_stops() -> None:
    tree = Tree(8, 100)
    root = Branch(ref("s1"))
    child = tree.grow(root, ref("s2"), 1.0)
    assert tree.expects(SessionId("s2"), "t1")
    assert not tree.expects(SessionId("s2"), "t2")
    assert not tree.expects(SessionId("s2"), None)
    tree.drop(child)
    tree.drop(child)
    assert not tree.expects(SessionId("s2"), "t1")
    tree.grow(root, ref("s2"), 1.0)
    root.stop()
    assert not tree.expects(SessionId("s2"), "t1")


def test_a_branch_that_was_sent_for_again_is_not_dropped_with_the_one_before() -> None:
    tree = Tree(8, 100)
    root = Branch(ref("s1"))
    first = tree.grow(root, ref("s2"), 1.0)
    tree.drop(first)
    tree.grow(root, ref("s2"), 1.0)
    tree.drop(first)
    assert tree.expects(SessionId("s2"), "t1")


def test_the_start_of_a_turn_reaches_the_one_that_has_sent_for_it() -> None:
    tree, started = Tree(8, 100), list[str]()
    child = tree.grow(Branch(ref("s1")), ref("s2"), 1.0)
    tree.started(spec("t1", session="s2"))
    child.on_start = lambda: started.append("t1")
    tree.started(spec("t1", session="s2"))
    tree.started(spec("t1", session="s3"))
    assert started == ["t1"]
