import sys

from turnkeeper.actors.runtime.stack import DEEP, is_deep


def at(depth: int) -> bool:
    return at(depth - 1) if depth else is_deep()


def height() -> int:
    """How many frames lie below the caller of this."""
    frame, count = sys._getframe(1).f_back, 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def test_a_stack_is_deep_from_so_many_frames_on() -> None:
    # Below `is_deep`, of whose frames it counts, lie those below this test, this test, and those of `at`.
    room = DEEP - 1 - height() - 1
    assert [at(room - 1), at(room)] == [False, True]


def test_what_a_handler_needs_is_left_where_the_stack_is_not_deep() -> None:
    assert sys.getrecursionlimit() - DEEP > 500
