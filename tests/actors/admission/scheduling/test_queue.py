"""The turns of one user, for one agent and in one lane, that wait: first in, first out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Held, Holdings, Totals
from turnkeeper.actors.admission.scheduling.queue import Queue, Waiting
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority

DEEDS = st.tuples(st.sampled_from(["ask", "ask", "remove", "first"]), st.integers(0, 200))


def empty() -> Queue:
    holdings: Holdings[Held] = Holdings("ada", Totals())
    return Queue(Claim("ada", "coder", Priority.NORMAL), holdings)


def asked(queue: Queue, order: int) -> Waiting:
    waiting = Waiting(Ticket(SessionId("s"), order), queue, order, 0.0, 1)
    queue.append(waiting)
    return waiting


@given(st.lists(DEEDS, max_size=300))
def test_each_knows_how_many_are_before_it_whoever_leaves(deeds: list[tuple[str, int]]) -> None:
    """As in a list."""
    queue, expected, order = empty(), list[Waiting](), 0
    for deed, number in deeds:
        if deed == "ask":
            order += 1 + number % 3  # some have asked elsewhere meanwhile
            expected.append(asked(queue, order))
        elif expected:
            leaving = expected[0 if deed == "first" else number % len(expected)]
            expected.remove(leaving)
            queue.remove(leaving)
        assert len(queue) == len(expected)
        if expected:
            assert queue.first is expected[0]
        assert [queue.number_before(each.order) for each in expected] == list(range(len(expected)))
        assert queue.number_before(order + 1) == len(expected)


@pytest.mark.parametrize("oldest_first", [True, False])
def test_a_queue_keeps_no_more_places_than_those_who_wait_need(oldest_first: bool) -> None:
    """G8."""
    queue = empty()
    waiting = [asked(queue, order) for order in range(1_000)]
    for each in waiting[:-1] if oldest_first else waiting[:0:-1]:
        queue.remove(each)
    assert len(queue) == 1
    assert queue.places <= 2 * 32


def test_a_queue_of_very_many_that_is_cleared_renumbers_those_that_wait_and_no_others() -> None:
    """G9: at most as many as have left since the last time."""
    queue = empty()
    waiting, steps = [asked(queue, order) for order in range(100_000)], list[int]()
    for left, each in enumerate(waiting[:-1]):
        before = queue.places
        queue.remove(each)
        if queue.places < before:
            steps.append(queue.places)
            assert queue.places <= left + 1
    assert sum(steps) <= len(waiting)


def test_to_know_a_place_among_very_many_takes_few_steps() -> None:
    """G9: the logarithm of their number; counted, not measured."""
    queue = empty()
    waiting = [asked(queue, order) for order in range(100_000)]
    steps = 0

    class Counting(list[int]):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            nonlocal steps
            steps += 1
            return super().__getitem__(index)

    queue._tree = Counting(queue._tree)
    for each in waiting[::1_000]:
        steps = 0
        assert queue.number_before(each.order) == each.order
        assert steps <= 17
        steps = 0
        asked(queue, 100_000 + each.order)
        assert steps <= 2 * 17
