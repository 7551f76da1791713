from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.web.audit.plan import MESSAGES, Act, Pace, Plan, find_marker, make_plan, message

PACE = Pace()


def plan(users: int = 50, turns: int = 4, seed: int = 1, run: str = "r") -> Plan:
    return make_plan(users, turns, seed, run, PACE)


def test_the_same_seed_is_the_same_plan_and_another_is_another() -> None:
    assert plan() == plan()
    assert plan(seed=2) != plan()


def test_a_run_has_sessions_of_its_own_and_does_the_same() -> None:
    first, second = plan(run="a"), plan(run="b")
    assert not {user.session for user in first.users} & {user.session for user in second.users}
    assert [user.acts for user in first.users] == [user.acts for user in second.users]
    assert list(first.lengths.values()) == list(second.lengths.values())


@given(st.integers(1, 40), st.integers(1, 12), st.integers())
def test_every_user_sends_as_many_messages_as_were_asked_for(users: int, turns: int, seed: int) -> None:
    made = plan(users, turns, seed)
    assert made.turns == users * turns
    for user in made.users:
        n = 0
        for step in user.acts:
            assert step.n == n
            n += MESSAGES.get(step.kind, 1)
            assert step.kind is not Act.LEAVE or n == turns, "who has left does nothing more"
        assert n == turns
        assert {key for key in made.lengths if key[0] == user.session} == {
            (user.session, each) for each in range(turns)
        }


def test_a_crowd_does_everything_and_nothing_too_often() -> None:
    counts = Counter(step.kind for user in plan().users for step in user.acts)
    assert set(counts) == set(Act)
    assert max(counts.values()) <= 4 * min(counts.values())


def test_what_is_stopped_is_long_enough_to_notice_that_it_was_not() -> None:
    made = plan()
    for user in made.users:
        for step in user.acts:
            if step.kind.name.startswith("STOP"):
                left = made.lengths[user.session, step.n] - step.after_tokens
                assert left * PACE.token > PACE.lost_after


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("audit:s-1:0", ("s-1", 0)),
        ("please answer: audit:s_1:12, thank you", ("s_1", 12)),
        ("before: audit:s:1\nnow: audit:s:2", ("s", 2)),
        ("audit:s:", None),
        ("audit:s:1234567", None),
        ("make a title", None),
        ("", None),
    ],
)
def test_a_marker_is_found_wherever_a_server_puts_it(text: str, found: tuple[str, int] | None) -> None:
    assert find_marker(text) == found


@given(st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True), st.integers(0, 999_999))
def test_what_a_user_says_carries_its_marker(session: str, n: int) -> None:
    assert find_marker(message(session, n)) == (session, n)
