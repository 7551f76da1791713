"""What one user has: counts that add up, and sessions in order."""

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Amounts, Held, Holdings


class Session(Held):
    def __init__(self, name: int) -> None:
        self.name = name

    def __repr__(self) -> str:
        return str(self.name)


def names(holdings: Holdings[Session]) -> list[int]:
    return [session.name for session in holdings]


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "move"]), st.integers(0, 5))))
def test_the_sessions_stand_in_the_order_in_which_they_came_or_fell_asleep(
    deeds: list[tuple[str, int]],
) -> None:
    """As in a list, whatever comes and goes."""
    holdings: Holdings[Session] = Holdings("ada", Amounts())
    sessions = [Session(name) for name in range(6)]
    expected: list[int] = []
    for deed, name in deeds:
        if deed == "add" and name not in expected:
            holdings.add(sessions[name])
            expected.append(name)
        elif deed == "remove" and name in expected:
            holdings.remove(sessions[name])
            expected.remove(name)
        elif deed == "move" and name in expected:
            holdings.move_to_end(sessions[name])
            expected.remove(name)
            expected.append(name)
        assert names(holdings) == expected
        assert holdings.sessions == holdings.in_all.sessions == len(expected)
    assert all(sessions[name].holdings is holdings for name in expected)


def test_what_users_have_adds_up_to_what_there_is_in_all() -> None:
    in_all = Amounts()
    ada: Holdings[Session] = Holdings("ada", in_all)
    bob: Holdings[Session] = Holdings("bob", in_all)
    ada.add(Session(1))
    bob.add(Session(2))
    for holdings, number in ((ada, 3), (bob, 4), (ada, -1)):
        holdings.count_turns(number)
        holdings.count_streams(10 * number)
        holdings.keep(100 * number)
    assert (ada.turns, ada.streams, ada.kept) == (2, 20, 200)
    assert (in_all.sessions, in_all.turns, in_all.streams, in_all.kept) == (2, 6, 60, 600)


def test_a_user_has_nothing_only_when_nothing_is_left() -> None:
    holdings: Holdings[Session] = Holdings("ada", Amounts())
    assert holdings.nothing
    session = Session(1)
    for take, give_back in (
        (lambda: holdings.add(session), lambda: holdings.remove(session)),
        (lambda: holdings.count_turns(1), lambda: holdings.count_turns(-1)),
        (lambda: holdings.count_streams(1), lambda: holdings.count_streams(-1)),
        (lambda: holdings.keep(1), lambda: holdings.keep(-1)),
    ):
        take()
        assert not holdings.nothing
        give_back()
        assert holdings.nothing
