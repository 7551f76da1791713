"""Where events go without their reader's task (G7)."""

from tests.fakes import Outlet
from turnkeeper.actors.events.event import Event
from turnkeeper.actors.events.log import EventLog
from turnkeeper.actors.events.outlet import Encoded, push


def log_of(count: int, kept: int = 100) -> EventLog:
    log = EventLog()
    for n in range(count):
        log.append(Event("word", epoch=1, n=n, text="1"), kept, 1 << 30)
    return log


def test_what_lies_before_the_head_is_written_and_nothing_else() -> None:
    outlet = Outlet()
    assert push(outlet, log_of(5), 2, 4, {})
    assert outlet.taken == ["2 3"]


def test_outlets_that_encode_alike_share_what_was_encoded_at_their_position() -> None:
    encodings: list[list[int]] = []

    class Counting(Outlet):
        @staticmethod
        def encode(events: list[Event]) -> bytes:
            encodings.append([event.n for event in events])
            return Outlet.encode(events)

    log, encoded = log_of(5), Encoded()
    alike, other = [Counting(), Counting()], Outlet()
    for outlet in (*alike, other):
        for position in (3, 4):
            assert push(outlet, log, position, 5, encoded)
    assert encodings == [[3, 4], [4]]
    assert alike[0].taken == alike[1].taken == other.taken == ["3 4", "4"]


def test_nothing_is_written_where_something_was_dropped_or_the_outlet_is_shut() -> None:
    outlet = Outlet()
    assert not push(outlet, log_of(5, kept=2), 2, 5, {})
    outlet.shut = True
    assert not push(outlet, log_of(5), 2, 5, {})
    assert outlet.taken == []


def test_what_goes_wrong_is_left_to_the_readers_task() -> None:
    class Unreadable(Outlet):
        @staticmethod
        def encode(_events: list[Event]) -> bytes:
            raise UnicodeError

    class Broken(Outlet):
        def write(self, data: bytes) -> bool:
            raise RuntimeError(data)

    for outlet in (Unreadable(), Broken()):
        assert not push(outlet, log_of(1), 0, 1, {})
