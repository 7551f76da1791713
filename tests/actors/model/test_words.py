"""Words are their own text, and it is decided which of them are final."""

import pytest

from turnkeeper.actors.model.words import (
    FINAL_ENDS,
    TERMINAL,
    CancelCode,
    SessionState,
    Step,
    Strategy,
    StreamEnd,
    TurnStatus,
    Verdict,
)


def test_every_status_but_three_is_terminal() -> None:
    assert set(TurnStatus) - TERMINAL == {TurnStatus.QUEUED, TurnStatus.RUNNING, TurnStatus.CANCELLING}


def test_a_stream_ends_for_good_when_no_turn_of_its_session_runs_on() -> None:
    assert {"Session closed", "Session lost", "Server shutting down"} == FINAL_ENDS
    assert {"Task cancelled", "Task finished", "Task unresponsive"} == set(StreamEnd) - FINAL_ENDS


@pytest.mark.parametrize("kind", [SessionState, TurnStatus, Verdict, Strategy, CancelCode, Step])
def test_words_for_programs_are_their_own_text(kind: type[TurnStatus]) -> None:
    for word in kind:
        assert str(word) == word.value == word.name.lower()
