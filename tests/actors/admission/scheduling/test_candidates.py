"""The queues that may be served next, the best first."""

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Held, Holdings, Totals
from turnkeeper.actors.admission.scheduling.candidates import Candidates
from turnkeeper.actors.admission.scheduling.queue import Queue, Waiting
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority

AGENTS = ("coder", "echo")


def queue(number: int, agent: str, *, user: Holdings[Held] | None = None) -> Queue:
    """A queue of a user of its own, with one turn of the highest lane."""
    holdings = user or Holdings(f"user {number}", Totals())
    made = Queue(Claim(holdings.user, agent, Priority.INTERACTIVE), holdings)
    made.append(Waiting(Ticket(SessionId("s"), number), made, number, 0.0, 0))
    return made


def test_who_has_less_than_a_share_comes_first_then_the_lane_then_who_was_served_the_longest_ago() -> None:
    candidates = Candidates()
    queues = {name: queue(number, "coder") for number, name in enumerate("abcd")}
    for name, in_flight, level, served in (("a", 3, 0, 1), ("b", 2, 1, 1), ("c", 1, 0, 5), ("d", 0, 0, 6)):
        one = queues[name]
        one.holdings.count_turns(in_flight)
        one.holdings.served = served
        one.first.level = level
        candidates.put(one)
    order = ""
    while (best := candidates.best(["coder"], 12, 4)) is not None:
        order += next(name for name, each in queues.items() if each is best)
        candidates.discard(best)
    assert order == "cdba"


def test_of_one_user_the_turn_that_asked_first_comes_first() -> None:
    user: Holdings[Held] = Holdings("ada", Totals())
    later, earlier = queue(2, "coder", user=user), queue(1, "echo", user=user)
    candidates = Candidates()
    candidates.put(later)
    candidates.put(earlier)
    assert candidates.best(AGENTS, 1, 1) is earlier
    assert candidates.best(["coder"], 1, 1) is later


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "discard"]),
            st.integers(0, 7),
            st.integers(0, 3),
            st.integers(0, 2),
            st.integers(0, 5),
        ),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_the_best_is_the_least_of_all_whatever_has_changed(
    deeds: list[tuple[str, int, int, int, int]], slots: int
) -> None:
    """As in a list."""
    candidates, expected = Candidates(), dict[int, Queue]()
    queues = [queue(number, AGENTS[number % 2]) for number in range(8)]

    def key(one: Queue) -> tuple[bool, int, int, int]:
        over = one.holdings.in_flight * 2 >= slots
        return over, one.first.level, one.holdings.served, one.first.order

    for deed, number, in_flight, level, served in deeds:
        one = queues[number]
        if deed == "put":
            one.holdings.count_turns(in_flight - one.holdings.turns)
            one.holdings.served = served
            one.first.level = level
            candidates.put(one)
            expected[number] = one
        else:
            candidates.discard(one)
            expected.pop(number, None)
        assert set(candidates.agents) == {each.claim.agent for each in expected.values()}
        for agents in (AGENTS, *([agent] for agent in AGENTS)):
            of_agents = [each for each in expected.values() if each.claim.agent in agents]
            assert candidates.best(agents, slots, 2) is min(of_agents, key=key, default=None)


def test_entries_that_were_left_behind_are_not_kept_for_long() -> None:
    """G8: one waits on as the first, while another one's turns come and go ten thousand times."""
    candidates = Candidates()
    first, other = queue(1, "coder"), queue(2, "coder")
    candidates.put(first)
    for served in range(1, 10_000):
        other.holdings.served = served
        candidates.put(other)
    assert candidates.best(AGENTS, 1, 1) is first
    assert len(first.bucket) <= 64
