"""What a session refuses is said in one place, and changes nothing."""

import pytest

from tests.turns import memory, running, spec
from turnkeeper.actors.model.exceptions import SessionError
from turnkeeper.actors.model.records import Reason, TurnId
from turnkeeper.actors.model.words import CancelCode
from turnkeeper.actors.session import refusals
from turnkeeper.actors.session.effects import Refuse
from turnkeeper.actors.session.states import Closed

CLOSE = Reason(CancelCode.SESSION_CLOSED)
RUNNING = running(spec(), memory=memory())


def test_a_refusal_answers_the_asker_and_leaves_the_session_as_it_is() -> None:
    error = refusals.precondition_failed("x")
    assert refusals.refuse(RUNNING, None, error) == (RUNNING, (Refuse(None, error),))


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        (False, "a turn is in flight in this session"),
        (True, "a turn waits to be started in this session"),
    ],
)
def test_a_busy_session_names_the_turn_that_is_in_the_way(waits: bool, said: str) -> None:
    error = refusals.busy(RUNNING.turn.spec, waits=waits)
    assert (error.code, getattr(error, "turn_id", None), str(error)) == ("SESSION_BUSY", "t", said)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (refusals.closed(Closed(memory(), CLOSE)), "SESSION_CLOSED", "session 's' is closed"),
        (refusals.crowded(RUNNING), "TOO_MANY_UNRESPONSIVE", "0 turns of this session did not stop"),
        (refusals.reused(TurnId("t")), "TURN_ID_REUSED", "turn id 't' stands for another message"),
        (refusals.precondition_failed("x"), "PRECONDITION_FAILED", "turn 'x' is not the session's"),
        (refusals.shutting_down(), "SHUTTING_DOWN", "the server is shutting down"),
    ],
)
def test_each_refusal_has_its_code_and_names_what_it_is_about(
    error: SessionError, code: str, said: str
) -> None:
    assert error.code == code
    assert str(error).startswith(said)
