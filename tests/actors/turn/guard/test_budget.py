"""How much a turn may emit, and how much of that it has."""

import pytest

from turnkeeper.actors.turn.guard.budget import LAST_BYTES, LAST_EVENTS, Budget


def test_as_many_events_are_taken_as_the_budget_says() -> None:
    """G8."""
    budget = Budget(3, None, None)
    assert [budget.takes(before, "1") for before in range(4)] == [True, True, True, False]
    assert budget.exceeded == "more than 3 events"


def test_as_many_bytes_are_taken_as_the_budget_says() -> None:
    """G8."""
    budget = Budget(None, 10, None)
    assert budget.takes(0, "12345")
    assert budget.takes(1, "67890")
    assert not budget.takes(2, "1")
    assert budget.exceeded == "more than 10 bytes of events"


def test_bytes_are_those_of_utf_8() -> None:
    budget = Budget(None, 8, None)
    assert budget.takes(0, '"é"')
    assert budget.takes(1, '"é"')
    assert not budget.takes(2, "1")


def test_an_event_that_does_not_fit_ends_the_budget_for_smaller_ones_too() -> None:
    budget = Budget(None, 10, None)
    assert not budget.takes(0, "12345678901")
    assert not budget.takes(0, "1")


@pytest.mark.parametrize("budget", [Budget(3, None, None), Budget(3, 10**9, None)])
def test_beyond_it_a_few_more_events_are_taken(budget: Budget) -> None:
    """G8."""
    assert [budget.takes(before, "1") for before in range(4)][-1] is False
    last = range(3, 3 + LAST_EVENTS + 1)
    assert [budget.takes_last(before, "1") for before in last] == [*[True] * LAST_EVENTS, False]


def test_beyond_it_a_few_more_bytes_are_taken() -> None:
    """G8."""
    budget = Budget(None, 10, None)
    assert budget.takes(0, "12345")
    assert not budget.takes(1, "123456")
    assert not budget.takes_last(1, "x" * (LAST_BYTES + 1))
    assert budget.takes_last(1, "x" * LAST_BYTES)
    assert not budget.takes_last(2, "x")


def test_without_a_bound_there_is_none() -> None:
    budget = Budget(None, None, None)
    assert all(budget.takes(before, "x" * 1000) for before in range(1000))


def test_as_many_tokens_are_covered_as_the_budget_says() -> None:
    """G8."""
    budget = Budget(None, None, 10)
    assert budget.covers(0, 10)
    assert not budget.covers(2, 11)
    assert budget.exceeded == "more than 10 tokens"
    assert not budget.takes(2, "1"), "it is exceeded for events as well"
    last = range(2, 2 + LAST_EVENTS + 1)
    assert [budget.takes_last(before, "1") for before in last] == [*[True] * LAST_EVENTS, False]


def test_what_was_exceeded_first_is_what_is_said() -> None:
    budget = Budget(1, None, 10)
    assert budget.takes(0, "1")
    assert not budget.takes(1, "1")
    assert not budget.covers(1, 11)
    assert budget.exceeded == "more than 1 events"
