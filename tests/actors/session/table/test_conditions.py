"""Conditions join and turn round, in words as in what they test."""

from itertools import combinations

import pytest

from tests.turns import cancelling, memory, record, running, spec
from turnkeeper.actors.model.messages import Stop, Submit, Tick, TurnEnded
from turnkeeper.actors.model.records import Reason, Returned, TurnId
from turnkeeper.actors.model.words import CancelCode, Strategy, TurnStatus
from turnkeeper.actors.session.line import Waiting
from turnkeeper.actors.session.states import (
    Again,
    Ask,
    Asked,
    EarlyCancel,
    Ending,
    Idle,
    Running,
)
from turnkeeper.actors.session.table import conditions
from turnkeeper.actors.session.table.conditions import (
    ALWAYS,
    AT_DEADLINE,
    AT_END,
    AT_FINISHED,
    AT_HALF,
    AT_HOLDER_OR_ALL,
    AT_UNKNOWN,
    AT_WAITING,
    BEFORE_DEADLINE,
    BEFORE_RUNG,
    CANCELLED_EARLY,
    CROWDED,
    MISSES,
    NEW,
    NO_DEADLINE,
    OF_GIVEN_UP,
    OF_HOLDER,
    OF_NOTHING,
    PRESSED,
    REPEATED,
    REUSED,
    STOP_MISSES,
    TAKEN,
    UNAIMED,
    WAITS,
    When,
)
from turnkeeper.actors.session.table.rows import ROWS

USER, POLICY = Reason(CancelCode.USER_REQUEST), Reason(CancelCode.POLICY)
FLED = record("fled", 2, TurnStatus.UNRESPONSIVE)
MEMORY = memory(
    last_epoch=3,
    records=(record("old", 1, fingerprint=b"1"),),
    early=(EarlyCancel(TurnId("early"), USER, 0.0),),
    quarantined=(FLED,),
)
IDLE = Idle(MEMORY)
RUNNING = running(spec(), deadline=9.0, memory=MEMORY)
CANCELLING = cancelling(RUNNING, USER, phase=Asked(5.0, 7.0), front=Waiting(spec("next")))
CROWD = Idle(memory(quarantined=(FLED,) * MEMORY.home.limits.quarantined))


def test_a_condition_says_its_opposite_and_both_ways_back() -> None:
    held = [WAITS.holds(IDLE, stop("t"), 0.0), (~WAITS).holds(IDLE, stop("t"), 0.0)]
    assert held == [True, False]
    assert ((~WAITS).text, (~~WAITS).text) == ("the asker does not wait", "the asker waits")


def test_two_conditions_hold_together() -> None:
    both = AT_HOLDER_OR_ALL & WAITS
    assert both.text == "it names the turn in flight or none, the asker waits"
    assert both.holds(RUNNING, stop("t"), 0.0)
    assert not both.holds(RUNNING, stop("old"), 0.0)
    assert not (AT_HOLDER_OR_ALL & ~WAITS).holds(RUNNING, stop("t"), 0.0)


def test_always_says_nothing_and_holds() -> None:
    assert ALWAYS.holds(IDLE, Tick(), 0.0)
    assert (ALWAYS & WAITS).text == WAITS.text
    assert (repr(ALWAYS), repr(WAITS)) == ("<When always>", "<When the asker waits>")


def test_every_condition_that_is_turned_round_has_words_for_it() -> None:
    for row in ROWS:
        assert "" not in row.when.text.split(", ") or row.when is ALWAYS, row


# -- Each distinguishes what it is there to distinguish ---------------------------------------------


def stop(turn_id: str | None, if_match: str | None = None) -> Stop:
    return Stop(None if turn_id is None else TurnId(turn_id), USER, if_match=if_match)


def send(turn_id: str, fingerprint: bytes | None = None, if_match: str | None = None) -> Submit:
    return Submit(spec(turn_id, fingerprint=fingerprint), Strategy.INTERRUPT, if_match=if_match)


def only(state: Idle | Running | Ending, message: object, now: float, among: list[When]) -> When:
    """The one of these conditions that holds."""
    (found,) = [condition for condition in among if condition.holds(state, message, now)]
    return found


GATE = [REPEATED, REUSED, MISSES, CROWDED, CANCELLED_EARLY, TAKEN]


@pytest.mark.parametrize(
    ("state", "message", "now", "condition"),
    [
        (IDLE, send("old", b"1"), 1.0, REPEATED),
        (IDLE, send("old", b"1", "x"), 1.0, REPEATED),
        (IDLE, send("old", b"2"), 1.0, REUSED),
        (IDLE, send("new", b"1", "x"), 1.0, MISSES),
        (IDLE, send("new", None, "fled"), 1.0, TAKEN),
        (IDLE, send("new"), 1.0, TAKEN),
        (CROWD, send("new"), 1.0, CROWDED),
        (IDLE, send("early"), 29.9, CANCELLED_EARLY),
        (IDLE, send("early"), 30.0, TAKEN),
    ],
)
def test_a_send_is_one_of_six(state: Idle, message: Submit, now: float, condition: When) -> None:
    assert only(state, message, now, GATE) is condition
    assert NEW.holds(state, message, now) == (condition not in (REPEATED, REUSED, MISSES))


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (stop(None), AT_HOLDER_OR_ALL),
        (stop("t"), AT_HOLDER_OR_ALL),
        (stop("next"), AT_WAITING),
        (stop("old"), AT_FINISHED),
        (stop("fled"), AT_FINISHED),
        (stop("unknown"), AT_UNKNOWN),
        (stop("t", "x"), STOP_MISSES),
        (stop(None, "x"), STOP_MISSES),
        (stop(None, "t"), AT_HOLDER_OR_ALL),
    ],
)
def test_a_stop_is_one_of_five(message: Stop, condition: When) -> None:
    among = [STOP_MISSES, AT_HOLDER_OR_ALL, AT_WAITING, AT_FINISHED, AT_UNKNOWN]
    assert only(CANCELLING, message, 0.0, among) is condition
    assert UNAIMED.holds(CANCELLING, message, 0.0) == (
        message.turn_id is None and condition is not STOP_MISSES
    )


def test_a_tick_finds_what_is_due() -> None:
    timed = [NO_DEADLINE, BEFORE_DEADLINE, AT_DEADLINE]
    assert only(running(spec(), memory=MEMORY), Tick(), 9.0, timed) is NO_DEADLINE
    assert only(RUNNING, Tick(), 8.9, timed) is BEFORE_DEADLINE
    assert only(RUNNING, Tick(), 9.0, timed) is AT_DEADLINE
    ladder = [BEFORE_RUNG, AT_HALF, AT_END]
    assert only(CANCELLING, Tick(), 4.9, ladder) is BEFORE_RUNG
    assert only(CANCELLING, Tick(), 5.0, ladder) is AT_HALF
    assert only(CANCELLING, Tick(), 8.0, ladder) is AT_HALF
    again = cancelling(RUNNING, USER, phase=Again(7.0))
    assert only(again, Tick(), 6.9, ladder) is BEFORE_RUNG
    assert only(again, Tick(), 7.0, ladder) is AT_END


@pytest.mark.parametrize(("epoch", "condition"), [(4, OF_HOLDER), (2, OF_GIVEN_UP), (1, OF_NOTHING)])
def test_the_end_of_a_coroutine_is_one_of_three(epoch: int, condition: When) -> None:
    ended = TurnEnded(epoch, Returned())
    assert only(RUNNING, ended, 0.0, [OF_HOLDER, OF_GIVEN_UP, OF_NOTHING]) is condition


def test_a_person_pressed_stop_if_any_of_the_asks_was_one() -> None:
    for reasons, pressed in (((), False), ((POLICY,), False), ((POLICY, USER), True)):
        asks = tuple(Ask(None, 0.0, reason) for reason in reasons)
        assert PRESSED.holds(cancelling(RUNNING, POLICY, asks=asks), Tick(), 0.0) == pressed


def test_no_two_conditions_have_the_same_words() -> None:
    named = [each for each in vars(conditions).values() if isinstance(each, When)]
    assert len(named) > 30
    assert not [pair for pair in combinations(named, 2) if pair[0].text == pair[1].text]
