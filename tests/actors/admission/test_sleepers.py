"""The sessions that sleep: who has slept the longest, and a walk through them while they come and go."""

import tracemalloc
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Held
from turnkeeper.actors.admission.sleepers import Sleepers

NAMES = st.integers(0, 5)


class Session(Held):
    def __init__(self, name: int) -> None:
        self.name = name
        self.nap = None

    def __repr__(self) -> str:
        return str(self.name)


def asleep(number: int) -> tuple[Sleepers[Session], list[Session]]:
    """So many sessions, all of them asleep."""
    sleepers, sessions = Sleepers[Session](), [Session(name) for name in range(number)]
    for session in sessions:
        sleepers.add(session)
    return sleepers, sessions


@given(st.lists(st.tuples(st.booleans(), NAMES)))
def test_those_that_sleep_stand_in_the_order_in_which_they_fell_asleep(deeds: list[tuple[bool, int]]) -> None:
    """As in a list, whatever comes and goes."""
    sleepers, sessions = Sleepers[Session](), [Session(name) for name in range(6)]
    expected = list[Session]()
    for falls_asleep, name in deeds:
        session = sessions[name]
        if session in expected:
            expected.remove(session)
            sleepers.discard(session)
        if falls_asleep:
            expected.append(session)
            sleepers.add(session)
        assert list(sleepers) == expected
        assert len(sleepers) == len(expected)
        assert [each in sleepers for each in sessions] == [each in expected for each in sessions]


def test_who_does_not_sleep_may_be_taken_from_those_who_do() -> None:
    sleepers, (session,) = asleep(1)
    for _ in range(2):
        sleepers.discard(session)
        assert (len(sleepers), list(sleepers)) == (0, [])


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.tuples(st.booleans(), NAMES)))))
def test_a_walk_meets_all_that_sleep_throughout_once_and_none_that_is_awake(
    passes: list[tuple[int, list[tuple[bool, int]]]],
) -> None:
    """G9: a walk has pauses, in which sessions wake, fall asleep, and are forgotten."""
    sleepers, sessions = asleep(6)
    walk, met, throughout = iter(sleepers), list[Session](), set(sessions)
    for number, meanwhile in passes:
        batch = list(islice(walk, number))
        assert all(session in sleepers for session in batch)
        met += batch
        for falls_asleep, name in meanwhile:
            sleepers.discard(sessions[name])
            throughout.discard(sessions[name])
            if falls_asleep:
                sleepers.add(sessions[name])
    left = list(walk)
    assert all(session in sleepers for session in left)
    met += left
    assert [session for session in met if session in throughout] == sorted(throughout, key=sessions.index)


def test_the_last_of_very_many_that_come_and_go_costs_no_more_than_the_first() -> None:
    """G9: counted in bytes, not in seconds. What is built anew as it grows needs many at once."""
    sleepers, sessions = Sleepers[Session](), [Session(name) for name in range(20_000)]
    tracemalloc.start()
    try:
        most = 0
        for deed in (sleepers.add, sleepers.discard):
            for session in sessions:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                deed(session)
                most = max(most, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert most < 10_000
