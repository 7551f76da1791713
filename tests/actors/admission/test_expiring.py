"""A table whose entries expire, bounded for each user (G8)."""

import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnkeeper.actors.admission.expiring import ExpiringTable

TTL = 30.0


def table(per_user: int = 2, in_all: int | None = None, **of_users: str) -> ExpiringTable[str, int]:
    """A table with keys put at moment 0: ``ada="ab"`` puts a and b for ada."""
    made: ExpiringTable[str, int] = ExpiringTable(TTL, per_user, in_all)
    for user, keys in of_users.items():
        for n, key in enumerate(keys):
            assert made.put(user, key, n, 0.0)
    return made


def test_a_value_is_kept_for_its_time_and_not_a_moment_longer() -> None:
    kept = table(ada="ab")
    assert kept.get("a", TTL - 0.001) == 0
    assert kept.get("b", TTL) is None
    assert len(kept) == 0


def test_a_value_that_is_put_again_takes_the_place_of_the_first_and_counts_from_its_last_moment() -> None:
    kept = table(ada="ab")
    assert kept.put("ada", "a", 7, 20.0)
    assert len(kept) == 2
    assert kept.get("a", 45.0) == 7
    assert len(kept) == 1


def test_a_user_with_as_many_as_allowed_gets_no_more_and_the_others_do() -> None:
    kept = table(ada="ab")
    assert not kept.put("ada", "c", 1, 1.0)
    assert kept.get("c", 1.0) is None
    assert kept.put("bob", "c", 1, 1.0)
    assert kept.put("ada", "d", 1, TTL)


def test_to_make_room_the_users_own_oldest_gives_way() -> None:
    kept = table(bob="x", ada="ab")
    assert kept.put("ada", "c", 1, 1.0, make_room=True)
    assert [kept.get(key, 1.0) is None for key in "abcx"] == [True, False, False, False]


def test_beyond_the_bound_in_all_the_first_to_expire_gives_way_whose_ever_it_is() -> None:
    kept = table(per_user=9, in_all=3, bob="xy", ada="a")
    assert not kept.put("ada", "b", 1, 1.0)
    assert kept.put("ada", "b", 1, 1.0, make_room=True)
    assert [kept.get(key, 1.0) is None for key in "xyab"] == [True, False, False, False]


def test_what_is_held_does_not_expire_and_lives_for_its_time_after_its_last_release() -> None:
    kept = table(ada="a")
    kept.hold("a")
    kept.hold("a")
    kept.release("a", 10.0)
    assert kept.get("a", 1_000.0) == 0
    kept.release("a", 1_000.0)
    assert kept.get("a", 1_000.0 + TTL - 0.001) == 0
    assert kept.get("a", 1_000.0 + TTL) is None


class Watched(str):
    """A text of which can be seen when nothing holds it any more."""


GONE: dict[str, Callable[[ExpiringTable[str, int]], object]] = {
    "expired": lambda kept: kept.get("b", TTL),
    "put again by another user": lambda kept: kept.put("bob", "a", 1, 1.0),
    "gave way": lambda kept: kept.put("bob", "b", 1, 1.0, make_room=True),
    "held, released and expired": lambda kept: (kept.hold("a"), kept.release("a", 1.0), kept.get("a", 99.0)),
}


@pytest.mark.parametrize("how", GONE)
def test_nothing_is_kept_of_a_user_whose_last_value_is_gone(how: str) -> None:
    """G8: users come and go without end."""
    kept = table(in_all=1)
    user, key = Watched("ada"), Watched("a")
    left = weakref.ref(user), weakref.ref(key)
    assert kept.put(user, key, 0, 0.0)
    del user, key
    GONE[how](kept)
    assert [each() for each in left] == [None, None]


def test_what_is_held_counts_and_does_not_give_way() -> None:
    kept = table(ada="ab")
    kept.hold("a")
    assert kept.put("ada", "c", 1, 1.0, make_room=True)
    assert [kept.get(key, 1.0) is None for key in "abc"] == [False, True, False]
    kept.hold("c")
    assert not kept.put("ada", "d", 1, 1.0, make_room=True)
    assert len(kept) == 2


class AgainstADict(RuleBasedStateMachine):
    """Whatever is done, the table says what a plain dict with all the times in it says."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table: ExpiringTable[str, int] = ExpiringTable(TTL, 2)
        self.model: dict[str, tuple[str, int, float, int]] = {}

    def alive(self) -> dict[str, tuple[str, int, float, int]]:
        return {key: each for key, each in self.model.items() if each[3] or self.now < each[2]}

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(user=st.sampled_from("uv"), key=st.sampled_from("abc"), value=st.integers())
    def put(self, user: str, key: str, value: int) -> None:
        key = user + key
        self.model = {other: each for other, each in self.alive().items() if other != key}
        room = sum(each[0] == user for each in self.model.values()) < 2
        assert self.table.put(user, key, value, self.now) is room
        if room:
            self.model[key] = user, value, self.now + TTL, 0

    @rule(key=st.sampled_from(["ua", "ub", "va"]))
    def hold(self, key: str) -> None:
        self.model = self.alive()
        assert (self.table.get(key, self.now) is None) == (key not in self.model)
        if key in self.model:
            user, value, expires_at, holds = self.model[key]
            self.table.hold(key)
            self.model[key] = user, value, expires_at, holds + 1

    @rule(key=st.sampled_from(["ua", "ub", "va"]))
    def release(self, key: str) -> None:
        user, value, expires_at, holds = self.model.get(key, ("", 0, 0.0, 0))
        if holds:
            self.table.release(key, self.now)
            expires_at = self.now + TTL if holds == 1 else expires_at
            self.model[key] = user, value, expires_at, holds - 1

    @invariant()
    def says_the_same(self) -> None:
        for key in (user + key for user in "uv" for key in "abc"):
            each = self.alive().get(key)
            assert self.table.get(key, self.now) == (None if each is None else each[1])
        assert len(self.table) == len(self.alive())


TestAgainstADict = AgainstADict.TestCase


@given(st.lists(st.tuples(st.sampled_from("uv"), st.integers(0, 20)), max_size=60))
def test_no_bound_is_ever_exceeded(puts: list[tuple[str, int]]) -> None:
    kept: ExpiringTable[tuple[str, int], None] = ExpiringTable(TTL, 3, 4)
    for now, (user, key) in enumerate(puts):
        assert kept.put(user, (user, key), None, float(now) / 10, make_room=True)
        assert len(kept) <= 4
