import pytest

from tests.actors.journal.logs import Told, ended, events
from turnkeeper.actors.journal.contract import Append, Head
from turnkeeper.actors.journal.entries import Entry, Titled
from turnkeeper.actors.journal.sqlite.writing.durability import flushes
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.words import Durability

EVENTS, END, TITLE = events(1, 1, "a"), ended("t1", 2), Titled("tea")


@pytest.mark.parametrize(
    ("durability", "flushed"),
    [
        (Durability.FULL, [True, True, True, True]),
        (Durability.MIXED, [False, True, True, True]),
        (Durability.NORMAL, [False, False, False, False]),
    ],
)
def test_what_is_on_the_disk_before_it_is_answered(durability: Durability, flushed: list[bool]) -> None:
    appends: list[tuple[Entry, ...]] = [(EVENTS,), (EVENTS, END), (END,), (TITLE,)]
    made = (Append(SessionId("s1"), Head(2), entries, "k", Told()) for entries in appends)
    assert [flushes(durability, append) for append in made] == flushed
