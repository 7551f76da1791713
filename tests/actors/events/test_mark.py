"""A `close` that is due to all readers of a session."""

from turnkeeper.actors.events.mark import UNMARKED, Mark
from turnkeeper.actors.model.words import StreamEnd


def test_a_mark_keeps_none_that_was_made_before_it() -> None:
    """G8: marks that every reader has heeded are let go of."""
    first, second = (
        Mark(1, StreamEnd.TASK_CANCELLED, superseded=True),
        Mark(2, StreamEnd.SHUTDOWN, superseded=False),
    )
    first.next = second
    assert second.next is None
    assert not any(getattr(second, name) is first for name in Mark.__slots__)


def test_nothing_follows_what_a_reader_of_no_session_has_heeded() -> None:
    assert UNMARKED.next is None
