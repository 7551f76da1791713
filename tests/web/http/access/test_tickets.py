import pytest

from turnkeeper.actors.model.records import Asker
from turnkeeper.web.http.access.tickets import Tickets
from turnkeeper.web.http.problems import Problem

ADA = Asker("ada")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issued(clock: Clock) -> Tickets:
    return Tickets(60.0, clock)


def is_refused(issued: Tickets, name: str, session: str = "s") -> bool:
    try:
        with issued.use(name, session):
            return False
    except Problem as problem:
        refusal = problem
    assert (refusal.status, refusal.code) == (401, "UNAUTHORIZED")
    assert refusal.headers["WWW-Authenticate"].startswith("Bearer")
    assert not name or name not in refusal.detail
    return True


def test_a_ticket_says_who_holds_it(issued: Tickets) -> None:
    name = issued.issue(ADA, frozenset({"s", "t"}))

    with issued.use(name, "s") as asker:
        assert asker is ADA
    with issued.use(name, "t") as asker:
        assert asker is ADA


def test_a_ticket_is_for_the_sessions_it_names_and_no_others(issued: Tickets) -> None:
    assert is_refused(issued, issued.issue(ADA, frozenset({"s"})), "other")


@pytest.mark.parametrize("name", ["", "made-up", "é", "x" * 5000])
def test_a_ticket_that_was_never_issued_is_refused(issued: Tickets, name: str) -> None:
    issued.issue(ADA, frozenset({"s"}))

    assert is_refused(issued, name)


def test_no_two_tickets_are_the_same_and_none_can_be_guessed(issued: Tickets) -> None:
    names = {issued.issue(ADA, frozenset({"s"})) for _ in range(100)}

    assert len(names) == 100
    assert all(len(name) >= 32 for name in names)


def test_an_unused_ticket_lives_for_its_time(issued: Tickets, clock: Clock) -> None:
    name = issued.issue(ADA, frozenset({"s"}))

    clock.now += 59.9
    assert not is_refused(issued, name)
    clock.now += 60.0
    assert is_refused(issued, name)
    assert len(issued) == 0


def test_a_ticket_lives_while_its_stream_is_open_and_its_time_after_that(
    issued: Tickets, clock: Clock
) -> None:
    name = issued.issue(ADA, frozenset({"s"}))

    with issued.use(name, "s"):
        clock.now += 3600.0
        with issued.use(name, "s"):
            clock.now += 3600.0
        assert not is_refused(issued, name)
        clock.now += 3600.0
    clock.now += 59.0
    assert not is_refused(issued, name), "a reconnect uses it again"
    clock.now += 59.0
    assert not is_refused(issued, name), "and each one prolongs it"
    clock.now += 60.0
    assert is_refused(issued, name)


def test_a_stream_that_breaks_gives_its_ticket_back(issued: Tickets, clock: Clock) -> None:
    name = issued.issue(ADA, frozenset({"s"}))

    with pytest.raises(ConnectionError), issued.use(name, "s"):
        raise ConnectionError
    clock.now += 60.0

    assert is_refused(issued, name)


def test_a_user_has_boundedly_many_tickets_until_they_expire_and_takes_none_from_others(
    clock: Clock,
) -> None:
    issued = Tickets(60.0, clock, per_user=3)
    for _ in range(3):
        issued.issue(ADA, frozenset({"s"}))

    with pytest.raises(Problem) as refused:
        issued.issue(ADA, frozenset({"s"}))
    assert (refused.value.status, refused.value.code) == (429, "TOO_MANY_TICKETS")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
    issued.issue(Asker("bob"), frozenset({"s"}))
    assert len(issued) == 4
    clock.now += 60.0
    issued.issue(ADA, frozenset({"s"}))

    assert len(issued) == 1


def test_a_ticket_whose_stream_is_open_counts_and_does_not_outlive_it(clock: Clock) -> None:
    issued = Tickets(60.0, clock, per_user=1)
    name = issued.issue(ADA, frozenset({"s"}))
    with issued.use(name, "s"), issued.use(name, "s"):
        clock.now += 1_000.0
        with pytest.raises(Problem):
            issued.issue(ADA, frozenset({"s"}))
    clock.now += 59.0
    with issued.use(name, "s"):
        clock.now += 59.0
    clock.now += 60.0

    issued.issue(ADA, frozenset({"s"}))
    assert len(issued) == 1
