"""Cancels of turns in sessions that are not open yet (G4)."""

from turnkeeper.actors.admission.early_cancels import MAX_EARLY_CANCELS, EarlyCancels
from turnkeeper.actors.metrics.meter import Meter
from turnkeeper.actors.model.records import Reason, SessionId, TurnId
from turnkeeper.actors.model.words import CancelCode


def remembered(early: EarlyCancels, user: str, turn: str, now: float, session: str = "s1") -> bool:
    return early.find(user, SessionId(session), TurnId(turn), now) is not None


def remember(early: EarlyCancels, user: str, turn: str, now: float, session: str = "s1") -> None:
    early.remember(user, SessionId(session), TurnId(turn), "enough", now)


def test_an_early_cancel_is_remembered_with_its_reason_however_often_it_is_asked_for() -> None:
    """G4: the send that it is for may have to come again."""
    early = EarlyCancels(10, 30.0, Meter())
    remember(early, "ada", "t1", 5.0)
    reason = Reason(CancelCode.USER_REQUEST, "ada", "enough")
    assert early.find("ada", SessionId("s1"), TurnId("t1"), 6.0) == reason
    assert early.find("ada", SessionId("s1"), TurnId("t1"), 7.0) == reason


def test_an_early_cancel_is_remembered_for_thirty_seconds_and_not_a_moment_longer() -> None:
    """G4, G8."""
    early = EarlyCancels(10, 30.0, Meter())
    for turn in ("t1", "t2"):
        remember(early, "ada", turn, 0.0)
    assert remembered(early, "ada", "t1", 29.999)
    assert not remembered(early, "ada", "t2", 30.0)
    assert len(early) == 0


def test_an_early_cancel_counts_for_the_turn_the_session_and_the_user_it_names_only() -> None:
    """G4, G12."""
    early = EarlyCancels(10, 30.0, Meter())
    remember(early, "ada", "t1", 0.0)
    assert not remembered(early, "bob", "t1", 1.0)
    assert not remembered(early, "ada", "t2", 1.0)
    assert not remembered(early, "ada", "t1", 1.0, session="s2")
    assert remembered(early, "ada", "t1", 1.0)


def test_early_cancels_are_bounded_for_each_user_and_the_oldest_goes_first() -> None:
    """G8."""
    early = EarlyCancels(2, 30.0, Meter())
    remember(early, "bob", "t0", 0.0)
    for turn in ("t1", "t2", "t3"):
        remember(early, "ada", turn, 0.0)
    assert len(early) == 3
    assert not remembered(early, "ada", "t1", 1.0)
    assert remembered(early, "ada", "t2", 1.0)
    assert remembered(early, "ada", "t3", 1.0)
    assert remembered(early, "bob", "t0", 1.0)


def test_a_cancel_that_is_repeated_counts_once_and_from_its_last_moment() -> None:
    early = EarlyCancels(2, 30.0, Meter())
    for now in (0.0, 10.0, 20.0):
        remember(early, "ada", "t1", now)
    assert len(early) == 1
    assert remembered(early, "ada", "t1", 45.0)


def test_early_cancels_of_all_users_together_are_bounded() -> None:
    """G8."""
    early = EarlyCancels(10, 30.0, Meter())
    for n in range(MAX_EARLY_CANCELS + 5):
        remember(early, f"user{n}", "t", 0.0)
    assert len(early) == MAX_EARLY_CANCELS
    assert not remembered(early, "user4", "t", 1.0)
    assert remembered(early, "user5", "t", 1.0)
