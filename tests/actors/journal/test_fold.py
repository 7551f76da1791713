"""What a log says of its session. That it says the truth is held by the search in `tests/actors/session`."""

import pytest

from tests.turns import LIMITS, head, record
from turnkeeper.actors.journal.durable import Durable, OpenTurn
from turnkeeper.actors.journal.entries import (
    AttemptEnded,
    CancelAsked,
    Ended,
    EndedLate,
    Entry,
    Events,
    Opened,
    Spec,
    Started,
    Titled,
    turn_spec,
)
from turnkeeper.actors.journal.fold import fold
from turnkeeper.actors.model.records import LateEnd, Reason, SessionId, TurnId
from turnkeeper.actors.model.value import replace
from turnkeeper.actors.model.words import CancelCode, TurnStatus

SESSION, T1 = SessionId("s"), TurnId("t1")
SPEC = Spec(head("t1"), "hi", 4.0)
OPENED = Durable(SESSION, "ada")
HELD = replace(OPENED, last_epoch=7, holder=OpenTurn(turn_spec(SPEC, SESSION), 7, 2.0))
USER = Reason(CancelCode.USER_REQUEST)


def test_the_first_entry_says_whose_session_it_is() -> None:
    assert fold(Durable(SESSION), [Opened("ada", 1.0)], LIMITS) == OPENED


def test_events_and_titles_decide_nothing() -> None:
    assert fold(HELD, [Events(7, 1, ()), Titled("A title")], LIMITS) == HELD


def test_a_turn_that_is_tried_again_waits_and_starts_with_what_it_was_sent_with() -> None:
    again = fold(HELD, [AttemptEnded(T1, 8, 3.0)], LIMITS)
    waits = OpenTurn(turn_spec(SPEC, SESSION), attempt=2)
    assert again == replace(OPENED, last_epoch=8, waiting=waits)
    started = fold(again, [Started(T1, 9, 4.0, attempt=2)], LIMITS)
    assert started == replace(OPENED, last_epoch=9, holder=replace(waits, epoch=9, started_at=4.0))


def test_a_turn_that_was_interrupted_uses_up_an_epoch_of_its_own() -> None:
    ended = Ended(T1, TurnStatus.INTERRUPTED, 3.0, n=0, epoch=8, kept="7-3")
    left = fold(HELD, [ended], LIMITS)
    interrupted = record("t1", 7, TurnStatus.INTERRUPTED, started_at=2.0, ended_at=3.0)
    assert left == replace(OPENED, last_epoch=8, records=(interrupted,))


@pytest.mark.parametrize(
    ("before", "entry", "why"),
    [
        (OPENED, CancelAsked(T1, USER, 1.0), "t1 does not hold the session"),
        (HELD, CancelAsked(TurnId("t2"), USER, 1.0), "t2 does not hold the session"),
        (OPENED, Started(T1, 7, 1.0), "t1 starts, which was not accepted"),
        (HELD, Started(TurnId("t2"), 8, 1.0, SPEC), "t2 starts while another one holds the session"),
        (OPENED, Ended(T1, TurnStatus.COMPLETED, 1.0), "t1 ends, which was not open"),
        (OPENED, EndedLate(T1, LateEnd(TurnStatus.COMPLETED, 1.0)), "t1 ends late, which was not given up"),
        (OPENED, AttemptEnded(T1, 7, 1.0), "t1 does not hold the session"),
    ],
)
def test_an_entry_that_cannot_follow_is_an_error(before: Durable, entry: Entry, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fold(before, [entry], LIMITS)
