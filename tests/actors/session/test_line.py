"""The line of those who wait: who starts next, and who is left when one goes."""

from tests.turns import spec
from turnkeeper.actors.session.line import (
    Line,
    Waiting,
    called_up,
    delayed,
    find,
    front_of,
    line_of,
    waiting_turns,
    with_front,
    without,
)

A, B, C, D = (Waiting(spec(name)) for name in "abcd")
FULL = Line(A, (B, C), (D,))


def test_the_one_that_is_called_up_starts_first_and_then_those_behind_it() -> None:
    started, line = [], FULL
    while True:
        turn, rest = called_up(line)
        if turn is None:
            break
        started.append(turn)
        assert rest is not None
        line = rest
    assert started == [A, B, C]
    assert line == Line(later=(D,))


def test_of_those_that_wait_for_a_moment_none_is_called_up() -> None:
    assert called_up(Line(later=(D,))) == (None, Line(later=(D,)))
    assert (Line(later=(D,)).next, FULL.next, Line(None, (B,)).next) == (None, A, B)


def test_there_is_no_line_where_no_turn_waits() -> None:
    assert line_of(None) is None
    assert without(Line(A), A) is None
    assert with_front(None, None) is None
    assert called_up(Line(A)) == (A, None)
    assert (waiting_turns(None), front_of(None), find(None, A.spec.turn_id)) == ((), None, None)


def test_one_that_leaves_changes_no_place_of_the_others() -> None:
    assert waiting_turns(without(FULL, B)) == (A, C, D)
    assert without(FULL, A) == Line(None, (B, C), (D,))
    assert without(FULL, D) == Line(A, (B, C))


def test_one_that_is_called_up_takes_the_place_of_the_one_before() -> None:
    assert with_front(FULL, D) == Line(D, (B, C), (D,))
    assert with_front(None, A) == Line(A)


def test_a_turn_is_found_by_its_id_wherever_it_waits() -> None:
    assert [find(FULL, each.spec.turn_id) for each in FULL.turns] == [A, B, C, D]


def test_only_the_one_called_up_counts_its_wait_from_the_moment_in_force() -> None:
    soon = Waiting(spec("a"), 2, not_before=5.0)
    late = Waiting(spec("d"), not_before=9.0)
    assert delayed(Line(soon, (), (late,)), 2.0) == Line(Waiting(spec("a"), 2, not_before=7.0), (), (late,))
    assert delayed(FULL, 2.0) is FULL
