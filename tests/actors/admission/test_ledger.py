"""Who has how much, and whether there is room for more."""

from collections.abc import Callable

import pytest

from turnkeeper.actors.admission.bounds import Bounds
from turnkeeper.actors.admission.caps import Caps
from turnkeeper.actors.admission.holdings import Held, Holdings
from turnkeeper.actors.admission.ledger import Ledger
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.session.settings import Settings

SMALL = Settings(
    max_sessions=2,
    max_sessions_in_all=3,
    max_in_flight=2,
    max_in_flight_in_all=3,
    max_streams=2,
    max_streams_in_all=3,
    max_kept=2,
    max_kept_in_all=3,
)
#: How something is taken, and how it is refused.
KINDS: dict[str, tuple[Callable[[Holdings[Held]], None], str]] = {
    "TOO_MANY_SESSIONS": (lambda holdings: holdings.add(Held()), "no_session"),
    "TOO_MANY_TURNS": (lambda holdings: holdings.count_turns(1), "no_turn"),
    "TOO_MANY_STREAMS": (lambda holdings: holdings.count_streams(1), "no_stream"),
    "TOO_MUCH_KEPT": (lambda holdings: holdings.keep(1), "no_byte"),
}


@pytest.fixture
def ledger() -> Ledger[Held]:
    return Ledger(Bounds.of(SMALL), Caps.of(SMALL))


@pytest.mark.parametrize("code", KINDS)
def test_a_user_at_the_bound_is_refused_and_another_one_is_not(ledger: Ledger[Held], code: str) -> None:
    """G8, G14."""
    take, question = KINDS[code]

    def refusal(user: str, *, bounded: bool = True) -> str | None:
        more = {"most": 2} if question == "no_turn" else {}
        error: SessionError | None = getattr(ledger, question)(user, bounded=bounded, **more)
        return None if error is None else error.code

    assert refusal("ada") is None
    for _ in range(2):
        take(ledger.of("ada"))
    assert refusal("ada") == code
    assert refusal("ada", bounded=False) is None
    assert refusal("bob") is None
    take(ledger.of("bob"))
    assert refusal("bob") == refusal("cat") == refusal("ada", bounded=False) == code


@pytest.mark.parametrize("what", ["turns", "slots", "kept"])
@pytest.mark.parametrize("bounded", [True, False])
def test_what_every_send_asks_says_the_same_as_the_two_questions(
    ledger: Ledger[Held], what: str, bounded: bool
) -> None:
    for number in range(4):
        for user in ("ada", "bob"):
            for most in (1, 2):
                no_turn = ledger.no_turn(user, bounded=bounded, most=most)
                refusals = no_turn, ledger.no_byte(user, bounded=bounded)
                assert ledger.is_roomy(user, bounded, most) == (refusals == (None, None))
        holdings = ledger.of("ada" if number < 2 else "bob")
        match what:
            case "turns":
                holdings.count_turns(1)
            case "slots":
                holdings.count_slots(1)
            case _:
                holdings.keep(1)


def test_where_very_much_may_be_kept_the_two_questions_decide() -> None:
    settings = Settings(max_kept_in_all=2**31)
    ledger = Ledger[Held](Bounds.of(settings), Caps.of(settings))
    ledger.keep("ada", 2**30)
    assert not ledger.is_roomy("bob", bounded=True, most=2)
    assert ledger.no_byte("bob", bounded=True) is None


def test_turns_and_slots_count_together_and_those_that_wait_do_not(ledger: Ledger[Held]) -> None:
    """G8."""
    holdings = ledger.of("ada")
    holdings.count_turns(1)
    holdings.count_waiting(9)
    assert ledger.no_turn("ada", bounded=True, most=2) is None
    holdings.count_slots(1)
    assert ledger.no_turn("ada", bounded=True, most=2) is not None
    ledger.of("bob").count_slots(1)
    assert str(ledger.no_turn("bob", bounded=True, most=2)) == "there are at most 3 turns in flight in all"


def test_the_cap_in_all_may_change_at_any_time() -> None:
    caps = Caps.of(SMALL)
    ledger = Ledger[Held](Bounds.of(SMALL), caps)
    ledger.of("ada").count_turns(2)

    def has_room() -> bool:
        roomy = ledger.is_roomy("bob", bounded=True, most=2)
        assert (ledger.no_turn("bob", bounded=True, most=2) is None) is roomy
        return roomy

    assert has_room()
    caps.in_all = 2
    assert not has_room()
    caps.in_all = 4
    assert has_room()


def test_an_agent_may_have_exactly_as_many_turns_as_its_cap_says(ledger: Ledger[Held]) -> None:
    """G8."""
    refused = list[bool]()
    for _ in range(3):
        refused.append(ledger.no_turn_of("coder", 2) is not None)
        ledger.count_turn("coder", 1)
    assert refused == [False, False, True]
    assert ledger.no_turn_of("coder", None) is None
    assert ledger.no_turn_of("other", 1) is None
    full = ledger.no_turn_of("coder", 3)
    assert full is not None
    assert (full.code, str(full)) == (
        "TOO_MANY_OF_AGENT",
        "there are at most 3 turns of the agent 'coder' in flight",
    )
    ledger.count_turn("coder", -1)
    assert ledger.no_turn_of("coder", 3) is None


def test_nothing_is_kept_of_a_user_who_has_nothing(ledger: Ledger[Held]) -> None:
    """G8: a million users who came once."""
    holdings, session = ledger.of("ada"), Held()
    holdings.add(session)
    assert ledger.of("ada") is holdings
    assert ledger.sessions("ada") == [session]
    ledger.tidy(holdings)
    assert len(ledger) == 1
    holdings.remove(session)
    ledger.tidy(holdings)
    assert len(ledger) == 0
    assert ledger.sessions("ada") == []
    assert ledger.no_session("ada", bounded=True) is None
    assert len(ledger) == 0, "a question keeps nothing"


def test_a_stream_for_which_room_is_kept_counts_and_leaves_nothing(ledger: Ledger[Held]) -> None:
    """G8."""
    with ledger.room_for_stream("ada"), ledger.room_for_stream("ada"):
        assert ledger.no_stream("ada", bounded=True) is not None
        with ledger.room_for_stream("bob"):
            assert ledger.no_stream("cat", bounded=False) is not None
    assert ledger.no_stream("ada", bounded=True) is None
    assert len(ledger) == 0
