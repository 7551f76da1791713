"""The events that wait to be written."""

import msgspec
import pytest

from turnkeeper.actors.events.event import Event
from turnkeeper.actors.registry.durable.outbox import FULL, OVERHEAD, Outbox, by_epoch


class Owner:
    """What writes the events, and how much may wait."""

    def __init__(self, most: int = 10**9) -> None:
        self.unwritten = 0
        self.most_unwritten = most
        self.said: list[str] = []

    def events_due(self) -> None:
        self.said.append("due")

    def events_full(self) -> None:
        self.said.append("full")

    def events_overflow(self) -> None:
        self.said.append("overflow")


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def outbox(owner: Owner) -> Outbox:
    return Outbox(owner, owner)


def event(n: int, epoch: int = 7, text: str = '"x"') -> Event:
    return Event("delta", epoch, n, text)


def test_the_first_event_asks_to_be_written_and_the_others_go_along(owner: Owner, outbox: Outbox) -> None:
    outbox.add(event(1))
    outbox.add(event(2))

    assert owner.said == ["due"]
    assert [each.n for each in outbox.take()] == [1, 2]
    outbox.add(event(3))
    assert owner.said == ["due", "due"]


def test_what_could_not_be_written_comes_back_before_what_came_since(owner: Owner, outbox: Outbox) -> None:
    outbox.add(event(1))
    taken = outbox.take()
    outbox.add(event(2))
    outbox.put_back(taken)

    assert [each.n for each in outbox.take()] == [1, 2]


def test_bytes_count_until_they_are_durable(owner: Owner, outbox: Outbox) -> None:
    outbox.add(event(1))
    taken = outbox.take()

    assert owner.unwritten == OVERHEAD + 3
    outbox.written(taken)
    assert owner.unwritten == 0


def test_much_is_written_before_its_time(owner: Owner, outbox: Outbox) -> None:
    for n in range(3):
        outbox.add(event(n, text='"' + "x" * (FULL // 2) + '"'))

    assert owner.said == ["due", "full"]


def test_more_than_may_wait_stops_the_turn() -> None:
    owner = Owner(most=250)
    outbox = Outbox(owner, owner)
    outbox.add(event(1))
    outbox.add(event(2))
    assert "overflow" not in owner.said
    outbox.add(event(3))

    assert owner.said[-1] == "overflow"


def test_what_is_forgotten_counts_no_more(owner: Owner, outbox: Outbox) -> None:
    outbox.add(event(1))
    outbox.forget()

    assert (owner.unwritten, len(outbox)) == (0, 0)


def test_events_are_told_apart_by_their_epochs() -> None:
    found = [
        (epoch, [each.n for each in some]) for epoch, some in by_epoch([event(1), event(2), event(1, 8)])
    ]

    assert found == [(7, [1, 2]), (8, [1])]
    assert msgspec.Raw(event(1).json.encode()) == msgspec.Raw(b'"x"')
