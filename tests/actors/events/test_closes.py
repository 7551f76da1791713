"""Each `close` that is due to one reader, and where its stream ends."""

import pytest

from turnkeeper.actors.events.closes import Closes
from turnkeeper.actors.events.mark import Mark
from turnkeeper.actors.model.words import CloseOn, StreamEnd


def chain(*marks: Mark) -> Mark:
    """What a reader has heeded that is told of these."""
    first = last = Mark(0, StreamEnd.SHUTDOWN, superseded=False)
    for mark in marks:
        last.next, last = mark, mark
    return first


def cancelled(head: int, *, superseded: bool = False) -> Mark:
    return Mark(head, StreamEnd.TASK_CANCELLED, superseded=superseded)


def test_all_that_was_due_since_is_heeded_at_the_position_at_which_it_was_due() -> None:
    closes = Closes(CloseOn.NEVER)
    closes.mark = chain(cancelled(3), cancelled(5), Mark(8, StreamEnd.SHUTDOWN, superseded=False))
    closes.heed()
    assert [position for position, _ in closes.due] == [3, 5, 8]
    assert (closes.ended, closes.ending, closes.stop_at) == (True, StreamEnd.SHUTDOWN, 8)
    closes.heed()
    assert len(closes.due) == 3, "and each once"


@pytest.mark.parametrize("position", [2, 4])
def test_a_close_is_taken_at_its_position_only_and_nothing_is_read_beyond_it(position: int) -> None:
    closes = Closes(CloseOn.NEVER)
    closes.end(cancelled(3))
    assert closes.until() == 3
    assert closes.take(position) is None
    close = closes.take(3)
    assert close is not None
    assert close.data == "Task cancelled"
    assert (closes.take(3), closes.until()) == (None, None)


def test_what_is_due_after_the_end_changes_nothing() -> None:
    closes = Closes(CloseOn.CANCELLED)
    closes.end(cancelled(3))
    closes.end(Mark(5, StreamEnd.SHUTDOWN, superseded=False))
    closes.end_here(7)
    assert (closes.ending, closes.stop_at, len(closes.due)) == (StreamEnd.TASK_CANCELLED, 3, 1)


def test_an_end_that_does_not_concern_this_reader_is_passed_over() -> None:
    closes = Closes(CloseOn.CANCELLED)
    closes.end(cancelled(3, superseded=True))
    assert (closes.ended, closes.due, closes.until()) == (False, (), None)


def test_a_stream_that_ends_here_has_no_close() -> None:
    closes = Closes(CloseOn.CANCELLED)
    closes.end_here(4)
    assert (closes.ended, closes.ending, closes.until(), closes.due) == (True, None, 4, ())


def test_what_is_dropped_ends_without_a_close() -> None:
    closes = Closes(CloseOn.CANCELLED)
    closes.end(cancelled(3))
    closes.drop()
    assert (closes.ended, closes.ending, closes.due) == (True, None, ())
