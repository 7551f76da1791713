"""How much there may be of one user's, and in all."""

import pytest

from turnkeeper.actors.admission.bounds import COUNTERS, Bound, Bounds
from turnkeeper.actors.metrics.meter import COUNTERS as ALL_COUNTERS
from turnkeeper.actors.model.exceptions import (
    MessageTooLarge,
    QueueFull,
    TitleTooLong,
    TooDeep,
    TooManyChildren,
    TooManyOfAgent,
    TooManyPolicies,
    TooManyTurns,
    TooManyWaiting,
)
from turnkeeper.actors.session.settings import Settings

BOUND = Bound("turns in flight", 3, 10, TooManyTurns)


def refused(of_user: int, in_all: int, *, bounded: bool = True) -> bool:
    return BOUND.refusal(of_user, in_all, bounded=bounded) is not None


def test_a_user_may_have_exactly_as_many_as_the_bound_says() -> None:
    """G8."""
    assert [refused(count, count) for count in range(5)] == [False, False, False, True, True]


def test_a_user_may_have_a_bound_of_their_own() -> None:
    """G8."""
    full = BOUND.refusal(1, 1, bounded=True, most=1)
    assert str(full) == "a user has at most 1 turns in flight"
    assert BOUND.refusal(3, 3, bounded=True, most=4) is None
    assert BOUND.refusal(1, 10, bounded=True, most=4) is not None


def test_there_may_be_exactly_as_many_in_all_as_the_bound_says() -> None:
    """G8."""
    assert [refused(0, count) for count in (8, 9, 10, 11)] == [False, False, True, True]


def test_a_user_that_is_not_bounded_has_the_total_only() -> None:
    assert not refused(9, 9, bounded=False)
    assert refused(9, 10, bounded=False)


def test_a_refusal_says_which_bound_it_is() -> None:
    assert str(BOUND.refusal(3, 10, bounded=True)) == "a user has at most 3 turns in flight"
    assert str(BOUND.refusal(2, 10, bounded=True)) == "there are at most 10 turns in flight in all"
    assert type(BOUND.refusal(3, 3, bounded=True)) is TooManyTurns


def test_each_bound_is_a_setting_with_a_code_and_a_counter_of_its_own() -> None:
    bounds = Bounds.of(Settings())
    assert [(bound.per_user, bound.in_all) for bound in bounds] == [
        (1_000, 200_000),
        (32, 10_000),
        (32, 1_000),
        (64, 20_000),
        (64 * 2**20, 2 * 2**30),
    ]
    assert [bound.error.code for bound in bounds] == [
        "TOO_MANY_SESSIONS",
        "TOO_MANY_TURNS",
        "TOO_MANY_UNRESPONSIVE",
        "TOO_MANY_STREAMS",
        "TOO_MUCH_KEPT",
    ]
    others = {MessageTooLarge, TitleTooLong, QueueFull, TooManyPolicies}
    others |= {TooManyOfAgent, TooManyWaiting, TooDeep, TooManyChildren}
    assert {bound.error for bound in bounds} | others == set(COUNTERS)
    assert len(set(COUNTERS.values())) == len(COUNTERS)
    assert set(COUNTERS.values()) < set(ALL_COUNTERS)


@pytest.mark.parametrize(
    "name", ["max_sessions", "max_in_flight", "max_streams", "max_kept", "max_sessions_in_all"]
)
def test_the_bounds_are_those_of_the_settings(name: str) -> None:
    given = Bounds.of(Settings(**{name: 7}))
    changed = [pair for pair in zip(given, Bounds.of(Settings()), strict=True) if pair[0] != pair[1]]
    assert [7 in (mine.per_user, mine.in_all) for mine, _ in changed] == [True]
