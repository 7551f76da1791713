"""Who goes first."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeeper.actors.admission import scheduler as room
from turnkeeper.actors.model.slots import Claim, Standing, Ticket
from turnkeeper.actors.model.words import Priority, WaitsFor

from .many import AGENTS, MANY, PASS, STEP, crowded, instructions
from .world import SESSION, World

INTERACTIVE, NORMAL, BACKGROUND = Priority
USERS = ("ada", "bob", "cat")
CLAIMS = st.builds(Claim, st.sampled_from(USERS), st.sampled_from(AGENTS), st.sampled_from(Priority))
DEEDS = st.one_of(
    st.tuples(st.just("send"), CLAIMS),
    st.tuples(st.just("ask"), CLAIMS),
    st.tuples(st.just("leave"), st.integers(0, 30)),
    st.tuples(st.just("turn"), st.sampled_from(USERS), st.sampled_from(AGENTS), st.sampled_from([1, -1])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0])),
    st.tuples(st.just("slots"), st.integers(1, 4)),
    st.tuples(st.just("agent"), st.sampled_from(AGENTS), st.integers(1, 3)),
    st.tuples(st.just("user"), st.sampled_from(USERS), st.integers(1, 3)),
    st.just(("grant",)),
    st.just(("grant",)),
)
CAPS = st.fixed_dictionaries(
    {
        "slots": st.integers(1, 4),
        "users": st.dictionaries(
            st.sampled_from([*USERS, ("ada", "coder"), ("bob", "echo")]), st.integers(1, 3)
        ),
        "agents": st.dictionaries(st.sampled_from(AGENTS), st.integers(1, 3)),
    }
)


def lived(world: World, deeds: list[tuple[Any, ...]], *, in_order: bool = True) -> None:
    """Do all that, in a world that watches."""
    for what, *details in deeds:
        match what:
            case "send":
                world.send(details[0])
            case "ask":
                world.ask(details[0])
            case "leave" if world.number:
                world.leave(world.nth(details[0]))
            case "turn":
                world.turn(*details)
            case "wait":
                world.wait(details[0])
            case "slots":
                world.cap(slots=details[0])
            case "agent":
                world.cap(agents={details[0]: details[1]})
            case "user":
                world.cap(users={details[0]: details[1]})
            case "grant":
                world.grant(in_order=in_order)


# -- In so many words -------------------------------------------------------------------------------------


def claim(user: str, lane: Priority = NORMAL, agent: str = "coder") -> Claim:
    return Claim(user, agent, lane)


def test_a_turn_starts_at_once_while_there_is_a_slot_and_waits_when_there_is_none() -> None:
    world = World(1)
    first, second = world.send(claim("ada")), world.send(claim("ada"))
    assert world.scheduler.standing(first) is None
    assert world.scheduler.standing(second) == Standing(WaitsFor.SERVER_CAP, 1, 1)
    assert world.grant() == []
    world.leave(first)
    assert world.grant() == [second]


def test_a_turn_says_which_cap_it_waits_for_and_its_place_among_its_users_in_its_lane() -> None:
    world = World(3, users={"ada": 2}, agents={"echo": 1})
    world.send(claim("ada"))
    world.send(claim("ada"))
    at_user_cap = [world.send(claim("ada")), world.send(claim("ada", INTERACTIVE)), world.send(claim("ada"))]
    world.send(claim("bob", agent="echo"))
    full = world.send(claim("bob"))
    of_agent = world.send(claim("bob", agent="echo"))
    standings = [world.scheduler.standing(ticket) for ticket in (*at_user_cap, full, of_agent)]
    assert standings == [
        Standing(WaitsFor.USER_CAP, 1, 5),
        Standing(WaitsFor.USER_CAP, 1, 5),
        Standing(WaitsFor.USER_CAP, 2, 5),
        Standing(WaitsFor.SERVER_CAP, 1, 5),
        Standing(WaitsFor.AGENT_CAP, 2, 5),
    ]
    assert world.scheduler.numbers() == {
        (NORMAL, WaitsFor.USER_CAP): 2,
        (INTERACTIVE, WaitsFor.USER_CAP): 1,
        (NORMAL, WaitsFor.SERVER_CAP): 1,
        (NORMAL, WaitsFor.AGENT_CAP): 1,
    }


def test_one_who_has_less_than_a_share_goes_before_one_in_a_higher_lane() -> None:
    """G14."""
    world = World(2)
    flood = [world.send(claim("ada", INTERACTIVE)) for _ in range(5)]
    modest = world.send(claim("bob", BACKGROUND))
    world.leave(flood[0])
    assert world.grant() == [modest]
    world.leave(modest)
    assert world.grant() == [flood[2]]


def test_of_those_who_have_less_than_a_share_the_higher_lane_goes_first() -> None:
    world = World(1)
    first = world.send(claim("ada"))
    tickets = {lane: world.send(claim(lane, lane)) for lane in reversed(Priority)}
    started = list[Any]()
    for _ in Priority:
        world.leave(first)
        [first] = world.grant()
        started.append(first)
    assert started == [tickets[lane] for lane in Priority]


def test_users_of_one_lane_take_turns_however_many_of_theirs_wait() -> None:
    """G14."""
    world = World(1)
    running = world.send(claim("cat"))
    users = {world.send(claim(user)): user for user in ("ada", "ada", "ada", "bob", "bob")}
    order = ""
    while world.scheduler.waiting:
        world.leave(running)
        [running] = world.grant()
        order += users[running][0]
    assert order == "ababa"


def test_a_turn_that_waits_long_enough_is_as_urgent_as_any() -> None:
    world = World(1, aging=30.0)
    running = world.send(claim("ada"))
    background = world.send(claim("bob", BACKGROUND))
    for lane, expected in ((NORMAL, False), (INTERACTIVE, False), (INTERACTIVE, True)):
        world.send(claim("cat", lane))
        world.leave(running)
        [running] = world.grant()
        assert (running == background) is expected
        world.wait(30.0)


def test_one_that_is_blocked_blocks_no_other() -> None:
    world = World(3, users={"ada": 1}, agents={"echo": 1})
    world.send(claim("ada"))
    world.send(claim("bob", agent="echo"))
    by_user, by_agent = world.send(claim("ada", INTERACTIVE)), world.send(claim("cat", INTERACTIVE, "echo"))
    assert world.grant() == []
    other = world.send(claim("cat", BACKGROUND))
    assert world.scheduler.standing(other) is None
    assert None not in (world.scheduler.standing(by_user), world.scheduler.standing(by_agent))


def test_a_turn_that_never_asked_makes_room_when_it_ends() -> None:
    world = World(2, users={"ada": 1})
    world.turn("ada", "coder", 1)
    waits = world.send(claim("ada"))
    assert world.grant() == []
    world.turn("ada", "coder", -1)
    assert world.grant() == [waits]


def test_a_lower_cap_stops_none_and_lets_fewer_start_and_a_higher_one_lets_more() -> None:
    world = World(2)
    running = [world.send(claim("ada")), world.send(claim("bob"))]
    for user in ("ada", "bob", "cat"):
        world.send(claim(user))
    world.cap(slots=1)
    assert world.grant() == []
    assert world.ledger.in_all.slots == 2
    world.leave(running.pop())
    assert world.grant() == []
    world.cap(slots=3)
    assert len(world.grant()) == 2
    assert world.scheduler.waiting == 1


def test_a_ticket_can_be_left_at_any_time_and_as_often_as_one_likes() -> None:
    world = World(1)
    running, waiting, last = (world.send(claim("ada")) for _ in range(3))
    for ticket in (waiting, waiting, running, running, Ticket(SESSION, 99)):
        world.leave(ticket)
    assert world.grant() == [last]
    world.leave(running)
    assert world.ledger.in_all.slots == 1
    world.leave(last)
    assert (len(world.ledger), world.ledger.in_all.in_flight) == (0, 0)


def test_as_many_may_wait_as_the_bounds_say_and_one_that_has_waited_before_is_never_refused() -> None:
    """G8."""
    world = World(1)
    world.caps.max_waiting, world.caps.max_waiting_in_all = 2, 3
    scheduler = world.scheduler

    def refusals() -> list[str | None]:
        """Of ada, bounded and not, and of bob."""
        asked = (("ada", True), ("ada", False), ("bob", True), ("bob", False))
        refused = [scheduler.no_place(user, bounded=bounded) for user, bounded in asked]
        return [None if each is None else str(each) for each in refused]

    for _ in range(3):
        assert refusals() == [None] * 4
        world.send(claim("ada"))
    own, in_all = "a user has at most 2 turns that wait", "there are at most 3 turns that wait in all"
    assert refusals() == [own, None, None, None]
    world.send(claim("bob"))
    assert refusals() == [own, in_all, in_all, in_all]
    again = world.ask(claim("ada"))
    assert scheduler.standing(again) == Standing(WaitsFor.SERVER_CAP, 3, 4)


def test_what_is_left_over_for_the_next_pass_is_not_forgotten_when_its_user_is_served_in_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G9."""
    world = World(4, users={("ada", "coder"): 2}, agents={"other": 1})
    world.send(claim("cat", agent="other"))
    for user in ("ada", "ada", "bob"):
        world.turn(user, "echo", 1)
    of_ada = [world.send(claim("ada", agent=agent)) for agent in ("coder", "echo")]
    world.send(claim("bob", agent="other"))
    assert world.grant() == []
    monkeypatch.setattr(room, "PASS", 1)
    for user in ("bob", "ada", "ada"):
        world.turn(user, "echo", -1)
    assert set(world.grant(in_order=False)) == set(of_ada)


# -- Whatever happens -------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(CAPS, st.lists(DEEDS, max_size=40))
def test_whatever_happens_the_right_ones_start_in_the_right_order(
    caps: dict[str, Any], deeds: list[tuple[Any, ...]]
) -> None:
    """G8, G14: as the naive scheduler says; see `World` for what is looked at."""
    lived(World(**caps), deeds)


@settings(max_examples=100)
@given(CAPS, st.lists(DEEDS, max_size=40))
def test_in_passes_of_one_as_many_start_as_may_and_none_is_lost(
    caps: dict[str, Any], deeds: list[tuple[Any, ...]]
) -> None:
    """G9: what is left over for the next pass may only change the order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "PASS", 1)
        patch.setattr(room, "RISES", 1)
        lived(World(**caps), deeds, in_order=False)


# -- Very many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("users", [1, 10_000])
def test_with_very_many_that_wait_no_step_takes_long_and_no_pass_does(users: int) -> None:
    """G9: counted, not measured."""
    scheduler, caps, running = crowded(users)
    granted, most = set(running), dict[str, int]()
    waiting = [
        ticket for number in range(0, MANY, 1_009) if (ticket := Ticket(SESSION, number)) not in granted
    ]

    def step(what: str, deed: Callable[[], object]) -> None:
        most[what] = max(most.get(what, 0), instructions(deed))

    for number, ticket in enumerate(waiting):
        step("position", lambda ticket=ticket: scheduler.standing(ticket))
        step("withdrawal", lambda ticket=ticket: scheduler.leave(ticket))
        step("end", lambda: scheduler.leave(running.pop(0)))
        step("grant", lambda: running.extend(scheduler.grant(1.0)))
        again = Ticket(SESSION, MANY + number)
        step("ask", lambda again=again: scheduler.ask(again, Claim("ada", "coder", NORMAL), 1.0))
    assert len(running) == 20
    assert max(most.values()) < STEP, most
    caps.in_all = 10_000
    assert instructions(scheduler.changed) < STEP
    passes = list[int]()
    while not passes or not scheduler.settled:
        # All have waited so long that they rise.
        passes.append(instructions(lambda: running.extend(scheduler.grant(5_000.0))))
    assert max(passes) < PASS, passes
    print(f"\n{users:,} users: {most}; {len(passes)} passes, {max(passes):,} at most")
