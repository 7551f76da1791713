"""Turns that wait rise by a lane from time to time."""

from hypothesis import given
from hypothesis import strategies as st

from turnkeeper.actors.admission.holdings import Held, Holdings, Totals
from turnkeeper.actors.admission.scheduling.aging import RANKS, Aging
from turnkeeper.actors.admission.scheduling.queue import Queue, Waiting
from turnkeeper.actors.model.records import SessionId
from turnkeeper.actors.model.slots import Claim, Ticket
from turnkeeper.actors.model.words import Priority

LANES = st.sampled_from(Priority)


def waiting(lane: Priority, asked_at: float, number: int = 1) -> Waiting:
    holdings: Holdings[Held] = Holdings("ada", Totals())
    queue = Queue(Claim("ada", "coder", lane), holdings)
    return Waiting(Ticket(SessionId("s"), number), queue, number, asked_at, RANKS[lane])


def test_the_lanes_are_in_the_order_in_which_they_are_defined() -> None:
    assert [*RANKS.items()] == [(Priority.INTERACTIVE, 0), (Priority.NORMAL, 1), (Priority.BACKGROUND, 2)]


def test_a_turn_rises_by_one_lane_for_each_span_that_it_has_waited_and_not_beyond_the_first() -> None:
    aging, background = Aging(), waiting(Priority.BACKGROUND, 100.0)
    aging.add(background)
    levels = list[tuple[float, int, float | None]]()
    for now in (129.9, 130.0, 159.9, 160.0, 500.0):
        risen = list(aging.rise(now, 30.0))
        assert all(each is background for each in risen)
        levels.append((now, background.level, aging.next(30.0)))
    assert levels == [
        (129.9, 2, 130.0),
        (130.0, 1, 160.0),
        (159.9, 1, 160.0),
        (160.0, 0, None),
        (500.0, 0, None),
    ]


def test_a_turn_that_was_not_looked_at_for_long_rises_twice_at_once() -> None:
    aging, background = Aging(), waiting(Priority.BACKGROUND, 0.0)
    aging.add(background)
    assert list(aging.rise(60.0, 30.0)) == [background, background]
    assert background.level == 0


def test_what_is_broken_off_goes_on_with_the_next_look() -> None:
    """G9: very many may be due at once."""
    aging, turns = Aging(), [waiting(Priority.NORMAL, 0.0, number) for number in range(5)]
    for each in turns:
        aging.add(each)
    rising = aging.rise(30.0, 30.0)
    assert [next(rising), next(rising)] == turns[:2]
    assert aging.next(30.0) == 30.0
    assert list(aging.rise(30.0, 30.0)) == turns[2:]


@given(
    st.lists(st.tuples(LANES, st.floats(0.0, 5.0), st.booleans()), max_size=20),
    st.floats(0.0, 100.0),
    st.floats(0.1, 40.0),
)
def test_all_rise_that_are_due_whichever_have_left(
    asked: list[tuple[Priority, float, bool]], later: float, span: float
) -> None:
    aging, now, turns = Aging(), 0.0, list[tuple[Waiting, bool]]()
    for number, (lane, pause, leaves) in enumerate(asked):
        now += pause
        turn = waiting(lane, now, number)
        aging.add(turn)
        turns.append((turn, leaves))
    for turn, leaves in turns:
        if leaves:
            aging.remove(turn)
    now += later
    list(aging.rise(now, span))
    for turn, leaves in turns:
        rank = RANKS[turn.queue.claim.lane]
        due = sum(now >= turn.asked_at + step * span for step in range(1, rank + 1))
        assert turn.level == (rank if leaves else rank - due)
    moments = [
        turn.asked_at + (RANKS[turn.queue.claim.lane] - turn.level + 1) * span
        for turn, leaves in turns
        if turn.level and not leaves
    ]
    assert aging.next(span) == min(moments, default=None)
