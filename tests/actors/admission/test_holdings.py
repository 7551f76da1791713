"""What one user has: counts that add up, and sessions in order."""

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Held, Holdings, Totals


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
    holdings: Holdings[Session] = Holdings("ada", Totals())
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
    in_all = Totals()
    ada: Holdings[Session] = Holdings("ada", in_all)
    bob: Holdings[Session] = Holdings("bob", in_all)
    ada.add(Session(1))
    bob.add(Session(2))
    for holdings, number in ((ada, 3), (bob, 4), (ada, -1)):
        holdings.count_turns(number)
        holdings.count_slots(2 * number)
        holdings.count_waiting(3 * number)
        holdings.count_later(4 * number)
        holdings.count_streams(10 * number)
        holdings.keep(100 * number)
    assert (ada.turns, ada.slots, ada.waiting, ada.later, ada.streams, ada.kept) == (2, 4, 6, 8, 20, 200)
    assert ada.in_flight == 6
    assert (in_all.sessions, in_all.turns, in_all.slots, in_all.waiting, in_all.later) == (2, 6, 12, 18, 24)
    assert (in_all.streams, in_all.kept) == (60, 600)
    assert in_all.in_flight == 18


@given(st.lists(st.tuples(st.sampled_from(["turns", "slots", "waiting"]), st.booleans(), st.booleans())))
def test_users_are_active_who_have_turns_or_slots_or_wait(deeds: list[tuple[str, bool, bool]]) -> None:
    in_all = Totals()
    users: list[Holdings[Session]] = [Holdings("ada", in_all), Holdings("bob", in_all)]
    for what, more, of_ada in deeds:
        holdings = users[0 if of_ada else 1]
        if more or getattr(holdings, what):
            getattr(holdings, f"count_{what}")(1 if more else -1)
        assert in_all.active == sum(any((each.turns, each.slots, each.waiting)) for each in users)


def test_who_waits_is_looked_at_again_when_the_number_of_turns_has_changed() -> None:
    in_all = Totals()
    ada: Holdings[Session] = Holdings("ada", in_all)
    ada.count_turns(1)
    assert list(in_all.moved) == []
    ada.count_waiting(1)
    in_all.moved.clear()
    for count in (ada.count_turns, ada.count_slots):
        for number in (1, -1):
            count(number)
            assert list(in_all.moved) == [ada]
            in_all.moved.clear()


def test_a_user_has_nothing_only_when_nothing_is_left() -> None:
    holdings: Holdings[Session] = Holdings("ada", Totals())
    assert holdings.nothing
    session = Session(1)
    for take, give_back in (
        (lambda: holdings.add(session), lambda: holdings.remove(session)),
        (lambda: holdings.count_turns(1), lambda: holdings.count_turns(-1)),
        (lambda: holdings.count_slots(1), lambda: holdings.count_slots(-1)),
        (lambda: holdings.count_waiting(1), lambda: holdings.count_waiting(-1)),
        (lambda: holdings.count_streams(1), lambda: holdings.count_streams(-1)),
        (lambda: holdings.keep(1), lambda: holdings.keep(-1)),
    ):
        take()
        assert not holdings.nothing
        give_back()
        assert holdings.nothing
