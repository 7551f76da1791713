from turnkeeper.actors.journal.contract import Append, Head
from turnkeeper.actors.journal.entries import Entry, Titled
from turnkeeper.actors.journal.fence import Fence, Stand, fence
from turnkeeper.actors.model.records import SessionId

from .logs import Told, ended, events, opened, started

STAND = Stand(Head(2), 7, "k2")


def appended(after: int | None, *entries: Entry, key: str = "k3") -> Append:
    return Append(SessionId("s1"), None if after is None else Head(after), entries, key, Told())


def test_a_decision_comes_behind_the_head_that_it_was_made_on() -> None:
    assert fence(STAND, appended(2, ended("t1", 1))) is Fence.OPEN
    for after in (None, 1, 3):
        assert fence(STAND, appended(after, ended("t1", 1))) is Fence.MOVED
        assert fence(STAND, appended(after, events(7, 1, "a"), ended("t1", 2))) is Fence.MOVED


def test_an_append_that_is_the_last_one_already_is_not_written_again() -> None:
    assert fence(STAND, appended(1, ended("t1", 1), key="k2")) is Fence.WRITTEN
    assert fence(STAND, appended(2, events(7, 1, "a"), key="k2")) is Fence.WRITTEN


def test_events_come_behind_any_head_in_the_last_epoch_only() -> None:
    for after in (None, 1, 2):
        assert fence(STAND, appended(after, events(7, 1, "a"), Titled("tea"))) is Fence.OPEN
        assert fence(STAND, appended(after, events(6, 1, "a"))) is Fence.MOVED
        assert fence(STAND, appended(after, Titled("tea"))) is Fence.OPEN


def test_a_log_begins_with_the_opening_of_its_session() -> None:
    assert fence(None, appended(None, opened(), started("t1", 1))) is Fence.OPEN
    assert fence(None, appended(None, started("t1", 1))) is Fence.MOVED
    assert fence(None, appended(2, opened(), started("t1", 1))) is Fence.MOVED
    assert fence(STAND, appended(None, opened(), started("t1", 1))) is Fence.MOVED
